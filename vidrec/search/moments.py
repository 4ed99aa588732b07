"""Moments: neighbouring clips of one video that match together are one result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from vidrec.records import dataclass
from vidrec.search.answers import Answer, confidence_of
from vidrec.search.gather import Gatherer
from vidrec.types import Candidate, Clips, Recommendation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A neighbour belongs to a moment if it reaches this share of the best clip's score.
SHARE = 0.9
GAP_SEC = 0.5  # between two clips that are neighbours

# A video's clips as candidates, scored by the same query, by start.
ClipsOf = Callable[[str], "Sequence[Candidate]"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of a video and how well it fits a query."""

    start_sec: float
    end_sec: float
    score: float
    confidence: float | None = None


@dataclass(slots=True)
class Moments:
    """A rule of ``variety``: a clip that lies in a moment shown before is held back."""

    clips_of: ClipsOf
    _spans: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _moments: dict[str, tuple[float, float]] = field(default_factory=dict)  # by candidate id

    def prefetch(self, candidates: Sequence[Candidate]) -> None:
        return None

    def blocks(self, candidate: Candidate) -> bool:
        payload = candidate.payload
        spans = self._spans.get(payload.video_id, ())
        return any(start <= payload.start_sec and payload.end_sec <= end for start, end in spans)

    def take(self, candidate: Candidate) -> None:
        video = candidate.payload.video_id
        free = [clip for clip in self.clips_of(video) if not self.blocks(clip)]
        self._moments[candidate.id] = span = moment_around(candidate, free)
        self._spans.setdefault(video, []).append(span)

    def remark(self, held: int) -> str:
        return ""  # a merged clip is shown

    def merged(self, candidate: Candidate) -> Candidate:
        """Return a candidate that was taken with the times of its moment."""
        start, end = self._moments[candidate.id]
        return replace(candidate, payload=replace(candidate.payload, start_sec=start, end_sec=end))


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


def moment_around(candidate: Candidate, clips: Sequence[Candidate]) -> tuple[float, float]:
    """Widen a clip by its neighbours, as long as each scores nearly as well.

    Of negative scores nothing is nearly as good.
    """
    start, end = candidate.payload.start_sec, candidate.payload.end_sec
    if candidate.score <= 0:
        return start, end
    enough = [clip for clip in clips if clip.score >= SHARE * candidate.score]
    spans = sorted((clip.payload.start_sec, clip.payload.end_sec) for clip in enough)
    for left, right in spans:
        if left >= start and left <= end + GAP_SEC:
            end = max(end, right)
    for left, right in reversed(spans):
        if right <= end and right >= start - GAP_SEC:
            start = min(start, left)
    return start, end
