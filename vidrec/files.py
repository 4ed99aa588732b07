"""Files: looking at paths as users give them, and writing a file whole or not at all.

No name, folder or permission makes looking raise.

``Path.is_file`` and its like raise where a folder may not be entered or a name is too long
(before Python 3.14), and ``Path.expanduser`` where ``~name`` is nobody's home.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

OLD_SECONDS = 24 * 3600.0  # a machine that shares the folder may still be writing a younger draft
_drafts: set[Path] = set()


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` replaced, where it stands for a home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def exists(path: Path) -> bool:
    """Whether something is there and may be looked at."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Whether a regular file is there and may be looked at."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether a folder is there and may be looked at."""
    return os.path.isdir(path)  # noqa: PTH112


def is_text(path: str | Path) -> bool:
    """Whether a name can be written down as text: one in another encoding than UTF-8 cannot."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def parsed_json(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    except ValueError as exc:
        raise ValueError("a number has too many digits") from exc


def parsed_toml(text: str) -> dict[str, Any]:
    """Return what a TOML text says.

    Raises:
        ValueError: it is no TOML.
        RecursionError: it is nested too deeply.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


@contextmanager
def writing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a draft beside a file; once the block is left it takes the file's place at once.

    A link stays a link: what it points to is replaced, and who may read a file stays as it was.
    If the block raises, the draft goes and the file is as it was. ``durable``: the bytes are on the
    disk before the name is.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    begins, ends = _around(target)
    draft = target.with_name(f"{begins}{_host()}.{os.getpid()}.{threading.get_ident()}{ends}")
    _drafts.add(draft)
    try:
        yield draft
        if durable:
            _to_disk(draft)
        with suppress(OSError):  # nothing is there yet
            draft.chmod(stat.S_IMODE(target.stat().st_mode))
        draft.replace(target)
        _drop_old(target)
    finally:
        draft.unlink(missing_ok=True)
        _drafts.discard(draft)


def _around(target: Path) -> tuple[str, str]:
    """Return how the names of a file's drafts begin and end; none is too long."""
    stem = target.stem.encode(errors="surrogateescape")[:150].decode(errors="ignore")
    return f".{stem}.", f".partial{target.suffix}"


@cache
def _host() -> str:
    import platform

    return re.sub(r"\W", "-", platform.node())[:32]


def _drop_old(target: Path) -> None:
    """Delete what killed processes of this machine, or of any a day ago, began in its place."""
    begins, ends = _around(target)
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if entry.name.startswith(begins) and entry.name.endswith(ends):
                host, _, rest = entry.name[len(begins) : -len(ends)].partition(".")
                old = time.time() - entry.stat().st_mtime > OLD_SECONDS
                if old or (host == _host() and _is_over(rest.partition(".")[0])):
                    os.unlink(entry)  # noqa: PTH108


def _is_over(process: str) -> bool:
    """Whether a process of this machine, by its number, has ended."""
    if os.name == "nt" or not process.isdigit():  # there, asking would end it
        return False
    try:
        os.kill(int(process), 0)
    except OSError as exc:
        return isinstance(exc, ProcessLookupError)
    return False


def drop_drafts() -> None:
    """Delete the drafts of files that are being written: the process ends."""
    for draft in [*_drafts]:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    with path.open("rb") as file, suppress(OSError):  # a file system may know no such thing
        os.fsync(file.fileno())
