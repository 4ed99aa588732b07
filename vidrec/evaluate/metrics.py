"""How good a ranking is: retrieval measures, what chance would reach, and bootstrap intervals.

Pure functions on arrays. Rankings are as everywhere in vidrec: larger scores first, and equal
scores in the order of the rows, which callers sort by point id. Scores are float64, so that equal
vectors have equal scores wherever they lie. All work is cut into blocks of bounded memory.

This module imports numpy at its top; import it where it is used (start-up time).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Vectors = NDArray[np.float32]

# Scores in one block: 32 MiB, and some times that while they are ranked.
BLOCK_SCORES = 1 << 22
# Rows that are turned into float64 at a time.
BLOCK_ROWS = 8192
# float64 sums of float32 products err by about 1e-15; what differs by less than this is equal.
DECIMALS = 12
RESAMPLES, LEVEL = 2000, 0.95  # of the bootstrap


@dataclass(frozen=True, slots=True)
class Quality:
    """What queries gave that had anything to find, one entry a query.

    Precision at k is over the first k, or over all where there are fewer candidates. Average
    precision is over the whole ranking.

    Attributes:
        precision_1, precision_5, precision_10, average_precision: ``(q,)`` in [0, 1].
        relevant: ``(q,)`` how many candidates are right.
        candidates: ``(q,)`` how many there were to rank.
    """

    precision_1: Floats
    precision_5: Floats
    precision_10: Floats
    average_precision: Floats
    relevant: Integers
    candidates: Integers


def _quality(rankings: Iterable[tuple[NDArray[np.bool_], NDArray[np.bool_]]]) -> Quality:
    """Measure blocks of rankings: which rows are right, which are candidates; ``(q, n)`` each."""
    parts = [np.empty((6, 0))]
    for right, candidate in rankings:
        rank = candidate.cumsum(axis=1)
        relevant, candidates = right.sum(axis=1), rank[:, -1]
        first = [(right & (rank <= k)).sum(axis=1) / np.clip(candidates, 1, k) for k in (1, 5, 10)]
        precision = right.cumsum(axis=1) / np.maximum(rank, 1)
        average = (precision * right).sum(axis=1) / np.maximum(relevant, 1)
        parts.append(np.stack([*first, average, relevant, candidates]))
    table = np.concatenate(parts, axis=1)
    table = table[:, table[4] > 0]
    return Quality(*table[:4], *table[4:].astype(np.int64))


def relevant_quality(
    queries: Vectors, relevant: NDArray[np.bool_], vectors: Vectors, videos: Integers
) -> tuple[Quality, Floats]:
    """Rank all videos for each query, each where its best row stands; also return best scores.

    Args:
        queries: ``(q, dim)`` unit vectors.
        relevant: ``(q, m)`` which videos fit; at least one each.
        vectors: ``(n, dim)`` unit vectors; equal scores rank in row order.
        videos: ``(n,)`` the video of each row, 0 to m - 1; every video has a row.
    """
    best = np.empty(len(queries))

    def rankings() -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        for block, scores in _score_blocks(queries, vectors):
            best[block] = scores.max(axis=1)
            order = np.argsort(-scores, axis=1, kind="stable")
            first = [np.unique(row, return_index=True)[1] for row in videos[order]]
            right = np.take_along_axis(relevant[block], np.argsort(first, axis=1), axis=1)
            yield right, np.ones_like(right)

    return _quality(rankings()), best


def target_ranks(
    queries: Vectors, targets: Integers, vectors: Vectors, videos: Integers
) -> Integers:
    """Return the rank, from 1, of each query's target video among all videos.

    A video stands where its best row stands.

    Args:
        queries: ``(q, dim)`` unit vectors.
        targets: ``(q,)`` the video that each query should find.
        vectors: ``(n, dim)`` unit vectors; equal scores rank in row order.
        videos: ``(n,)`` the video of each row; every target has a row.
    """
    by_video = np.argsort(videos, kind="stable")
    _, starts = np.unique(videos[by_video], return_index=True)
    rows = np.arange(len(vectors))
    ranks = np.empty(len(queries), dtype=np.int64)
    for block, scores in _score_blocks(queries, vectors):
        own = videos == targets[block, None]  # q n
        best = np.where(own, scores, -np.inf).argmax(axis=1)[:, None]  # the first of equals
        best_score = np.take_along_axis(scores, best, axis=1)
        before = (scores > best_score) | ((scores == best_score) & (rows < best))
        ranks[block] = 1 + np.logical_or.reduceat(before[:, by_video], starts, axis=1).sum(axis=1)
    return ranks


def neighbour_quality(
    vectors: Vectors, labels: Integers, queries: Integers, groups: Integers | None = None
) -> Quality:
    """Rank all other rows for each query row; those with its label are right.

    Queries without any right answer are left out.

    Args:
        vectors: ``(n, dim)`` unit vectors; equal scores rank in row order.
        labels: ``(n,)``.
        queries: ``(q,)`` rows to ask with.
        groups: ``(n,)``; if given, rows of the query's own group are no candidates. Negative
            numbers are rows without a group.
    """

    def rankings() -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        for block, scores in _score_blocks(vectors[queries], vectors):
            asked = queries[block, None]
            order = np.argsort(-scores, axis=1, kind="stable")
            candidate = order != asked
            if groups is not None:
                candidate &= (groups[order] != groups[asked]) | (groups[asked] < 0)
            yield (labels[order] == labels[asked]) & candidate, candidate

    return _quality(rankings())


def best_scores(
    queries: Vectors,
    own: Integers,
    vectors: Vectors,
    videos: Integers,
    labels: Integers,
    away: Integers | None = None,
) -> tuple[Floats, Floats]:
    """Return each query's best score, and its best after all that fits it was taken away.

    The query's own video fits it, and so does what has that video's label. Queries that nothing
    fits, or everything, are left out.

    Args:
        queries: ``(q, dim)`` unit vectors.
        own: ``(q,)`` the video that a query is about.
        vectors: ``(n, dim)`` unit vectors.
        videos: ``(n,)`` the video of each row.
        labels: ``(m,)`` the label of each video; negative numbers are none.
        away: ``(m,)`` a number for each video; if given, rows of videos with the query's own are
            no candidates (its own video itself, or all of its group).
    """
    present, absent = [], []
    for block, scores in _score_blocks(queries, vectors):
        asked = own[block, None]
        fits = (videos == asked) | ((labels[videos] == labels[asked]) & (labels[asked] >= 0))
        if away is not None:
            scores[away[videos] == away[asked]] = -np.inf
        present.append(scores.max(axis=1, initial=-np.inf))
        fitting = np.where(fits, scores, -np.inf).max(axis=1, initial=-np.inf)
        rest = np.where(fits, -np.inf, scores).max(axis=1, initial=-np.inf)
        absent.append(np.where(np.isfinite(fitting), rest, -np.inf))
    if not present:
        return np.empty(0), np.empty(0)
    best, without = np.concatenate(present), np.concatenate(absent)
    kept = np.isfinite(without)
    return best[kept], without[kept]


def chance_precision(quality: Quality) -> float:
    """Return the expected precision, at any rank, of a random ranking."""
    return float(np.mean(quality.relevant / quality.candidates))


def chance_average_precision(quality: Quality) -> float:
    """Return the expected average precision of a random ranking, exactly.

    With R right answers among N, the expected precision at the place of a right answer at rank i
    is (1 + (i - 1)(R - 1)/(N - 1)) / i; a right answer stands at any rank alike.
    """
    right, total = quality.relevant.astype(float), quality.candidates.astype(float)
    harmonic = harmonic_numbers(int(quality.candidates.max()))[quality.candidates]
    slope = (right - 1) / np.maximum(total - 1, 1)
    return float(np.mean((harmonic + slope * (total - harmonic)) / total))


def harmonic_numbers(count: int) -> Floats:
    """Return H_0 … H_count, the sums of 1/i."""
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, count + 1))])


def bootstrap_interval(
    values: Floats, statistic: Callable[..., Any] = np.mean, *, seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of a statistic over queries drawn with replacement.

    ``statistic`` reduces the last axis of an array, as ``np.mean`` does with ``axis=-1``.
    """
    random = np.random.default_rng(seed)
    rows = max(1, BLOCK_SCORES // max(len(values), 1))
    drawn = []
    for start in range(0, RESAMPLES, rows):
        size = (min(rows, RESAMPLES - start), len(values))
        drawn.append(statistic(values[random.integers(len(values), size=size)], axis=-1))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail])
    return float(low), float(high)


def _score_blocks(queries: Vectors, vectors: Vectors) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of queries with their ``(q, n)`` scores."""
    size = max(1, BLOCK_SCORES // max(len(vectors), 1))
    for start in range(0, len(queries), size):
        block = slice(start, min(start + size, len(queries)))
        wide = queries[block].astype(np.float64)
        scores = np.empty((len(wide), len(vectors)))
        for row in range(0, len(vectors), BLOCK_ROWS):
            part = vectors[row : row + BLOCK_ROWS].astype(np.float64)
            scores[:, row : row + len(part)] = wide @ part.T
        yield block, np.round(scores, DECIMALS, out=scores)
