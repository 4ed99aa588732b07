"""Claims: who is at a job, so that runs beside one another never ask for the same one.

A claim is a row of the catalog, made only where there is none of a living process. A process
shows that it lives by a locked file in the library's folder, which the system unlocks when it
ends, however that comes; so a claim neither outlives its process nor runs out while it works.
"""

from __future__ import annotations

import atexit
import os
import threading
import uuid
from contextlib import ExitStack
from pathlib import Path

from vidrec.errors import LibraryError
from vidrec.locks import AlreadyHeldError, LockFileError, held

_SIGN = "claims-{}.lock"
_mine: dict[tuple[int, Path], str] = {}  # by process number: a fork is another process
_until_the_end = ExitStack()
_mutex = threading.Lock()


def living(folder: Path, owner: str) -> str | None:
    """Return the number of an owner's process, or None where it has ended."""
    if _mine.get((os.getpid(), folder)) == owner:
        return str(os.getpid())
    path = folder / _SIGN.format(owner)
    if not path.exists():
        return None
    try:
        with held(path, seconds=0):
            pass
    except AlreadyHeldError as exc:
        return str(exc)
    except LockFileError as exc:
        raise LibraryError(f"cannot write to the library {folder}: {exc}") from exc
    path.unlink(missing_ok=True)
    return None


def own_sign(folder: Path) -> str:
    """Return this process's name as an owner; its sign is there until the process ends.

    Raises:
        LibraryError: the library's folder cannot be written.
    """
    with _mutex:
        key = (os.getpid(), folder)
        if key not in _mine:
            name = uuid.uuid4().hex
            path = folder / _SIGN.format(name)
            try:
                _until_the_end.enter_context(held(path, seconds=0))
            except (LockFileError, AlreadyHeldError) as exc:
                raise LibraryError(f"cannot write to the library {folder}: {exc}") from exc
            _until_the_end.callback(path.unlink, missing_ok=True)
            _mine[key] = name
        return _mine[key]


atexit.register(_until_the_end.close)
