"""Where an export is written to: a file, a link's file, a pipe, a device, or stdout.

Only a regular file is replaced, whole or not at all, and only one that vidrec wrote.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, BinaryIO

from vidrec.errors import StorageError, UsageError
from vidrec.files import parsed_json, writing

STDOUT = "-"
# What every row of an export has, in any format.
MARKS = frozenset({"embedder", "model", "options", "video_id", "scope", "vector"})
_LONGEST_LINE = 64 << 20


def write_to(target: Path, write: Callable[[BinaryIO], int], *, force: bool = False) -> int:
    """Let ``write`` fill the target; return what it returns.

    Raises:
        UsageError: a file is there that vidrec did not write, and ``force`` is off.
        StorageError: it cannot be written.
    """
    try:
        if str(target) == STDOUT:
            return _through(sys.stdout.buffer, write)
        if not target.name or target.is_dir():
            raise StorageError(f"cannot write {target}: it is a folder")
        if is_stream(target):
            with target.open("wb") as stream:
                return _through(stream, write)
        if target.exists() and not force:
            _check_replaceable(target)
        Path(os.path.realpath(target)).parent.mkdir(parents=True, exist_ok=True)
        with writing(target) as draft, draft.open("wb") as file:
            return write(file)
    except OSError as exc:
        raise StorageError(f"cannot write {target}: {exc.strerror or exc}") from exc


def _through(stream: BinaryIO, write: Callable[[BinaryIO], int]) -> int:
    """Write a file first, as some formats need one, and copy it."""
    with TemporaryDirectory() as folder:
        draft = Path(folder, "rows")
        with _room(), draft.open("wb") as file:
            count = write(file)
        with draft.open("rb") as file:
            shutil.copyfileobj(file, stream, 1 << 20)
        stream.flush()
    return count


@contextmanager
def _room() -> Iterator[None]:
    """A block that fills a temporary file."""
    try:
        yield
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise
        raise StorageError(
            f"{gettempdir()}, where a copy is kept meanwhile, is full: set TMPDIR to another folder"
        ) from exc


def _check_replaceable(target: Path) -> None:
    """Refuse to replace what is not ours, or is not to be changed."""
    problem = "" if is_export(target) else "is no export of vidrec"
    if not target.stat().st_mode & 0o222:
        problem = "is read-only"
    if problem:
        raise UsageError(f"{target} is there and {problem}: name another file, or give --force")


def is_stream(target: Path) -> bool:
    """Whether a target is to be written into, never replaced: no regular file, or another's."""
    try:
        mode = target.stat().st_mode
    except (OSError, ValueError):  # nothing is there, or nothing that may be looked at
        return False
    return not stat.S_ISREG(mode) or target.absolute().parts[1:2] in (("dev",), ("proc",))


def is_export(path: Path) -> bool:
    """Whether a file is empty, or holds what vidrec exports: then it may be replaced."""
    with path.open("rb") as file:
        start = file.read(4)
        if start == b"PAR1":
            return _parquet_columns(path) >= MARKS
        file.seek(0)
        line = file.readline(_LONGEST_LINE)
    if not line:
        return True
    try:
        row = parsed_json(line)
    except ValueError:
        return False
    return isinstance(row, dict) and row.keys() >= MARKS


def _parquet_columns(path: Path) -> set[str]:
    try:
        import pyarrow.parquet as pq

        return set(pq.read_schema(path).names)
    except Exception:  # of whatever kind it is, it is not known to be ours
        return set()


@contextmanager
def readable(source: str, path: Path) -> Iterator[Path]:
    """Give a file that can be read at any place; a pipe or stdin is kept in one for a while."""
    if source != STDOUT and path.is_file():
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, "rows")
        stream: Any = sys.stdin.buffer if source == STDOUT else path.open("rb")
        with _room(), copy.open("wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
        yield copy
