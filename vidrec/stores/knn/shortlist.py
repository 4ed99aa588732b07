"""Which points of a float32 scan may be among the first, before exact scores decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidrec.vectors import margin

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shortlist(
    scores: NDArray[np.float32], n: int, dim: int, videos: NDArray[np.uint64] | None = None
) -> tuple[NDArray[np.intp], float]:
    """Return the positions of all points that may belong to the first ``n``, in no order.

    So much about the limit is taken that who scores them exactly need not ask again.

    Args:
        scores: float32 scores; ``-inf`` marks what must not match.
        n: how many are wanted: points, or with ``videos`` videos.
        dim: the length of the vectors, which rounding grows with.
        videos: each point's video as a number, to keep only the best points of a video.

    Returns:
        The positions, and the best score that a point which was left out may have.
    """
    allowed = scores > -np.inf
    if 2 * np.count_nonzero(allowed) < len(scores):  # among equals a partition takes very long
        rows = np.flatnonzero(allowed)
        of_rows = None if videos is None else videos[rows]
        found, best_left = shortlist(scores[rows], n, dim, of_rows)
        return rows[found], best_left
    near = 2 * margin(dim)
    limit = -np.inf
    if videos is not None:
        limit = _quick_limit_by_video(scores, n, videos)
        if limit == -np.inf:
            return _best_of_videos(scores, n, near, videos)
    elif n < len(scores):
        limit = float(np.partition(scores, len(scores) - n)[len(scores) - n])
    if limit == -np.inf:
        return np.flatnonzero(scores > -np.inf), limit
    return np.flatnonzero(scores >= limit - near), limit - near


def _quick_limit_by_video(scores: NDArray[np.float32], k: int, videos: NDArray[np.uint64]) -> float:
    """Return the best score of the k-th best video if it is among the first points, else -inf."""
    guess = 8 * k + 64
    if guess >= len(scores):
        return -np.inf
    top = np.argpartition(scores, len(scores) - guess)[-guess:]
    top = top[np.argsort(-scores[top], kind="stable")]
    _, first = np.unique(videos[top], return_index=True)
    return float(scores[top[np.sort(first)[k - 1]]]) if len(first) >= k else -np.inf


def _best_of_videos(
    scores: NDArray[np.float32], k: int, margin: float, videos: NDArray[np.uint64]
) -> tuple[NDArray[np.intp], float]:
    """Return what may be the best point of one of the ``k`` best videos, from all points."""
    names, places = np.unique(videos, return_inverse=True)
    best = np.full(len(names), -np.inf, dtype=np.float32)
    np.maximum.at(best, places, scores)
    limit = float(np.partition(best, len(best) - k)[len(best) - k]) if k < len(best) else -np.inf
    near = (scores >= best[places] - margin) & (scores >= limit - margin)
    return np.flatnonzero(near & (scores > -np.inf)), limit - margin
