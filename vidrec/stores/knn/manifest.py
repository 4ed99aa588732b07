"""The manifest of the local index: which segments are served."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidrec.errors import StoreError
from vidrec.files import parsed_json, writing
from vidrec.records import dataclass
from vidrec.stores.knn.segment import Part, damaged

LAYOUT = 3
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is served; ``keys`` are the payload keys that are not vidrec's own."""

    fingerprint: str
    dim: int
    parts: Sequence[Part] = ()
    keys: Sequence[str] = ()
    build: int = 0  # grows with each manifest that is written
    last: int = 0  # number of the segment that was made last

    @property
    def count(self) -> int:
        return sum(part.live for part in self.parts)

    @property
    def version(self) -> str:
        """Another one whenever other points are served: the checksums are among what counts."""
        return f"{self.build}-{_sum(asdict(self)):08x}"


def read_manifest(collection: Path) -> Manifest | None:
    """Return what is served, or None before the first index; an older layout's counts as none.

    Raises:
        StoreError: the manifest is damaged or of a newer layout.
        OSError: it cannot be read.
    """
    try:
        raw = (collection / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = parsed_json(raw)
        layout, body = found["layout"], found["body"]
        if layout > LAYOUT:
            raise StoreError(f"{collection} was written by a newer vidrec: update vidrec")
        if layout < LAYOUT:
            return None  # the library has all that is needed to make it anew
        if found["sum"] != _sum(body):
            raise ValueError("its checksum is wrong")
        return Manifest(**{**body, "parts": [Part(**part) for part in body["parts"]]})
    except (ValueError, KeyError, TypeError) as exc:
        raise damaged(collection, f"{MANIFEST}: {exc}") from exc


def write_manifest(collection: Path, manifest: Manifest) -> None:
    """Serve what a manifest names from now on; the files it names are on the disk already."""
    body = asdict(manifest)
    with writing(collection / MANIFEST) as draft:
        document = {"layout": LAYOUT, "sum": _sum(body), "body": body}
        draft.write_text(json.dumps(document, indent=1), encoding="utf-8")
    sync_folder(collection)


@contextmanager
def writes_told(collection: Path) -> Iterator[None]:
    """Turn what the system raises into a StoreError."""
    try:
        yield
    except OSError as exc:
        raise StoreError(
            f"cannot write the index {collection}: {exc.strerror or exc}; what was indexed before "
            "is unharmed"
        ) from exc


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk, where the system can."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sum(body: Any) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())
