"""A lock file with the number of the process that holds it beside it; a killed holder frees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class AlreadyHeldError(Exception):
    """Another process holds the lock; the text is its number, as far as it is known."""


class LockFileError(Exception):
    """The lock file cannot be made or locked."""


@contextmanager
def held(path: Path, seconds: float, waits: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a lock file, waiting so long for it; below 0 for ever.

    ``waits`` is told who holds it, once that takes longer than a second.

    Raises:
        AlreadyHeldError, LockFileError: it was not to be had.
    """
    from filelock import FileLock, Timeout

    holder = path.with_name(f"{path.name}.holder")
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=1 if waits else seconds)
        except Timeout:
            if waits is None:
                raise
            waits(_read(holder))
            lock.acquire(timeout=seconds)
    except Timeout as exc:
        raise AlreadyHeldError(_read(holder)) from exc
    except (OSError, NotImplementedError) as exc:
        raise LockFileError(str(exc)) from exc
    try:
        with suppress(OSError):  # a full disk: the lock holds all the same
            holder.write_text(f"{os.getpid()}", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8") or "unknown"
    except (OSError, UnicodeDecodeError):
        return "unknown"
