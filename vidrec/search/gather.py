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
from vidrec.search.rank import Ranked, nearest, nearest_of_each, order, scored
from vidrec.stores.base import VectorStore
from vidrec.types import PAYLOAD_FIELDS, Candidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.search.variety import Rule
    from vidrec.types import Vector


LEAST = 64  # points a part that are looked at for a maximum


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

    def gather(self) -> Ranked:
        """Return up to ``k`` candidates. More are fetched until so many may be chosen."""
        query = self.query
        rules = self._rules()
        if not rules and not query.diversity:
            return Ranked(self._first(query.k))
        from vidrec.search.variety import POOL_LEAST, POOL_TIMES, choose

        n = max(POOL_TIMES * query.k, POOL_LEAST) if query.diversity else query.k + 16
        while True:
            found = self._first(n)
            chosen = choose(found, query.k, rules, query.diversity)
            if len(chosen.candidates) == query.k or len(found) < n:
                return chosen
            n, rules = 4 * n, self._rules()

    @property
    def is_plain(self) -> bool:
        """Whether one vector is looked for and the nearest are the answer."""
        single = pooling.is_single(self.parts, self.query.pool)
        return single and not self.query.diversity and not self._rules()

    def scores(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how well vectors ``(n, dim)`` fit the query."""
        return pooling.scores_of(self.parts, self.query.pool, vectors)

    def clips_of(self, video_id: str) -> list[Candidate]:
        """Return a video's clips as the library has them, scored by the query."""
        clips = self.library.video_embeddings(video_id, self.fingerprint, "clip")
        return scored([Candidate.of(clip, 0.0) for clip in clips], self.scores)

    def _first(self, n: int) -> list[Candidate]:
        """Return the first ``n`` points, or videos by their best point, best first."""
        if pooling.is_single(self.parts, self.query.pool):
            return self._nearest(pooling.mixed(self.parts), n, by_video=not self.query.clips)
        return self._by_maximum(n)

    def _by_maximum(self, n: int) -> list[Candidate]:
        """Look at ever more points of each liked part, until none left can be among the first.

        A point that was not seen scores for each part at most what the last one seen does (Fagin's
        threshold algorithm), and what is disliked only takes away, so that another point of a
        video than the nearest may be its best.
        """
        scales = zip(self.parts, pooling.scales_of(self.parts), strict=True)
        liked = [(part, scale) for part, scale in scales if part.part.weight > 0]
        depth = max(LEAST, 4 * n)
        while True:
            seen: dict[str, Candidate] = {}
            limit = -float("inf")
            for part, (slope, offset) in liked:
                found = self._nearest(part.vector, depth, by_video=False)
                seen.update((candidate.id, candidate) for candidate in found)
                if len(found) == depth:
                    limit = max(limit, part.part.weight * (slope * found[-1].score + offset))
            ranked = scored(list(seen.values()), self.scores)
            first = order(ranked, n, by_video=not self.query.clips)
            if limit == -float("inf") or (len(first) == n and first[-1].score > limit):
                return first
            depth *= 4

    def _nearest(self, vector: Vector, n: int, *, by_video: bool) -> list[Candidate]:
        return nearest(
            self.store, vector, n, self.filter, by_video=by_video, fingerprint=self.fingerprint
        )

    def _rules(self) -> list[Rule]:
        query = self.query
        seeds = {
            part.video_id: (part.vector, part.duration_sec) for part in self.parts if part.video_id
        }
        rules: list[Rule] = []
        if not (seeds or query.dedupe or query.max_per or query.clips):
            return rules
        from vidrec.search.variety import AtMost, Moments, NoCopies

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


def gather_together(gatherers: Sequence[Gatherer]) -> list[Ranked]:
    """Return what each would gather; all are plain and have one filter, ``k`` and store."""
    first = gatherers[0]
    found = nearest_of_each(
        first.store, np.stack([pooling.mixed(one.parts) for one in gatherers]), first.query.k,
        first.filter, fingerprint=first.fingerprint,
    )  # fmt: skip
    return list(map(Ranked, found))
