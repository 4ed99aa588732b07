"""Which points of the local index may match, decided before ranking."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vidrec.conditions import Condition, Filter
from vidrec.stores.knn.segment import Segment, video_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


def allowed_rows(segment: Segment, where: Filter) -> Mask | None:
    """Return which rows of a segment may match; None if there is no condition."""
    masks = [_holding(segment, condition) for condition in where.conditions]
    if where.scope is not None:
        masks.append(segment.of_scope[where.scope])
    if where.exclude_videos:
        masks.append(~segment.rows_of_videos(_hashes(where.exclude_videos)))
    if not masks:
        return None
    allowed: Mask = np.logical_and.reduce(masks)
    return allowed


def _holding(segment: Segment, condition: Condition) -> Mask:
    """Return which rows a condition holds for."""
    if condition.key == "video_id" and condition.op in ("=", "in", "!="):
        found = segment.rows_of_videos(_hashes(condition.values))
        return ~found if condition.op == "!=" else found
    return segment.column(condition.key).holding(condition)


@lru_cache(maxsize=4)
def _hashes(videos: Collection[str]) -> NDArray[np.uint64]:
    """Return the numbers of some videos in order: a session asks with the same thousands again."""
    return np.sort(np.array([video_hash(v) for v in videos if isinstance(v, str)], "<u8"))
