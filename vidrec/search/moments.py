"""Moments: where else a result's video fits a query."""

from __future__ import annotations

import numpy as np

from vidrec.records import dataclass
from vidrec.search.answers import Answer, confidence_of
from vidrec.search.gather import Gatherer


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of a video and how well it fits a query."""

    start_sec: float
    end_sec: float
    score: float
    confidence: float | None = None


def other_moments(asked: Gatherer, answer: Answer, most: int) -> list[list[Moment]]:
    """Return up to ``most`` clips of each result's video outside its own moment, best first."""
    ids = list({row.video_id for row in answer.results})
    # A store that has followed the library has its clips at hand: a film has hundreds.
    known = None if answer.unindexed else asked.store.clips_of(ids)
    if known is None:
        known = asked.library.clips_of(ids, asked.fingerprint)
    scored = {video_id: asked.scores(clips.vectors) for video_id, clips in known.items()}
    moments: list[list[Moment]] = []
    for row in answer.results:
        moments.append([])
        if row.video_id not in known:
            continue
        clips, scores = known[row.video_id], scored[row.video_id]
        outside = np.flatnonzero((clips.ends <= row.start_sec) | (clips.starts >= row.end_sec))
        for at in outside[np.argsort(-scores[outside], kind="stable")[:most]].tolist():
            score = float(scores[at])
            sure = confidence_of(score, clips.vectors[at], asked.parts, asked.query.pool)
            span = float(clips.starts[at]), float(clips.ends[at])
            moments[-1].append(Moment(*span, score, sure))
    return moments
