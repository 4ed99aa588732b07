"""Pooling: the liked and disliked parts of a query make one score.

Of liked unit vectors p with weights w, and disliked ones n with weights v, a point x scores

- by the *mean*: cos(x, 2·mean(w·p) − mean(v·n)), Rocchio's formula ("Relevance Feedback in
  Information Retrieval", 1971) with the weights of Qdrant's ``average_vector`` strategy: one taste;
- by the *max*: max(w·cos(x, p)) − ½·max(0, max(v·cos(x, n))), after Qdrant's ``best_score``:
  several tastes at once, each with the points that are nearest to it. What is disliked costs half
  of its score, so that it sinks, and the list never empties.

Cosines of texts and of videos differ in size. Where the parts of a maximum are of several kinds
that are all calibrated, each score is first brought to the scale of the first liked part's kind:
equal scores then mean equal confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidrec.errors import TransientError, UsageError
from vidrec.search.asked import AskedPart
from vidrec.search.query import Pool
from vidrec.vectors import exact_scores, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.types import Vector


def mixed(parts: Sequence[AskedPart]) -> Vector:
    """Return the one unit vector that a mean looks for.

    Raises:
        UsageError: the parts cancel each other out.
    """
    if len(parts) == 1:
        return parts[0].vector
    liked = [part.part.weight * part.vector for part in parts if part.part.weight > 0]
    total = 2 * np.mean(liked, axis=0)
    disliked = [part.part.weight * part.vector for part in parts if part.part.weight < 0]
    if disliked:
        total += np.mean(disliked, axis=0)
    try:
        return unit(total)
    except TransientError as exc:
        raise UsageError("what is liked and what is disliked cancel each other out") from exc


def is_single(parts: Sequence[AskedPart], pool: Pool) -> bool:
    """Whether one vector says it all."""
    return pool == "mean" or len(parts) == 1


def scores_of(
    parts: Sequence[AskedPart], pool: Pool, vectors: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return how well each of ``(n, dim)`` unit vectors fits."""
    if is_single(parts, pool):
        return exact_scores(vectors, mixed(parts))
    best = np.full(len(vectors), -np.inf)
    worst = np.zeros(len(vectors))
    for part, (slope, offset) in zip(parts, scales_of(parts), strict=True):
        scores = abs(part.part.weight) * (slope * exact_scores(vectors, part.vector) + offset)
        if part.part.weight > 0:
            best = np.maximum(best, scores)
        else:
            worst = np.maximum(worst, scores)
    pooled: NDArray[np.float64] = best - worst / 2
    return pooled


def given(parts: Sequence[AskedPart], pool: Pool, vector: Vector) -> list[tuple[float, float]]:
    """Return what each part gives to the score of a point, a ``(dim,)`` unit vector.

    Each is (slope, offset): the part gives slope times its own cosine, plus offset. Together they
    give the score.
    """
    if len(parts) == 1:
        return [(1.0, 0.0)]
    weights = [part.part.weight for part in parts]
    if is_single(parts, pool):
        liked = sum(weight > 0 for weight in weights)
        slopes = [2 * w / liked if w > 0 else w / (len(weights) - liked) for w in weights]
        wide = [
            slope * part.vector.astype(np.float64)
            for slope, part in zip(slopes, parts, strict=True)
        ]
        length = float(np.linalg.norm(np.sum(wide, axis=0)))
        return [(slope / length, 0.0) for slope in slopes]
    scaled = [
        (abs(weight) * slope, abs(weight) * offset)
        for weight, (slope, offset) in zip(weights, scales_of(parts), strict=True)
    ]
    scores = [
        slope * float(vector @ part.vector) + offset
        for part, (slope, offset) in zip(parts, scaled, strict=True)
    ]
    best = max((at for at, w in enumerate(weights) if w > 0), key=scores.__getitem__)
    worst = max((at for at, w in enumerate(weights) if w < 0), key=scores.__getitem__, default=-1)
    found = [(0.0, 0.0)] * len(parts)
    found[best] = scaled[best]
    if worst >= 0 and scores[worst] > 0:
        slope, offset = scaled[worst]
        found[worst] = (-slope / 2, -offset / 2)
    return found


def scales_of(parts: Sequence[AskedPart]) -> list[tuple[float, float]]:
    """Return (slope, offset) that bring each part's cosines to the scale of the first liked one."""
    lead = next(part.calibration for part in parts if part.part.weight > 0)
    meanings = [part.calibration for part in parts]
    if lead is None or any(meaning is None or meaning.slope <= 0 for meaning in meanings):
        return [(1.0, 0.0)] * len(parts)
    return [
        (meaning.slope / lead.slope, (meaning.offset - lead.offset) / lead.slope)
        for meaning in meanings
        if meaning is not None
    ]
