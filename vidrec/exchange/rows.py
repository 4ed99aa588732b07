"""Rows: one embedding each, with what is known of its video, as files and services hold them."""

from __future__ import annotations

import datetime
import decimal
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from vidrec.errors import UsageError
from vidrec.files import is_text
from vidrec.types import Scalar
from vidrec.vectors import unit_rows

Row = dict[str, Any]
# What is wrong with a row that cannot be taken.
Bad: TypeAlias = UsageError

TEXTS = ("embedder", "model", "video_id", "filename", "path", "url", "label", "group", "codec",
         "scope")  # fmt: skip
INTEGERS = ("dim", "size", "width", "height", "rotation")
FLOATS = ("duration_sec", "fps", "start_sec", "end_sec", "clip_seconds")
COLUMNS = (*TEXTS, *INTEGERS, *FLOATS, "options")
VECTOR_NAMES = ("vector", "embedding")
LONGEST_TEXT = 1 << 16  # letters of a value
LONGEST_LIST = 1000
_MAPPED = (*COLUMNS, VECTOR_NAMES[0])
_NO_EXTRA = {*COLUMNS, *VECTOR_NAMES, "extra", "fingerprint", "id"}
_NAMING = ("video_id", "path", "url", "filename")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LARGEST = 2**63 - 1
_EXACT = 2.0**53  # beyond it a float is no exact integer


