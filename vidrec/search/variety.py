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
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from vidrec.types import Candidate

if TYPE_CHECKING:
    from vidrec.types import Payload, Vector

# Candidates that diversity chooses from: so many times k, at least so many.
POOL_TIMES, POOL_LEAST = 10, 100
# Copies differ in length by at most this share, or by a frame. Of 144 copies, made with another
# size, rate, crop or codec's quality, none differed by more than 0.04 s or 1.1 %.
SAME_LENGTH, A_FRAME = 0.02, 0.05


class Rule(Protocol):
    """Holds candidates back. ``remark`` says what it held back, for a person."""

    def prefetch(self, candidates: Sequence[Candidate]) -> None:
        """Look up at once what is to be known of those that may be chosen."""

    def blocks(self, candidate: Candidate) -> bool: ...

    def take(self, candidate: Candidate) -> None: ...

    def remark(self, held: int) -> str: ...


Whole: TypeAlias = "tuple[Vector, float | None]"  # a video's vector and its length in seconds
WholeVectors: TypeAlias = "Callable[[Sequence[str]], Mapping[str, Vector]]"  # by video id


@dataclass(slots=True)
class NoCopies:
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
        video = candidate.payload.video_id
        mine, seconds = self._whole_of(candidate)
        return any(
            other != video
            and len(mine) == len(vector)
            and float(vector @ mine) >= self.least
            and _same_length(seconds, length)
            for others in (self.seeds, self._chosen)
            for other, (vector, length) in others.items()
        )

    def take(self, candidate: Candidate) -> None:
        if self.among:
            self._chosen[candidate.payload.video_id] = self._whole_of(candidate)

    def remark(self, held: int) -> str:
        of = ["what was asked with"] if self.seeds else []
        of += ["what is shown"] if self.among else []
        return f"{held} near {'copy' if held == 1 else 'copies'} of {' or '.join(of)}"

    def _whole_of(self, candidate: Candidate) -> Whole:
        payload = candidate.payload
        return self._known.get(payload.video_id, candidate.vector), payload.duration_sec


def _same_length(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return True
    return abs(one - other) <= max(SAME_LENGTH * max(one, other), A_FRAME)


@dataclass(slots=True)
class AtMost:
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

    def take(self, candidate: Candidate) -> None:
        self._seen[self._known[candidate.payload.video_id]] += 1

    def remark(self, held: int) -> str:
        return f"{held} by --max-per {self.key}={self.count}"


def _told(payload: Payload, key: str) -> Any:
    """Return what a point says of a field; ``folder`` is that of its path or URL."""
    if key == "folder":
        place = payload.path or payload.url
        return str(PurePath(place).parent) if place else None
    return payload.as_dict().get(key)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen, in its order, and how many each rule held back above the last of it."""

    candidates: list[Candidate]
    held: Sequence[tuple[Rule, int]]


def choose(
    candidates: Sequence[Candidate], k: int, rules: Sequence[Rule], diversity: float = 0.0
) -> Chosen:
    """Choose up to ``k`` candidates, which are given best first."""
    for rule in rules:
        rule.prefetch(candidates)
    held = [0] * len(rules)
    left, chosen = list(candidates), list[Candidate]()
    nearer = _Nearness(candidates) if diversity and candidates else None
    while left and len(chosen) < k:
        at = nearer.best(diversity) if nearer else 0
        candidate = left[at]
        blocker = next((n for n, rule in enumerate(rules) if rule.blocks(candidate)), None)
        if blocker is not None:
            held[blocker] += 1
        else:
            chosen.append(candidate)
            for rule in rules:
                rule.take(candidate)
        del left[at]
        if nearer:
            nearer.leave(at, chosen=blocker is None)
    return Chosen(chosen, list(zip(rules, held, strict=True)))


class _Nearness:
    """How relevant the candidates that are left are, and how near to what was chosen."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._vectors = np.stack([c.vector for c in candidates]).astype(np.float64)
        scores = np.array([c.score for c in candidates])
        self._relevance = (scores - scores.min()) / (float(np.ptp(scores)) or 1.0)
        self._nearest = np.zeros(len(candidates))
        self._first = True

    def best(self, diversity: float) -> int:
        gain = (1 - diversity) * self._relevance - diversity * self._nearest
        return int(gain.argmax())  # the first, which is the better one, of equals

    def leave(self, at: int, *, chosen: bool) -> None:
        if chosen:
            near = self._vectors @ self._vectors[at]
            self._nearest = near if self._first else np.maximum(self._nearest, near)
            self._first = False
        self._vectors = np.delete(self._vectors, at, axis=0)
        self._relevance = np.delete(self._relevance, at)
        self._nearest = np.delete(self._nearest, at)
