"""CSV files as people and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from vidrec.errors import UsageError

MARKS = ",;\t|"  # what may set columns apart
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEP = re.compile(r"(?i)\A\s*sep=(.)[ \t]*(?=[\r\n])")  # a first line that Excel knows


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line that it ends on, and its cells by column, as many as it has.

    With a ``problem`` they may be in the wrong columns.
    """

    line: int
    cells: dict[str, str]
    problem: str = ""


def read_text(path: Path) -> str:
    """Return a file's text, or that on stdin (``-``): UTF-8, or UTF-16 if it begins with its mark.

    Raises:
        UsageError: it cannot be read, or is neither.
    """
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        text = raw.decode("utf-16" if raw.startswith(_UTF16) else "utf-8-sig")
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is not UTF-8: save it as UTF-8") from exc
    if "\0" in text:
        raise UsageError(f"{path} is not UTF-8, or no text: save it as UTF-8")
    return text


def csv_rows(path: Path, text: str, known: Collection[str]) -> tuple[list[str], list[Row]]:
    """Return the columns of a CSV text and its rows, without those that are empty.

    Columns are apart by commas, semicolons, tabs or bars, as the header is; ``known`` are names
    that may be in it, in whatever letters. ``path`` is for messages.

    Raises:
        UsageError: it is no CSV, or has a column twice.
    """
    said = _SEP.match(text)
    text = _SEP.sub("", text)
    known = frozenset(known)
    first = re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
    mark = said[1] if said else max(MARKS, key=lambda mark: _fits(first.split(mark), known))
    reader = csv.reader(
        io.StringIO(text, newline=""), strict=True, delimiter=mark, skipinitialspace=True
    )
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as exc:
        raise UsageError(
            f"{path}, line {reader.line_num}, is not a CSV row: {exc}; a quote within quotes is "
            "written twice"
        ) from exc
    header = [_plain(name, known) for name in rows[0][1]] if rows else []
    for name in filter(None, header):
        if header.count(name) > 1:
            raise UsageError(f"{path} has the column {name!r} more than once: rename one")
    return header, [_row(line, row, header) for line, row in rows[1:]]


def _fits(names: list[str], known: frozenset[str]) -> tuple[int, int]:
    """How well a header is apart: by names that are known, then by how many there are."""
    return len(known.intersection(_plain(name, known) for name in names)), len(names)


def _plain(name: str, known: frozenset[str]) -> str:
    clean = name.strip().strip('"').strip()
    return clean.lower() if clean.lower() in known else clean


def _row(line: int, row: list[str], header: list[str]) -> Row:
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=False) if name}
    problem = ""
    if any(cell.strip() for cell in row[len(header) :]):
        problem = (
            f"the row has {len(row)} columns, the header {len(header)}: put what holds the "
            "separator in quotes"
        )
    return Row(line, cells, problem)
