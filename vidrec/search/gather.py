"""Gather: candidates from the store, ranked and chosen, for one query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.conditions import Filter
from vidrec.library import Library
from vidrec.records import dataclass
from vidrec.search import pooling
from vidrec.search.asked import AskedPart
from vidrec.search.query import Query
from vidrec.search.rank import nearest, nearest_of_each
from vidrec.stores.base import VectorStore
from vidrec.types import PAYLOAD_FIELDS, Candidate
from vidrec.vectors import exact_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.search.variety import Chosen, Rule
    from vidrec.types import Vector


@dataclass(frozen=True, slots=True)
class Gathered:
    """The results of a query as candidates, and remarks on what was held back."""

    candidates: Sequence[Candidate]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gatherer:
    """What one query is asked of."""

    library: Library
    store: VectorStore
    fingerprint: str
    copies_from: float
    query: Query
    parts: Sequence[AskedPart]
    filter: Filter

    def gather(self) -> Gathered:
        """Return up to ``k`` candidates. More are fetched until so many may be chosen."""
        query = self.query
        rules = self._rules()
        if not rules and not query.diversity:
            return Gathered(self._first(query.k))
        from vidrec.search.moments import Moments
        from vidrec.search.variety import POOL_LEAST, POOL_TIMES, choose

        n = max(POOL_TIMES * query.k, POOL_LEAST) if query.diversity else query.k + 16
        while True:
            found = self._first(n)
            chosen = choose(found, query.k, rules, query.diversity)
            if len(chosen.candidates) == query.k or len(found) < n:
                break
            n, rules = 4 * n, self._rules()
        merged = chosen.candidates
        for rule in rules:
            if isinstance(rule, Moments):
                merged = [rule.merged(candidate) for candidate in merged]
        return Gathered(merged, _remarks(chosen))

    @property
    def is_plain(self) -> bool:
        """Whether one vector is looked for and the nearest are the answer."""
        single = pooling.is_single(self.parts, self.query.pool)
        return single and not self.query.diversity and not self._rules()

    def _first(self, n: int) -> list[Candidate]:
        query = self.query
        return pooling.first(self.parts, query.pool, n, self._nearest, by_video=not query.clips)

    def _nearest(self, vector: Vector, n: int) -> list[Candidate]:
        """Return the ``n`` nearest points, each video once where whole videos are ranked.

        A maximum less what is disliked may take another point of a video than the nearest.
        """
        query = self.query
        every_point = query.clips or not pooling.is_single(self.parts, query.pool)
        return nearest(
            self.store, vector, n, self.filter, by_video=not every_point,
            fingerprint=self.fingerprint,
        )  # fmt: skip

    def _rules(self) -> list[Rule]:
        query = self.query
        seeds = {
            part.video_id: (part.vector, part.duration_sec) for part in self.parts if part.video_id
        }
        rules: list[Rule] = []
        if not (seeds or query.dedupe or query.max_per or query.clips):
            return rules
        from vidrec.search.moments import Moments
        from vidrec.search.variety import AtMost, NoCopies

        if query.clips:
            rules.append(Moments(self.clips_of))
        if seeds or query.dedupe:
            whole = partial(self.library.whole_vectors, self.fingerprint)
            rules.append(NoCopies(whole, self.copies_from, query.dedupe, seeds))
        rules += [AtMost(key, count, self._values) for key, count in query.max_per]
        return rules

    def _values(self, video_ids: Sequence[str], key: str) -> Mapping[str, Any]:
        if key not in PAYLOAD_FIELDS and not self.library.knows_field(key):
            raise self.library.unknown_field(key)
        return self.library.values_of(video_ids, key)

    def scores(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how well vectors ``(n, dim)`` fit the query."""
        if pooling.is_single(self.parts, self.query.pool):
            return exact_scores(vectors, pooling.mixed(self.parts))
        return pooling.pooled_scores(self.parts, vectors)

    def clips_of(self, video_id: str) -> list[Candidate]:
        """Return a video's clips as the library has them, scored by the query."""
        clips = self.library.video_embeddings(video_id, self.fingerprint, "clip")
        if not clips:
            return []
        scores = self.scores(np.stack([clip.vector for clip in clips]))
        return list(map(Candidate.of, clips, scores.tolist()))


def gather_together(gatherers: Sequence[Gatherer]) -> list[Gathered]:
    """Return what each would gather; all are plain and have one filter, ``k`` and store."""
    first = gatherers[0]
    found = nearest_of_each(
        first.store, np.stack([pooling.mixed(one.parts) for one in gatherers]), first.query.k,
        first.filter, fingerprint=first.fingerprint,
    )  # fmt: skip
    return [Gathered(candidates) for candidates in found]


def _remarks(chosen: Chosen) -> tuple[str, ...]:
    said = [rule.remark(held) for rule, held in chosen.held if held]
    said = [remark for remark in said if remark]
    return (f"held back: {', '.join(said)}",) if said else ()
