"""One ranking for all stores: exact scores, ties by point id, one point a video.

A store finds candidates in its own way, in float32 and in its own order, and says how well
something that it left out may score. Here the scores are recomputed row by row in float64, so that
they depend neither on where a row lies nor on how a library sums, and equal vectors get equal
scores; and more candidates are asked for until the first ``k`` are certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vidrec.conditions import Filter, check_filter
from vidrec.errors import UsageError
from vidrec.stores.base import Found, VectorStore
from vidrec.types import Candidate
from vidrec.vectors import exact_scores, margin, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Asked for beyond k, so that one answer usually shows that the k-th is clear of the next.
SPARE = 6
MOST = 1 << 31  # of points, in any collection: engines count in fixed sizes


def nearest(
    store: VectorStore,
    vector: NDArray[np.float32],
    k: int,
    where: Filter | None = None,
    *,
    by_video: bool = True,
    fingerprint: str | None = None,
) -> list[Candidate]:
    """Return the ``k`` best points, or with ``by_video`` videos by their best point, best first.

    Scores are exact cosines; equal ones are in the order of their ids. With ``fingerprint`` (the
    query's) a collection of another one is refused.

    Raises:
        NoIndexError: nothing is indexed there.
        FingerprintError: the collection holds vectors of another fingerprint.
        UsageError: ``k`` is not positive, the vector has another size or no direction, or a
            condition is wrong or names a payload key that no point has.
    """
    (found,) = nearest_of_each(
        store, vector[None], k, where, by_video=by_video, fingerprint=fingerprint
    )
    return found


def nearest_of_each(
    store: VectorStore,
    vectors: NDArray[np.float32],
    k: int,
    where: Filter | None = None,
    *,
    by_video: bool = True,
    fingerprint: str | None = None,
) -> list[list[Candidate]]:
    """Answer many queries, ``(n, dim)``, at once; see ``nearest``."""
    if k < 1:
        raise UsageError(f"k must be at least 1. Received: k={k}")
    where = where or Filter()
    check_filter(where)
    asked = unit_rows(np.ascontiguousarray(vectors, "<f4"), ["the query"] * len(vectors))
    wanted = min(k, MOST)
    first = store.candidates(
        asked, min(wanted + SPARE, MOST), where, by_video=by_video, fingerprint=fingerprint
    )
    return [
        _Search(store, vector, wanted, where, by_video, fingerprint).settle(found)
        for vector, found in zip(asked, first, strict=True)
    ]


class _Search:
    """The candidates of one query, until the first ``k`` of them are certain."""

    def __init__(
        self,
        store: VectorStore,
        vector: NDArray[np.float32],
        k: int,
        where: Filter,
        by_video: bool,
        fingerprint: str | None,
    ) -> None:
        self._store, self._vector, self._k, self._where = store, vector, k, where
        self._by_video, self._fingerprint = by_video, fingerprint
        self._margin = margin(len(vector))
        self._seen: dict[str, Candidate] = {}

    def settle(self, found: Found) -> list[Candidate]:
        n = self._k + SPARE
        excluded = self._where.exclude_videos
        while True:
            new = self._exact(found.candidates)
            self._seen.update((candidate.id, candidate) for candidate in new)
            ranked = order(list(self._seen.values()), self._k, by_video=self._by_video)
            clear = found.best_left + self._margin
            if found.best_left == -np.inf or (len(ranked) == self._k and ranked[-1].score > clear):
                return ranked
            settled = {c.payload.video_id for c in new if c.score > clear} if self._by_video else ()
            if settled:  # their best points are known: look at other videos
                excluded = excluded.union(settled)
            else:
                n = min(max(64, 4 * n), MOST)
            (found,) = self._store.candidates(
                self._vector[None], n, replace(self._where, exclude_videos=excluded),
                by_video=self._by_video, fingerprint=self._fingerprint,
            )  # fmt: skip

    def _exact(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        if not candidates:
            return []
        scores = exact_scores(np.stack([c.vector for c in candidates]), self._vector).tolist()
        return [replace(c, score=score) for c, score in zip(candidates, scores, strict=True)]


def order(candidates: Sequence[Candidate], k: int, *, by_video: bool) -> list[Candidate]:
    """Return the first ``k``: larger scores first, equal ones by id; of a video only the best."""
    seen: set[str] = set()
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (-c.score, c.id)):
        if len(kept) == k:
            break
        if not by_video or candidate.payload.video_id not in seen:
            seen.add(candidate.payload.video_id)
            kept.append(candidate)
    return kept
