"""How rows are read: which of a source's names stand for which of vidrec's columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vidrec.errors import UsageError
from vidrec.exchange.rows import COLUMNS, VECTOR_NAMES, Row, row_of

# What is wrong with a row that cannot be taken.
Bad: TypeAlias = UsageError

MAPPED = (*COLUMNS, VECTOR_NAMES[0])


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
        """Return a line as a row, or what is wrong with it."""
        try:
            return row_of(self._renamed(line) if self.columns else line, where, self.left_out)
        except UsageError as exc:
            return exc

    def _renamed(self, line: Mapping[str, Any]) -> dict[str, Any]:
        found = {key: value for key, value in line.items() if key not in self.columns.values()}
        for column, name in self.columns.items():
            found.pop(column, None)
            if (value := _inside(line, name)) is not None:
                self.unseen.discard(name)
                found[column] = value
        return found


def _inside(line: Mapping[str, Any], name: str) -> Any:
    if name in line:
        return line[name]
    value: Any = line
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def parse_columns(wishes: Iterable[str]) -> dict[str, str]:
    """Return the columns that ``COLUMN=NAME`` texts name.

    Raises:
        UsageError: one is no such text, or names no column.
    """
    found: dict[str, str] = {}
    for wish in wishes:
        column, equals, name = wish.partition("=")
        if not equals or not name.strip() or column.strip() not in MAPPED:
            raise UsageError(
                f"--map is COLUMN=NAME, and COLUMN one of {', '.join(MAPPED)}. Received: {wish}"
            )
        found[column.strip()] = name.strip()
    return found
