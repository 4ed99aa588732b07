"""Rows: one embedding each, with what is known of its video, as files hold them."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from vidrec.errors import UsageError
from vidrec.types import Scalar

Row = dict[str, Any]

TEXTS = ("embedder", "model", "video_id", "filename", "path", "url", "label", "group", "codec",
         "scope")  # fmt: skip
INTEGERS = ("dim", "size", "width", "height", "rotation")
FLOATS = ("duration_sec", "fps", "start_sec", "end_sec", "clip_seconds")
COLUMNS = (*TEXTS, *INTEGERS, *FLOATS, "options")
VECTOR_NAMES = ("vector", "embedding")
LONGEST_TEXT = 1 << 16  # letters of a value
LONGEST_LIST = 1000
_LARGEST = 2**63 - 1


def row_of(line: Mapping[str, Any], where: str, left_out: set[str]) -> Row:
    """Sort a line's values into known columns, vector and extra; note what cannot be taken.

    Raises:
        UsageError: it has no vector, or a text beyond measure.
    """
    name = next((name for name in VECTOR_NAMES if line.get(name) is not None), None)
    if name is None:
        raise UsageError(f"{where} has no vector: a column `vector` or `embedding` is needed")
    try:
        vector = np.asarray(line[name], dtype=np.float32)
    except (TypeError, ValueError, RecursionError) as exc:
        raise UsageError(f"{where}: {name} is no list of numbers") from exc
    if vector.ndim != 1 or not vector.size:
        raise UsageError(f"{where}: {name} is no list of numbers")
    extra = line.get("extra")
    row: Row = {"vector": vector}
    others = dict(extra) if isinstance(extra, Mapping) else {}
    for key, value in line.items():
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise UsageError(f"{where}: {key} has {len(value):,} letters, {LONGEST_TEXT:,} at most")
        if key in COLUMNS:
            row[key] = value
        elif key not in (*VECTOR_NAMES, "extra", "fingerprint", "id"):
            others.setdefault(key, value)
    if "id" in line and not any(row.get(key) for key in ("video_id", "path", "url", "filename")):
        row["filename"] = str(line["id"])
    if line.get("fingerprint"):
        row["fingerprint"] = str(line["fingerprint"])
    row["extra"] = {}
    for key, value in others.items():
        try:
            row["extra"][key] = plain_value(value)
        except TypeError:
            left_out.add(str(key))
    return row


def plain_value(value: Any) -> Scalar | list[Scalar]:
    """Return a value, or a list of them, as it can be stored; of a list one is enough to filter.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        if len(value) > LONGEST_LIST:
            raise TypeError
        return [scalar(one) for one in value]
    return scalar(value)


def scalar(value: Any) -> Scalar:
    """Return a value as it can be stored and filtered on: dates as ISO text, decimals as numbers.

    Raises:
        TypeError: it is none: a list, a mapping, bytes.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return None
        return scalar(int(value) if value == value.to_integral_value() else float(value))
    if isinstance(value, (datetime.date, datetime.time)):  # a moment is a date, too
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError
