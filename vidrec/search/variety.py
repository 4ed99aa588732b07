"""Variety: which of the ranked candidates become results.

Rules look at candidates from the best on, and hold some back; the next ones move up, so that as
many results come as were asked for where there are so many. Diversity chooses by maximal marginal
relevance (Carbonell and Goldstein, "The Use of MMR", SIGIR 1998): of what is left, the candidate of
the largest (1 - d)·relevance - d·likeness to the nearest one chosen, where relevance is the score
brought to 0…1 among the candidates, and likeness the cosine of their vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vidrec.search.rank import Ranked
from vidrec.types import Candidate
from vidrec.vectors import exact_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.types import Payload, Vector

# Candidates that diversity chooses from: so many times k, at least so many.
POOL_TIMES, POOL_LEAST = 10, 100
# Copies differ in length by at most this share, or by a frame. Of 144 copies, made with another
# size, rate, crop or codec's quality, none differed by more than 0.04 s or 1.1 %.
SAME_LENGTH, A_FRAME = 0.02, 0.05
# A neighbour belongs to a moment if it reaches this share of the best clip's score.
SHARE = 0.9
GAP_SEC = 0.5  # between two clips that are neighbours


class Rule:
    """Holds candidates back."""

    def prefetch(self, candidates: Sequence[Candidate]) -> None:
        """Look up at once what is to be known of those that may be chosen."""

    def blocks(self, candidate: Candidate) -> bool:
        """Whether a candidate must not follow those that were taken."""
        raise NotImplementedError

    def take(self, candidate: Candidate) -> Candidate:
        """Remember a candidate that was chosen, and return it as it is to be shown."""
        return candidate

    def remark(self, held: int) -> str:
        """Say for a person what was held back; '' where that is shown after all."""
        return ""


Whole: TypeAlias = "tuple[Vector, float | None]"  # a video's vector and its length in seconds
WholeVectors: TypeAlias = "Callable[[Sequence[str]], Mapping[str, Vector]]"  # by video id


@dataclass(slots=True)
class NoCopies(Rule):
    """Holds back near copies of the seeds and, with ``among``, of what was chosen before.

    Copies are told by their lengths and the vectors of whole videos, whose cosine is ``least`` or
    more. Moments of one video are not copies.
    """

    whole: WholeVectors
    least: float
    among: bool
    seeds: Mapping[str, Whole] = field(default_factory=dict)
    _chosen: dict[str, Whole] = field(default_factory=dict)
    _known: dict[str, Vector] = field(default_factory=dict)

    def prefetch(self, candidates: Sequence[Candidate]) -> None:
        missing = {c.payload.video_id for c in candidates} - self._known.keys()
        self._known.update(self.whole(sorted(missing)))

    def blocks(self, candidate: Candidate) -> bool:
        known = {**self.seeds, **self._chosen}
        known.pop(candidate.payload.video_id, None)
        if not known:
            return False
        vectors, lengths = zip(*known.values(), strict=True)
        vector, length = self._whole_of(candidate)
        alike = np.stack(vectors)[same_length(lengths, length)]
        return bool((exact_scores(alike, vector) >= self.least).any())

    def take(self, candidate: Candidate) -> Candidate:
        if self.among:
            self._chosen[candidate.payload.video_id] = self._whole_of(candidate)
        return candidate

    def remark(self, held: int) -> str:
        of = ["what was asked with"] if self.seeds else []
        of += ["what is shown"] if self.among else []
        return f"{held} near {'copy' if held == 1 else 'copies'} of {' or '.join(of)}"

    def _whole_of(self, candidate: Candidate) -> Whole:
        payload = candidate.payload
        return self._known.get(payload.video_id, candidate.vector), payload.duration_sec


def same_length(lengths: Any, length: float | None) -> NDArray[np.bool_]:
    """Return which of some videos are as long as one, ``(n,)``, in seconds.

    A length that is not known, None or NaN, is like any.
    """
    seconds, mine = np.asarray(lengths, np.float64), np.float64("nan" if length is None else length)
    bound = np.maximum(SAME_LENGTH * np.maximum(seconds, mine), A_FRAME)
    same: NDArray[np.bool_] = ~(np.abs(seconds - mine) > bound)
    return same


@dataclass(slots=True)
class Moments(Rule):
    """Makes neighbouring clips that match together one moment; a clip in one is held back."""

    clips_of: Callable[[str], Sequence[Candidate]]  # a video's, scored by the same query
    _spans: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def blocks(self, candidate: Candidate) -> bool:
        payload = candidate.payload
        spans = self._spans.get(payload.video_id, ())
        return any(start <= payload.start_sec and payload.end_sec <= end for start, end in spans)

    def take(self, candidate: Candidate) -> Candidate:
        payload = candidate.payload
        free = [clip for clip in self.clips_of(payload.video_id) if not self.blocks(clip)]
        start, end = moment_around(candidate, free)
        self._spans.setdefault(payload.video_id, []).append((start, end))
        return replace(candidate, payload=replace(payload, start_sec=start, end_sec=end))


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


@dataclass(slots=True)
class AtMost(Rule):
    """At most so many results with the same value of a field; what has no value is not counted.

    A point may not say its video's value: then the library is asked, by ``values``.
    """

    key: str
    count: int
    values: Callable[[Sequence[str], str], Mapping[str, Any]]  # of video ids, by id
    _known: dict[str, Any] = field(default_factory=dict)
    _seen: Counter[Any] = field(default_factory=Counter)

    def prefetch(self, candidates: Sequence[Candidate]) -> None:
        told = {c.payload.video_id: _told(c.payload, self.key) for c in candidates}
        missing = sorted(video for video, value in told.items() if value is None)
        self._known.update(told)
        if missing:
            self._known.update(self.values(missing, self.key))

    def blocks(self, candidate: Candidate) -> bool:
        value = self._known[candidate.payload.video_id]
        return value is not None and self._seen[value] >= self.count

    def take(self, candidate: Candidate) -> Candidate:
        self._seen[self._known[candidate.payload.video_id]] += 1
        return candidate

    def remark(self, held: int) -> str:
        return f"{held} by --max-per {self.key}={self.count}"


def _told(payload: Payload, key: str) -> Any:
    """Return what a point says of a field; ``folder`` is that of its path or URL."""
    if key == "folder":
        place = payload.path or payload.url
        return str(PurePath(place).parent) if place else None
    return payload.as_dict().get(key)


def choose(
    candidates: Sequence[Candidate], k: int, rules: Sequence[Rule], diversity: float = 0.0
) -> Ranked:
    """Choose up to ``k`` candidates, which are given best first."""
    for rule in rules:
        rule.prefetch(candidates)
    held = [0] * len(rules)
    left, chosen = list(range(len(candidates))), list[Candidate]()
    if diversity and candidates:
        vectors = np.stack([c.vector for c in candidates]).astype(np.float64)
        scores = np.array([c.score for c in candidates])
        relevance = (scores - scores.min()) / (float(np.ptp(scores)) or 1.0)
        nearest = np.full(len(candidates), -np.inf)  # nothing is chosen yet: the best is first
    while left and len(chosen) < k:
        at = 0
        if diversity:
            gain = (1 - diversity) * relevance[left] - diversity * nearest[left]
            at = int(gain.argmax())  # the first, which is the better one, of equals
        number = left.pop(at)
        candidate = candidates[number]
        blocker = next((n for n, rule in enumerate(rules) if rule.blocks(candidate)), None)
        if blocker is not None:
            held[blocker] += 1
            continue
        if diversity:
            nearest = np.maximum(nearest, vectors @ vectors[number])
        for rule in rules:
            candidate = rule.take(candidate)
        chosen.append(candidate)
    said = [rule.remark(count) for rule, count in zip(rules, held, strict=True) if count]
    remarks = ", ".join(filter(None, said))
    return Ranked(chosen, (f"held back: {remarks}",) if remarks else ())
