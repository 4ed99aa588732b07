"""Captions and queries: a CSV of files and texts, matched to the library's videos."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vidrec.csvfile import Row, csv_rows, read_text
from vidrec.errors import UsageError
from vidrec.types import Video


@dataclass(frozen=True, slots=True)
class Caption:
    """One row: the line it ends on, the file, the text, and every column by name.

    A row that cannot be understood has a ``problem`` and no text.
    """

    line: int
    file: str
    text: str
    columns: Mapping[str, str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that was not used, and why."""

    line: int
    file: str
    reason: str


def read_captions(path: Path, text: str = "caption") -> list[Caption]:
    """Read a captions file: named columns in any order; ``text`` names that of the texts.

    Raises:
        UsageError: it cannot be read, is no table, lacks a column, or has no row.
    """
    needed = ("file", text)
    header, rows = csv_rows(path, read_text(path), needed)
    if not header:
        raise UsageError(f"{path} is empty: it needs the columns file and {text}")
    for name in needed:
        if name not in header:
            raise UsageError(f"{path} needs one column {name!r}, it has: {', '.join(header)}")
    if not rows:
        raise UsageError(f"{path} has a header but no rows")
    return [_caption(row, text) for row in rows]


def _caption(row: Row, text: str) -> Caption:
    columns = {name.lower(): " ".join(cell.split()) for name, cell in row.cells.items()}
    asked = "" if row.problem else columns.get(text, "")
    return Caption(row.line, columns.get("file", ""), asked, columns, row.problem)


class VideoNames:
    """Finds videos by file name, or by the end of a path where names repeat."""

    def __init__(self, videos: Iterable[Video]) -> None:
        self._by_name: dict[str, list[Video]] = {}
        for video in videos:
            self._by_name.setdefault(_normal(video.filename), []).append(video)

    def find(self, file: str) -> list[Video]:
        """Return the videos that ``file`` may mean: none, one, or several of one name."""
        parts = _parts(file)
        named = self._by_name.get(parts[-1], []) if parts else []
        if len(named) > 1 and len(parts) > 1:
            return [video for video in named if _parts(str(video.path))[-len(parts) :] == parts]
        return named


def match_captions(
    captions: Sequence[Caption], names: VideoNames, embedded: Set[str]
) -> tuple[list[tuple[Caption, str]], list[SkippedRow]]:
    """Pair captions with the ids of embedded videos; say which rows could not be, and why."""
    matched, skipped = [], []
    for caption in captions:
        found = names.find(caption.file)
        reason = ""
        if not caption.text:
            reason = caption.problem or "no text"
        elif not found:
            reason = "no such video in the library"
        elif len(found) > 1:
            reason = f"{len(found)} videos have this name: write more of the path"
        elif found[0].id not in embedded:
            reason = "the video is not embedded"
        if reason:
            skipped.append(SkippedRow(caption.line, caption.file, reason))
        else:
            matched.append((caption, found[0].id))
    return matched, skipped


def _parts(file: str) -> tuple[str, ...]:
    return PurePosixPath(_normal(file.strip().replace("\\", "/"))).parts


def _normal(name: str) -> str:
    # macOS writes accents as separate characters, others do not.
    return unicodedata.normalize("NFC", name)
