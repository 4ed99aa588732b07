"""Scratch: a folder of a server's own, gone when it ends; what killed ones left goes at a start."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vidrec.errors import StorageError
from vidrec.locks import AlreadyHeldError, LockFileError, held

PREFIX = "run-"


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Make a folder in ``folder`` for the time of the block.

    The folder of a server that still runs is locked, and left alone.

    Raises:
        StorageError: it cannot be made.
    """
    own = folder / f"{PREFIX}{uuid.uuid4().hex}"
    with ExitStack() as until_the_end:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            until_the_end.callback(_lock_of(own).unlink, missing_ok=True)
            until_the_end.enter_context(held(_lock_of(own), 5))
            until_the_end.callback(shutil.rmtree, own, ignore_errors=True)
            own.mkdir()
        except (OSError, LockFileError, AlreadyHeldError) as exc:
            raise StorageError(f"cannot write to {folder}: {exc}") from exc
        yield own


def _sweep(folder: Path) -> None:
    """Delete what servers left that were killed: nobody holds their locks."""
    for lock in folder.glob(f"{PREFIX}*.lock"):
        try:
            with held(lock, 0):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        except (AlreadyHeldError, LockFileError):
            continue
        lock.unlink(missing_ok=True)


def _lock_of(own: Path) -> Path:
    return own.with_name(f"{own.name}.lock")
