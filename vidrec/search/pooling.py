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

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidrec.errors import TransientError, UsageError
from vidrec.search.asked import AskedPart
from vidrec.search.query import Pool
from vidrec.types import Candidate
from vidrec.vectors import exact_scores, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.types import Vector

# The first n points for a vector, best first, without or with their vectors.
Nearest = Callable[["Vector", int], "list[Candidate]"]
LEAST = 64  # points a part that are looked at for a maximum


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


def first(
    parts: Sequence[AskedPart], pool: Pool, n: int, nearest: Nearest, *, by_video: bool
) -> list[Candidate]:
    """Return the first ``n`` points, or with ``by_video`` videos by their best point, best first.

    ``nearest`` has to rank in the same way, equal scores by id, for one vector.
    """
    if is_single(parts, pool):
        return nearest(mixed(parts), n)
    return _by_maximum(parts, n, nearest, by_video=by_video)


def _by_maximum(
    parts: Sequence[AskedPart], n: int, nearest: Nearest, *, by_video: bool
) -> list[Candidate]:
    """Look at ever more points of each liked part, until none that is left can be among the first.

    A point that was not seen scores for each part at most what the last one seen does (Fagin's
    threshold algorithm), and what is disliked only takes away.
    """
    liked = [
        (part, scale)
        for part, scale in zip(parts, scales_of(parts), strict=True)
        if part.part.weight > 0
    ]
    depth = max(LEAST, 4 * n)
    while True:
        seen: dict[str, Candidate] = {}
        limit = -float("inf")
        for part, (slope, offset) in liked:
            found = nearest(part.vector, depth)
            seen.update((candidate.id, candidate) for candidate in found)
            if len(found) == depth:
                limit = max(limit, part.part.weight * (slope * found[-1].score + offset))
        ranked = _ranked(parts, list(seen.values()), by_video=by_video)
        sure = [candidate for candidate in ranked[:n] if candidate.score > limit]
        if len(sure) == n or limit == -float("inf"):
            return ranked[:n]
        depth *= 4


def _ranked(
    parts: Sequence[AskedPart], candidates: list[Candidate], *, by_video: bool
) -> list[Candidate]:
    if not candidates:
        return []
    scores = pooled_scores(parts, np.stack([candidate.vector for candidate in candidates]))
    order = sorted(range(len(candidates)), key=lambda at: (-scores[at], candidates[at].id))
    ranked, videos = [], set()
    for at in order:
        found = candidates[at]
        video = found.payload.video_id if by_video else found.id
        if video not in videos:
            videos.add(video)
            ranked.append(Candidate(found.id, float(scores[at]), found.payload, found.vector))
    return ranked


def pooled_scores(parts: Sequence[AskedPart], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the score by the maximum of each of ``(n, dim)`` unit vectors."""
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
