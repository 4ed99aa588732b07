"""CSV files as people and spreadsheets write them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vidrec.errors import UsageError


class Row(NamedTuple):
    """The line that a row ends on, its cells by column, and what is wrong with it, if anything."""

    line: int
    cells: dict[str, str]
    problem: str


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.read()
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is not UTF-8: save it as UTF-8") from exc


def csv_rows(path: Path, text: str, wanted: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Return the header of a file's text, and its rows but those that are empty.

    Columns are apart by commas, semicolons or tabs, whatever stands between the wanted names.

    Raises:
        UsageError: it is no CSV.
    """
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]

    def found(mark: str) -> int:
        return len({name.strip().strip('"').lower() for name in first.split(mark)} & {*wanted})

    reader = csv.reader(
        io.StringIO(text, newline=""), strict=True, delimiter=max(",;\t", key=found)
    )
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as exc:
        raise UsageError(
            f"{path}, line {reader.line_num}, is not a CSV row: {exc}; a quote within quotes is "
            "written twice"
        ) from exc
    return header, [_row(line, header, row) for line, row in rows]


def _row(line: int, header: list[str], row: list[str]) -> Row:
    problem = ""
    if any(cell.strip() for cell in row[len(header) :]):
        problem = (
            f"the row has {len(row)} columns, the header {len(header)}: put a text that holds "
            "the separator in quotes"
        )
    return Row(line, dict(zip(header, row, strict=False)), problem)
