"""Moments: where else a result's video fits a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrec.records import dataclass
from vidrec.search.answers import Answer, confidence_of
from vidrec.search.gather import Gatherer
from vidrec.types import Clips, Recommendation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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

    def moment(clips: Clips, number: int, score: float) -> Moment:
        sure = confidence_of(score, clips.vectors[number], asked.parts, asked.query.pool)
        return Moment(float(clips.starts[number]), float(clips.ends[number]), score, sure)

    moments = []
    for row in answer.results:
        clips, scores = known.get(row.video_id), scored.get(row.video_id)
        moments.append(
            [moment(clips, at, float(scores[at])) for at in _best_outside(clips, scores, row, most)]
            if clips is not None and scores is not None
            else []
        )
    return moments


def _best_outside(
    clips: Clips, scores: NDArray[np.float64], row: Recommendation, most: int
) -> list[int]:
    import numpy as np

    outside = np.flatnonzero((clips.ends <= row.start_sec) | (clips.starts >= row.end_sec))
    best: list[int] = outside[np.argsort(-scores[outside], kind="stable")[:most]].tolist()
    return best
