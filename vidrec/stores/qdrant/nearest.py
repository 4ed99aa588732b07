"""The first ``k`` of a query: few requests, and the order that every store gives.

A float32 score tells two points apart only if it differs by more than its rounding error. So
candidates are fetched until the last one lies clearly below the k-th, and points whose scores
are too near to each other are ranked by their vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.stores import ranking
from vidrec.stores.qdrant.engine import Engine, Hit
from vidrec.types import Filter

if TYPE_CHECKING:
    from vidrec.types import Vector

# Asked for beyond k, so that one answer usually shows that the k-th is clear of the next.
SPARE = 6
VECTORS_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Ranked:
    """A match with its payload as stored."""

    id: str
    score: float
    payload: Mapping[str, Any]


def margin(dim: int) -> float:
    """Return how near two scores of the server may lie and still be in the wrong order.

    It sums in float32, in 16 or more lanes: a score errs by at most (dim / 16 + 8) roundings of
    2**-24 each, two of them by twice that.
    """
    return 2 * (dim / 16 + 8) * 2.0**-24


def nearest_points(
    engine: Engine, name: str, vector: Vector, k: int, where: Filter
) -> list[Ranked]:
    """Return the best ``k`` points."""
    near = margin(len(vector))
    limit = k + SPARE
    while True:
        hits = engine.nearest(name, vector, limit, where)
        if len(hits) < limit or hits[-1].score < hits[k - 1].score - near:
            break
        limit = max(64, 4 * limit)
    return _rank(engine, name, vector, hits, k, near, by_video=False)


def nearest_videos(
    engine: Engine, name: str, vector: Vector, k: int, where: Filter
) -> list[Ranked]:
    """Return the best point of each of the best ``k`` videos."""
    near = margin(len(vector))
    hits: dict[str, Sequence[Hit]] = {}  # of each video, best first
    more: set[str] = set()
    limit = k + SPARE
    rest = where
    while True:
        found, complete = engine.nearest_videos(name, vector, limit, rest)
        hits.update({video.video_id: video.hits for video in found})
        more.update(video.video_id for video in found if video.more)
        best = sorted((of[0].score for of in hits.values()), reverse=True)
        if complete or not found or (len(best) > k and best[-1] < best[k - 1] - near):
            break
        rest = replace(rest, exclude_videos=where.exclude_videos | hits.keys())
        limit = max(64, limit)
    lowest = best[k - 1] - near if len(best) >= k else -np.inf
    candidates: list[Hit] = []
    for video, of in hits.items():
        if of[0].score < lowest:
            continue
        if video in more and of[-1].score >= of[0].score - near:
            of = _equals(engine, name, vector, video, where, near)
        candidates += [hit for hit in of if hit.score >= of[0].score - near]
    candidates.sort(key=lambda hit: -hit.score)
    return _rank(engine, name, vector, candidates, k, near, by_video=True)


def _equals(
    engine: Engine, name: str, vector: Vector, video: str, where: Filter, near: float
) -> Sequence[Hit]:
    """Return all points of a video that may be its best: a still picture has many."""
    inside = replace(where, equals={**where.equals, "video_id": (video,)})
    limit = 64
    while True:
        hits = engine.nearest(name, vector, limit, inside)
        if len(hits) < limit or hits[-1].score < hits[0].score - near:
            return hits
        limit *= 4


def _rank(
    engine: Engine,
    name: str,
    vector: Vector,
    hits: Sequence[Hit],
    k: int,
    near: float,
    *,
    by_video: bool,
) -> list[Ranked]:
    """Return the first ``k`` of hits that are sorted by float32 score."""
    scores = [hit.score for hit in hits]
    videos = [hit.payload["video_id"] for hit in hits] if by_video else None
    unclear = _unclear(scores, near, _enough(videos, k))
    exact = _exact(engine, name, vector, [hits[at].id for at in unclear])
    for at in unclear:
        scores[at] = exact.get(hits[at].id, scores[at])
    first = ranking.order(scores, [hit.id for hit in hits], k, videos)
    return [Ranked(hits[at].id, scores[at], hits[at].payload) for at in first]


def _enough(videos: Sequence[str] | None, k: int) -> int:
    """Return how many hits hold the first ``k`` videos (or points)."""
    if videos is None:
        return k
    seen: set[str] = set()
    for at, video in enumerate(videos):
        seen.add(video)
        if len(seen) == k:
            return at + 1
    return len(videos)


def _unclear(scores: Sequence[float], near: float, enough: int) -> list[int]:
    """Return the positions of scores too near to a neighbour, as far as the order matters."""
    unclear: list[int] = []
    start = 0
    for at in range(1, len(scores) + 1):
        if at == len(scores) or scores[at] < scores[at - 1] - near:
            if at - start > 1:
                unclear += range(start, at)
            start = at
            if start >= enough:
                break
    return unclear


def _exact(engine: Engine, name: str, vector: Vector, ids: Sequence[str]) -> dict[str, float]:
    """Return the exact scores of points; those that are gone meanwhile are left out."""
    scores: dict[str, float] = {}
    for start in range(0, len(ids), VECTORS_AT_A_TIME):
        some = ids[start : start + VECTORS_AT_A_TIME]
        found = [
            stored for stored in engine.fetch(name, some, payload=False, vector=True)
            if stored.vector is not None
        ]  # fmt: skip
        if found:
            rows = np.stack([stored.vector for stored in found if stored.vector is not None])
            exact = ranking.exact_scores(rows, vector)
            scores.update(zip((stored.id for stored in found), exact.tolist(), strict=True))
    return scores
