"""History: what was watched, from a file."""

from __future__ import annotations

from pathlib import Path

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
    numbered = enumerate(map(str.strip, lines), 1)
    return tuple(
        _named(line, f"{path}, line {number}") if line.startswith("{") else line.removeprefix("id:")
        for number, line in numbered
        if line and not line.startswith("#")
    )


def _named(line: str, where: str) -> str:
    try:
        row = parsed_json(line)
    except ValueError as exc:
        raise UsageError(f"{where} is no JSON object: {exc}") from exc
    name = next((row[key] for key in KEYS if isinstance(row.get(key), str)), None)
    if name is None:
        raise UsageError(f"{where} names no video: it needs one of {', '.join(KEYS)}")
    return str(name)
