"""Tables that fit: long names are shortened in the middle, and what is too wide is stacked.

Nothing here needs rich, which takes longer to import than a query to answer.
"""

from __future__ import annotations

import os.path
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

GAP = "  "
LEAST = 16  # columns that are left of a name, so that one can tell which it is
STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


class Cell(NamedTuple):
    """A cell that is more than text: in a style, or a link where the terminal has such."""

    text: str
    style: str = ""
    link: str = ""


class Table:
    """Columns and rows, written for a width.

    Args:
        columns: the headings.
        rows: a cell for each column.
        right: columns that hold numbers: set to the right, and never shortened.
        spare: columns to leave out, one after the other, where the width does not do.
        under: for each row, lines to write below it.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str | Cell]],
        right: Sequence[str] = (),
        spare: Sequence[str] = (),
        under: Sequence[Sequence[str]] = (),
    ) -> None:
        self._columns = list(columns)
        self._rows = [[Cell(c) if isinstance(c, str) else c for c in row] for row in rows]
        self._right, self._spare = set(right), list(spare)
        self._under = under

    def lines(self, width: int | None, *, dressed: bool = False) -> Iterator[str]:
        """Yield the lines; ``width`` None: as wide as it is; ``dressed``: in colours, with links.

        Below the width that every column needs, each row is a paragraph with a line a column.
        """
        shown = list(range(len(self._columns)))
        widths = self._natural(shown)
        if width is not None:
            fitted = self._fitted(shown, width)
            if fitted is None:
                yield from self._stacked(width, dressed)
                return
            shown, widths = fitted
        yield self._line(shown, widths, [Cell(name, "bold") for name in self._columns], dressed)
        yield "─" * (sum(widths) + len(GAP) * (len(widths) - 1))
        for number, row in enumerate(self._rows):
            yield self._line(shown, widths, row, dressed)
            yield from self._below(number, width)

    def _below(self, number: int, width: int | None) -> Iterator[str]:
        for line in self._under[number] if self._under else ():
            indent = GAP * 2
            yield from textwrap.wrap(
                line, width or 10**6, initial_indent=indent, subsequent_indent=indent + GAP
            )

    def _fitted(self, shown: list[int], width: int) -> tuple[list[int], list[int]] | None:
        """Return which columns are shown and how wide; None if they cannot stand side by side."""
        for spare in ["", *self._spare]:
            shown = [at for at in shown if self._columns[at] != spare]
            if widths := self._widths(shown, width):
                return shown, widths
        return None

    def _natural(self, shown: Sequence[int]) -> list[int]:
        return [
            max(map(width_of, (self._columns[at], *(row[at].text for row in self._rows))))
            for at in shown
        ]

    def _widths(self, shown: Sequence[int], width: int) -> list[int] | None:
        """Return the columns' widths, names shortened evenly; None if they do not fit."""
        widths = self._natural(shown)
        over = sum(widths) + len(GAP) * (len(widths) - 1) - width
        while over > 0:
            names = [
                i for i, at in enumerate(shown)
                if self._columns[at] not in self._right
                and widths[i] > max(LEAST, width_of(self._columns[at]))
            ]  # fmt: skip
            if not names:
                return None
            widths[max(names, key=widths.__getitem__)] -= 1
            over -= 1
        return widths

    def _line(
        self, shown: Sequence[int], widths: Sequence[int], row: Sequence[Cell], dressed: bool
    ) -> str:
        cells = []
        for at, width in zip(shown, widths, strict=True):
            cell = row[at]._replace(text=shortened(row[at].text, width))
            blank = " " * (width - width_of(cell.text))
            text = _dressed(cell) if dressed else cell.text
            cells.append(blank + text if self._columns[at] in self._right else text + blank)
        return GAP.join(cells).rstrip()

    def _stacked(self, width: int | None, dressed: bool) -> Iterator[str]:
        pad = max(map(width_of, self._columns))
        for number, row in enumerate(self._rows):
            if number:
                yield ""
            for name, cell in zip(self._columns, row, strict=True):
                blank = " " * (pad - width_of(name))
                yield f"{name}{blank}{GAP}{_dressed(cell) if dressed else cell.text}".rstrip()
            yield from self._below(number, width)


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_width(letter) for letter in text)


def _width(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def shortened(text: str, width: int) -> str:
    """Return a text in at most ``width`` columns: beginning and end are kept."""
    if width_of(text) <= width:
        return text
    tail = _fitting(reversed(text), (width - 1) // 2)[::-1]
    head = _fitting(text, width - 1 - width_of(tail))
    return f"{head}…{tail}"


def _fitting(letters: Iterator[str] | str, width: int) -> str:
    taken, used = [], 0
    for letter in letters:
        used += _width(letter)
        if used > width:
            break
        taken.append(letter)
    return "".join(taken)


def _dressed(cell: Cell) -> str:
    text = f"\x1b[{STYLES[cell.style]}m{cell.text}\x1b[0m" if cell.style else cell.text
    return f"\x1b]8;;{cell.link}\x1b\\{text}\x1b]8;;\x1b\\" if cell.link else text


def telling_folders(names: Sequence[str], places: Sequence[str | None]) -> list[str]:
    """Return each file's folder, where some names are the same; else empty texts."""
    if len(set(names)) == len(names):
        return [""] * len(names)
    folders = [os.path.dirname(place or "") for place in places]  # noqa: PTH120
    known = [folder for folder in folders if folder and "://" not in folder]
    try:
        top = os.path.commonpath(known) if len(set(known)) > 1 else ""
    except ValueError:  # of several drives, or relative and absolute ones
        top = ""
    return [
        os.path.relpath(folder, top) if top and folder in known else folder for folder in folders
    ]
