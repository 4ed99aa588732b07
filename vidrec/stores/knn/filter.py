"""Which points of the local index may match, decided before ranking."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.errors import UsageError
from vidrec.stores.knn.files import ROW_COLUMNS, SCOPES, Generation, Snapshot, select_in
from vidrec.types import PAYLOAD_FIELDS, Filter, Scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray


def allowed_rows(
    generation: Generation, snapshot: Snapshot, where: Filter
) -> NDArray[np.bool_] | None:
    """Return which rows may match; None if there is no condition.

    Raises:
        UsageError: a condition names a key that no payload has.
    """
    rows, db = snapshot.rows, generation.db
    masks = []
    if where.scope is not None:
        masks.append(rows["scope"] == SCOPES.index(where.scope))
    if where.exclude_videos:
        select = "SELECT no FROM videos WHERE video_id IN"
        numbers = [row[0] for row in select_in(db, select, sorted(where.exclude_videos))]
        masks.append(~np.isin(rows["video"], np.array(numbers, dtype="<i4")))
    for key, values in where.equals.items():
        if key == "scope":
            codes = [SCOPES.index(value) for value in values if value in SCOPES]
            masks.append(np.isin(rows["scope"], np.array(codes, dtype="u1")))
        elif key in ROW_COLUMNS:
            times = [value for value in values if _is_number(value)]
            masks.append(np.isin(rows[ROW_COLUMNS[key]], np.array(times, dtype="<f8")))
        else:
            matching = _payloads_where(db, key, values)
            masks.append(np.isin(rows["payload"], np.array(matching, dtype="<i4")))
    if not masks:
        return None
    allowed: NDArray[np.bool_] = np.logical_and.reduce(masks)
    return allowed


def _payloads_where(db: sqlite3.Connection, key: str, values: Sequence[Scalar]) -> list[int]:
    """Return the numbers of the payloads with one of the values under a key.

    The text of a payload must hold the key, or the whole pair if the value is a text: only what
    has it is parsed.
    """
    if key not in PAYLOAD_FIELDS:
        extra = [row[0] for row in db.execute("SELECT key FROM keys ORDER BY key")]
        if key not in extra:
            known = ", ".join([*PAYLOAD_FIELDS, *extra])
            raise UsageError(f"no point has a {key!r} to filter on: choose one of {known}")
    prefix = f"{json.dumps(key)}: "
    parts = [prefix + json.dumps(value) if isinstance(value, str) else prefix for value in values]
    if None in values:
        parts = [""]  # a missing key is a None, too
    bodies = db.execute("SELECT no, body FROM payloads").fetchall()
    near: dict[int, str] = {}
    for part in set(parts):
        near.update([(no, body) for no, body in bodies if part in body])
    found = []
    for no, body in near.items():
        stored = json.loads(body).get(key)
        if any(same_value(stored, value) for value in values):
            found.append(no)
    return found


def same_value(stored: Any, wanted: Scalar) -> bool:
    """Compare as JSON does: 1 equals 1.0, but neither "1" nor true. None is null or missing."""
    if _is_number(stored) and _is_number(wanted):
        return bool(stored == wanted)
    return type(stored) is type(wanted) and bool(stored == wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
