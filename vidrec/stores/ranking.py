"""One ranking for all stores: exact scores, ties by point id, one point a video.

A store finds candidates in its own way, in float32 and in its own order; what is near the limit
is decided here, from the vectors. Scores are recomputed row by row in float64, so that they
depend neither on where a row lies nor on how a library sums, and equal vectors get equal scores.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidrec.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Vectors this near to unit length are kept bit for bit, others are scaled.
UNIT_TOLERANCE = 1e-5
# Rows that are turned into float64 at a time: 16 MiB at 512 numbers a row.
ROWS_AT_A_TIME = 4096


def margin(dim: int) -> float:
    """Return how far two float32 scores may lie from their true order.

    A sum of ``dim`` products of unit vectors, added up in any order in float32, errs by at most
    about ``dim * 2**-24`` (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). If the
    float32 scores of two points differ by more than the margin, their order is certain.
    """
    return 2.02 * dim * 2.0**-24


def unit_rows(vectors: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    """Return the (n, dim) rows as unit vectors; what is of unit length stays bit for bit.

    Raises:
        UsageError: a row is all zeros or holds a number that is not finite.
    """
    near = np.einsum("ij,ij->i", vectors, vectors)
    off = np.flatnonzero(~(np.abs(near - 1.0) <= 2 * UNIT_TOLERANCE))
    if not off.size:
        return vectors
    wide = vectors[off].astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    bad = off[~(np.isfinite(lengths) & (lengths > 0))]
    if bad.size:
        raise UsageError(
            f"the vector of {names[int(bad[0])]} has no direction: it is all zeros, or holds "
            "numbers that are not finite"
        )
    scaled = vectors.copy()
    scaled[off] = wide / lengths[:, None]
    return scaled


def exact_scores(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the float64 cosine of every (n, dim) unit row with the (dim,) unit query.

    Products of float32 numbers are exact in float64, and each row is summed by itself.
    """
    wide = query.astype(np.float64)
    scores = np.empty(len(vectors), dtype=np.float64)
    for start in range(0, len(vectors), ROWS_AT_A_TIME):
        part = vectors[start : start + ROWS_AT_A_TIME]
        scores[start : start + len(part)] = np.add.reduce(part * wide, axis=1)
    return scores


def shortlist(
    scores: NDArray[np.float32],
    k: int,
    margin: float,
    videos: NDArray[np.int32] | None = None,
) -> NDArray[np.intp]:
    """Return the positions of all points that may belong to the first ``k``, in no order.

    Args:
        scores: float32 scores; ``-inf`` marks what must not match.
        k: how many are wanted: points, or with ``videos`` videos.
        margin: float32 scores nearer than this say nothing about order.
        videos: each point's video as a number, to keep only the best point of a video.
    """
    limit = -np.inf
    if videos is not None:
        limit = _quick_limit_by_video(scores, k, videos)
        if limit == -np.inf:
            return _best_of_videos(scores, k, margin, videos)
    elif k < len(scores):
        limit = float(np.partition(scores, len(scores) - k)[len(scores) - k])
    if limit == -np.inf:
        return np.flatnonzero(scores > -np.inf)
    return np.flatnonzero(scores >= limit - margin)


def _quick_limit_by_video(scores: NDArray[np.float32], k: int, videos: NDArray[np.int32]) -> float:
    """Return the best score of the k-th best video if it is among the first points, else -inf."""
    guess = 8 * k + 64
    if guess >= len(scores):
        return -np.inf
    top = np.argpartition(scores, len(scores) - guess)[-guess:]
    top = top[np.argsort(-scores[top], kind="stable")]
    _, first = np.unique(videos[top], return_index=True)
    return float(scores[top[np.sort(first)[k - 1]]]) if len(first) >= k else -np.inf


def _best_of_videos(
    scores: NDArray[np.float32], k: int, margin: float, videos: NDArray[np.int32]
) -> NDArray[np.intp]:
    """Return what may be the best point of one of the ``k`` best videos, from all points."""
    if not len(scores):
        return np.flatnonzero(scores)
    names, places = np.unique(videos, return_inverse=True)
    best = np.full(len(names), -np.inf, dtype=np.float32)
    np.maximum.at(best, places, scores)
    limit = float(np.partition(best, len(best) - k)[len(best) - k]) if k < len(best) else -np.inf
    near = (scores >= best[places] - margin) & (scores >= limit - margin)
    return np.flatnonzero(near & (scores > -np.inf))


def order(
    scores: Sequence[float] | NDArray[np.float64],
    ids: Sequence[str],
    k: int,
    videos: Sequence[Hashable] | None = None,
) -> list[int]:
    """Return the positions of the first ``k``: larger scores first, equal ones by id.

    With ``videos`` (each point's video) only the best point of every video counts.
    """
    ranked = sorted(range(len(ids)), key=lambda at: (-scores[at], ids[at]))
    if videos is None:
        return ranked[:k]
    seen: set[Hashable] = set()
    kept = []
    for at in ranked:
        if videos[at] not in seen:
            seen.add(videos[at])
            kept.append(at)
            if len(kept) == k:
                break
    return kept


def settled(scores: Sequence[float], k: int, margin: float) -> bool:
    """Tell whether candidates, sorted by float32 score, surely hold the true first ``k``.

    False when the last one is still within the margin of the k-th: more must be fetched, as
    what was left out may be its equal. (With grouping: give the best score of each video.)
    """
    return len(scores) > k and scores[-1] < scores[k - 1] - margin
