"""Which points of the local index may match, decided before ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.conditions import ORDERS, Condition, Filter, holds, is_number
from vidrec.stores.knn.segment import SCOPES, Segment, video_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

IN_ROW = {"start_sec": "start", "end_sec": "end"}


def allowed_rows(segment: Segment, where: Filter) -> Mask | None:
    """Return which rows of a segment may match; None if there is no condition."""
    masks = [_holding(segment, condition) for condition in where.conditions]
    if where.scope is not None:
        masks.append(segment.rows["scope"] == SCOPES.index(where.scope))
    if where.exclude_videos:
        hashes = np.array([video_hash(video) for video in where.exclude_videos], "<u8")
        masks.append(~np.isin(segment.rows["video"], hashes))
    if not masks:
        return None
    allowed: Mask = np.logical_and.reduce(masks)
    return allowed


def _holding(segment: Segment, condition: Condition) -> Mask:
    """Return which rows a condition holds for: it is asked once of each different value."""
    found: Mask
    if condition.key == "scope":
        found = _of_values(condition, SCOPES)[segment.rows["scope"]]
    elif condition.key in IN_ROW:
        times, place = np.unique(segment.rows[IN_ROW[condition.key]], return_inverse=True)
        found = _of_values(condition, times.tolist())[place]
    else:
        codes, values = segment.column(condition.key)
        found = _of_values(condition, values)[codes][segment.rows["payload"]]
    return found


def _of_values(condition: Condition, values: Sequence[Any]) -> Mask:
    """Return for which values a condition holds; quickly where there are many."""
    if condition.op in ORDERS:
        numbers = np.array([v if is_number(v) else np.nan for v in values], np.float64)
        if not any(isinstance(value, list) for value in values):
            ordered: Mask = ORDERS[condition.op](numbers, condition.values[0])
            return ordered
    return np.fromiter((holds(condition, value) for value in values), bool, len(values))
