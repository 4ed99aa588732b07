"""History: what was watched, from a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vidrec.errors import UsageError
from vidrec.files import parsed_json

KEYS = ("video_id", "id", "path", "url", "filename", "name")


def read_history(path: Path) -> tuple[str, ...]:
    """Return the ids, names, paths or URLs that a file lists, the latest last.

    A line is one of them, or a JSON object with one of ``KEYS``; empty lines and lines that begin
    with ``#`` are passed over.

    Raises:
        UsageError: it cannot be read, or a line names no video.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as exc:
        raise UsageError(f"cannot read the history {path}: {exc.strerror}") from exc
    return tuple(_names(path, lines))


def _names(path: Path, lines: Iterable[str]) -> Iterable[str]:
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if line.startswith("{"):
            yield _named(_parsed(path, number, line), path, number)
        elif line and not line.startswith("#"):
            yield line.removeprefix("id:")


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = parsed_json(line)
    except ValueError as exc:
        raise UsageError(f"{path}, line {number} is no JSON object: {exc}") from exc
    return row


def _named(row: dict[str, Any], path: Path, number: int) -> str:
    name = next((row[key] for key in KEYS if isinstance(row.get(key), str)), None)
    if name is None:
        raise UsageError(f"{path}, line {number} names no video: it needs one of {', '.join(KEYS)}")
    return str(name)
