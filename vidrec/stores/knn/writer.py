"""Writing segments of the local index, and merging them."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from vidrec.errors import UsageError
from vidrec.stores.base import unit_matrix
from vidrec.stores.knn.manifest import sync_folder
from vidrec.stores.knn.segment import (
    PAYLOADS,
    ROW,
    ROW_BYTES_SUMMED,
    ROWS,
    SCOPES,
    SUMMED,
    VECTORS,
    Part,
    Segment,
    id_bytes,
    text_sum,
    video_hash,
)
from vidrec.types import PAYLOAD_FIELDS, Payload, Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.stores.knn.segment import Rows

ROW_FIELDS = ("scope", "start_sec", "end_sec")  # payload fields that lie in the row
_body = attrgetter(*(name for name in PAYLOAD_FIELDS if name not in ROW_FIELDS))
BATCH_BYTES = 2 << 20  # of vectors at a time: what is at hand in a processor's cache
BATCH_POINTS = 8192
SEGMENT_ROWS = 1 << 18  # at most, so that making one needs bounded memory
_JSON = json.JSONEncoder(sort_keys=True)


class SegmentWriter:
    """Makes one segment; ``finish`` leaves it on the disk, still served by nothing."""

    def __init__(self, folder: Path, dim: int) -> None:
        self.folder, self.dim, self.rows = folder, dim, 0
        self.keys: set[str] = set()
        folder.mkdir(parents=True)
        self._files = {name: _Summed(folder / name) for name in (VECTORS, ROWS, PAYLOADS)}
        self._keys: dict[str, None] = {}
        self._texts: dict[str | None, int] = {None: 0}  # of a key that is missing
        self._payloads: dict[tuple[int, ...], int] = {}

    def append(self, points: Sequence[Point]) -> None:
        """Add a batch of points.

        Raises:
            UsageError: a vector has another size or no direction, or an id is no UUID.
        """
        rows = np.zeros(len(points), ROW)
        rows["id"] = np.frombuffer(b"".join(id_bytes(point.id) for point in points), "V16")
        vectors = unit_matrix(points, self.dim)
        payloads = [point.payload for point in points]
        rows["start"] = [payload.start_sec for payload in payloads]
        rows["end"] = [payload.end_sec for payload in payloads]
        rows["scope"] = [SCOPES.index(payload.scope) for payload in payloads]
        said: dict[Any, tuple[int, int]] = {}  # points of one video mostly say the same
        numbers = []
        for payload in payloads:
            body = _body(payload)
            if payload.extra or body not in said:
                said[body] = self._number(_texts(payload)), video_hash(payload.video_id)
            numbers.append(said.pop(body) if payload.extra else said[body])
        rows["payload"] = [number for number, _ in numbers]
        rows["video"] = [video for _, video in numbers]
        self._write(vectors, rows)

    def copy(self, source: Segment, numbers: NDArray[np.intp]) -> None:
        """Add rows of another segment."""
        known: dict[int, int] = {}
        step = max(64, BATCH_BYTES // (self.dim * 4))
        for start in range(0, len(numbers), step):
            part = numbers[start : start + step]
            rows = source.rows[part]
            for number in {*rows["payload"].tolist()} - known.keys():
                known[number] = self._number(source.texts(number))
            rows["payload"] = [known[number] for number in rows["payload"].tolist()]
            self._write(source.vectors[part], rows)

    def finish(self) -> Part:
        """Put the segment on the disk and return how the manifest names it."""
        width = 1 + len(self._keys)
        rows = [row + (0,) * (width - len(row)) for row in self._payloads]
        codes = np.array(rows, "<u4").reshape(-1, width)
        texts = [text or "" for text in self._texts]
        ends = np.cumsum([len(text) for text in texts], dtype="<i8")
        for part in (ends, codes, "".join(texts).encode()):
            self._files[PAYLOADS].write(part)
        # Of a key that has no value anywhere, no store knows.
        nothing = [0, self._texts.get("null", 0)]
        known = {
            key
            for key, one in zip(self._keys, codes.T[1:], strict=True)
            if not np.isin(one, nothing).all()
        }
        self.keys = known - set(PAYLOAD_FIELDS)
        for file in self._files.values():
            file.finish()
        sync_folder(self.folder)
        sums = {name: self._files[name].sum for name in SUMMED}
        sizes = len(codes), len(texts) - 1
        return Part(self.folder.name, self.rows, *sizes, list(self._keys), sums)

    def drop(self) -> None:
        """Remove what was written."""
        for file in self._files.values():
            file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, vectors: NDArray[np.float32], rows: Rows) -> None:
        raw, size = rows.tobytes(), ROW.itemsize
        rows["crc"] = [
            zlib.crc32(raw[at : at + ROW_BYTES_SUMMED], zlib.crc32(vector.data))
            for at, vector in zip(range(0, len(raw), size), vectors, strict=True)
        ]
        self._files[VECTORS].write(vectors.data, summed=False)
        self._files[ROWS].write(rows.tobytes())
        self.rows += len(rows)

    def _number(self, texts: Mapping[str, str]) -> int:
        """Return the number of a payload, adding it when it is new."""
        self._keys.update(dict.fromkeys(texts))
        known = self._texts
        codes = (known.setdefault(texts.get(key), len(known)) for key in self._keys)
        return self._payloads.setdefault((text_sum(texts), *codes), len(self._payloads))


class _Summed:
    """A file that is written from front to end, with its checksum."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self.sum = self.size = 0

    def write(self, data: Any, *, summed: bool = True) -> None:
        self._file.write(data)
        self.size += memoryview(data).nbytes
        if summed:
            self.sum = zlib.crc32(data, self.sum)

    def finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()

    def close(self) -> None:
        self._file.close()


def batches(points: Iterable[Point], dim: int) -> Iterable[list[Point]]:
    """Cut a stream into batches that fit a processor's cache."""
    stream = iter(points)
    size = max(64, min(BATCH_POINTS, BATCH_BYTES // (dim * 4)))
    while batch := list(islice(stream, size)):
        yield batch


def _texts(payload: Payload) -> dict[str, str]:
    """Return what a point says beside its row: the JSON text of each key's value, by key."""
    flat = {key: value for key, value in payload.as_dict().items() if key not in ROW_FIELDS}
    try:
        return {key: "null" if v is None else _JSON.encode(v) for key, v in flat.items()}
    except (TypeError, ValueError) as exc:
        raise UsageError(f"a payload cannot be stored: {exc}. Received: {flat}") from exc