@dataclass(slots=True)
class Reading:
    """Makes rows of what a source holds, and notes what it met.

    Attributes:
        columns: the source's own name of each column that has another one there; a dot leads into
            a table.
        left_out: names of what holds no plain values.
        unseen: the names of ``columns`` that no row had so far.
        owners: the libraries that wrote the rows, as far as they say so.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    unseen: set[str] = field(default_factory=set)
    owners: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.unseen = set(self.columns.values())

    def row(self, line: Mapping[str, Any], where: str) -> Row | Bad:
        """Return a line as a row of all columns, its vector of unit length; or what is wrong."""
        try:
            return self._row(self._renamed(line) if self.columns else line, where)
        except UsageError as exc:
            return exc

    @property
    def vectors(self) -> set[str]:
        """Names that vectors may have in the source; of one in a table, the table's."""
        mapped = self.columns.get(VECTOR_NAMES[0])
        return {*VECTOR_NAMES, *([mapped, mapped.partition(".")[0]] if mapped else ())}

    def _renamed(self, line: Mapping[str, Any]) -> dict[str, Any]:
        found = {key: value for key, value in line.items() if key not in self.columns.values()}
        for column, name in self.columns.items():
            found.pop(column, None)
            if (value := _inside(line, name)) is not None:
                self.unseen.discard(name)
                found[column] = value
        return found

    def _row(self, line: Mapping[str, Any], where: str) -> Row:
        for key, value in line.items():
            if isinstance(value, str) and len(value) > LONGEST_TEXT:
                raise UsageError(
                    f"{where}: {key} has {len(value):,} letters, {LONGEST_TEXT:,} at most"
                )
        row: Row = {"options": line.get("options"), "where": where}
        for name in (*TEXTS, "fingerprint"):
            row[name] = _text(line.get(name), f"{where}: {name}")
        for name in FLOATS:
            row[name] = _number(line.get(name), f"{where}: {name}")
        for name in INTEGERS[1:]:  # a vector says itself how long it is
            number = _number(line.get(name), f"{where}: {name}")
            row[name] = None if number is None else int(number)
        if "id" in line and not any(row[name] for name in _NAMING):
            row["filename"] = _text(line["id"], f"{where}: id")
        if not any(row[name] for name in _NAMING):
            held = ", ".join(map(str, line)) or "nothing"
            raise UsageError(
                f"{where} names no video: it needs one of {', '.join((*_NAMING, 'id'))}. "
                f"Received: {held[:200]}"
            )
        if row["embedder"]:
            checked_name(row["embedder"], f"{where}: embedder")
        _check_span(row, where)
        row["vector"] = _unit_vector(line, row, where)
        row["extra"] = self._extra(line, where)
        return row

    def _extra(self, line: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return what vidrec does not know; note what cannot be taken."""
        given = line.get("extra")
        others = dict(given) if isinstance(given, Mapping) else {}
        for key, value in line.items():
            if key not in _NO_EXTRA:
                others.setdefault(key, value)
        extra = {}
        for key, value in others.items():
            name = str(_text(key, f"{where}: a column"))
            try:
                extra[name] = _plain_value(value)
            except TypeError:
                self.left_out.add(name)
        return extra


def _inside(line: Mapping[str, Any], name: str) -> Any:
    if name in line:
        return line[name]
    value: Any = line
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _unit_vector(line: Mapping[str, Any], row: Row, where: str) -> Any:
    name = next((name for name in VECTOR_NAMES if line.get(name) is not None), None)
    if name is None:
        raise UsageError(
            f"{where} has no vector: a column `vector` or `embedding` is needed, or say what it is "
            "called by --map vector=NAME"
        )
    try:
        vector = np.asarray(line[name], dtype=np.float32)
    except (TypeError, ValueError, RecursionError) as exc:
        raise UsageError(f"{where}: {name} is no list of numbers") from exc
    if vector.ndim != 1 or not vector.size:
        raise UsageError(f"{where}: {name} is no list of numbers")
    return unit_rows(np.ascontiguousarray(vector)[None], [where])[0]


def checked_name(name: str, what: str) -> str:
    """Return an embedder's name: it becomes part of file names and fingerprints.

    Raises:
        UsageError: it holds more than letters, digits, ``_``, ``.`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what} is a name of letters, digits, _ . and -. Received: {name}")
    return name


def _check_span(row: Row, where: str) -> None:
    """Check what a row says of its stretch of the video."""
    if row["scope"] not in (None, "", "clip", "video"):
        raise UsageError(f"{where}: scope is clip or video. Received: {row['scope']}")
    start, end = row["start_sec"] or 0.0, row["end_sec"]
    if (first := min(start, row["duration_sec"] or 0.0)) < 0:
        raise UsageError(f"{where}: a time is below zero. Received: {first}")
    if end is not None and end < start:
        raise UsageError(f"{where}: a clip ends before it starts. Received: {start}-{end}")


def _text(value: Any, what: str) -> str | None:
    with suppress(TypeError):
        value = _scalar(value)  # a date is text, and what is no number is missing
    if value is None:
        return None
    if not isinstance(value, (str, int, float)) or not is_text(str(value)):
        raise UsageError(f"{what} is no text. Received: {value!r}")
    return str(value)


def _number(value: Any, what: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if math.isnan(number):
        return None
    if abs(number) > _EXACT:
        raise UsageError(f"{what} is no number. Received: {str(value)[:40]!r}")
    return number


def _plain_value(value: Any) -> Scalar | list[Scalar]:
    """Return a value, or a list of them, as it can be stored; of a list one is enough to filter.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        if len(value) > LONGEST_LIST:
            raise TypeError
        return [_scalar(one) for one in value]
    return _scalar(value)


def _scalar(value: Any) -> Scalar:
    """Return a value as it can be stored and filtered on: dates as ISO text, decimals as numbers.

    Raises:
        TypeError: it is none: a list, a mapping, bytes, what is no text.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str) and is_text(value):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return None
        return _scalar(int(value) if value == value.to_integral_value() else float(value))
    if isinstance(value, (datetime.date, datetime.time)):  # a moment is a date, too
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError


def parse_columns(wishes: Iterable[str]) -> dict[str, str]:
    """Return the columns that ``COLUMN=NAME`` texts name.

    Raises:
        UsageError: one is no such text, or names no column.
    """
    found: dict[str, str] = {}
    for wish in wishes:
        column, equals, name = (part.strip() for part in wish.partition("="))
        if not (equals and name and column in _MAPPED):
            raise UsageError(
                f"--map is COLUMN=NAME, and COLUMN one of {', '.join(_MAPPED)}. Received: {wish}"
            )
        found[column] = name
    return found
