"""One ranking for all stores: exact scores, ties by point id, one point a video.

A store finds candidates in its own way, in float32 and in its own order, and says how well
something that it left out may score. Here the scores are recomputed row by row in float64, so that
they depend neither on where a row lies nor on how a library sums, and equal vectors get equal
scores; and more candidates are asked for until the first ``k`` are certain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.conditions import Filter, check_filter
from vidrec.errors import StoreError, UsageError
from vidrec.records import dataclass
from vidrec.stores.base import Found, VectorStore
from vidrec.types import Candidate
from vidrec.vectors import exact_scores, margin, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Asked for beyond k, so that one answer usually shows that the k-th is clear of the next.
SPARE = 6
MOST = 1 << 31  # of points, in any collection: engines count in fixed sizes


@dataclass(frozen=True, slots=True)
class Ranked:
    """The results of a query as candidates, and remarks on what was held back."""

    candidates: Sequence[Candidate]
    notes: tuple[str, ...] = ()


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
    chosen = where or Filter()
    check_filter(chosen)
    asked = unit_rows(np.ascontiguousarray(vectors, "<f4"), ["the query"] * len(vectors))
    k = min(k, MOST)

    def ask(vectors: NDArray[np.float32], n: int, where: Filter) -> list[Found]:
        n = min(n, MOST)
        found = store.candidates(vectors, n, where, by_video=by_video, fingerprint=fingerprint)
        if len(found) != len(vectors):
            raise StoreError(f"the store {store.name} gave {len(found)} of {len(vectors)} answers")
        return found

    def settled(vector: NDArray[np.float32], found: Found) -> list[Candidate]:
        """Ask for more candidates until the first ``k`` are certain."""
        n, excluded = k + SPARE, chosen.exclude_videos
        seen: dict[str, Candidate] = {}
        before: object = None
        while True:
            new = scored(found.candidates, lambda rows: exact_scores(rows, vector))
            seen.update((candidate.id, candidate) for candidate in new)
            ranked = order(list(seen.values()), k, by_video=by_video)
            clear = found.best_left + margin(len(vector))
            if clear == -np.inf or (len(ranked) == k and ranked[-1].score > clear):
                return ranked
            certain = {c.payload.video_id for c in new if c.score > clear} if by_video else ()
            if certain:  # their best points are known: look at other videos
                excluded = excluded.union(certain)
            else:
                n = max(64, 4 * n)
            if (now := (len(seen), len(excluded), min(n, MOST))) == before:
                raise StoreError(f"the store {store.name} has better points and does not give them")
            before = now
            (found,) = ask(vector[None], n, replace(chosen, exclude_videos=excluded))

    return list(map(settled, asked, ask(asked, k + SPARE, chosen)))


def scored(
    candidates: Sequence[Candidate], score: Callable[[NDArray[np.float32]], NDArray[np.float64]]
) -> list[Candidate]:
    """Return candidates with the scores that their vectors, ``(n, dim)``, are given."""
    if not candidates:
        return []
    scores = score(np.stack([candidate.vector for candidate in candidates])).tolist()
    return [replace(c, score=found) for c, found in zip(candidates, scores, strict=True)]


def order(candidates: Sequence[Candidate], k: int, *, by_video: bool) -> list[Candidate]:
    """Return the first ``k``: larger scores first, equal ones by id; of a video only the best."""
    places = first_places(
        [candidate.score for candidate in candidates], k, lambda at: candidates[at].id,
        [candidate.payload.video_id for candidate in candidates] if by_video else None,
    )  # fmt: skip
    return [candidates[at] for at in places]


def first_places(
    scores: Sequence[float],
    k: int,
    id_of: Callable[[int], str],
    videos: Sequence[Any] | None = None,
) -> list[int]:
    """Return where the first ``k`` stand: larger scores first, equal ones by their points' ids.

    Of several with one value in ``videos`` only the best counts.
    """
    places = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    if len(set(scores)) < len(scores):
        places.sort(key=lambda at: (-scores[at], id_of(at)))
    if videos is not None:
        best: dict[Any, int] = {}
        for at in places:
            best.setdefault(videos[at], at)
        places = list(best.values())
    return places[:k]
