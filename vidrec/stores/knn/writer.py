"""Writing segments of the local index, and merging them."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from vidrec.errors import UsageError
from vidrec.stores.knn.manifest import sync_folder
from vidrec.stores.knn.segment import (
    COLUMNS,
    PAYLOADS,
    ROW,
    ROW_BYTES_SUMMED,
    ROWS,
    SCOPES,
    TEXT,
    VECTORS,
    Part,
    Segment,
    id_bytes,
    video_hash,
)
from vidrec.types import PAYLOAD_FIELDS, Payload, Point
from vidrec.vectors import unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.stores.knn.segment import Rows

ROW_FIELDS = ("scope", "start_sec", "end_sec")  # payload fields that lie in the row
BODY_FIELDS = tuple(name for name in PAYLOAD_FIELDS if name not in ROW_FIELDS)
BATCH_BYTES = 2 << 20  # of vectors at a time: what is at hand in a processor's cache
BATCH_POINTS = 8192
SEGMENT_ROWS = 1 << 18  # at most, so that making one needs bounded memory
_TEXT = json.JSONEncoder(sort_keys=True)


class SegmentWriter:
    """Makes one segment; ``finish`` leaves it on the disk, still served by nothing."""

    def __init__(self, folder: Path, dim: int) -> None:
        self.folder, self.dim, self.rows = folder, dim, 0
        self.keys: set[str] = set()
        folder.mkdir(parents=True)
        self._files = {name: _Summed(folder / name) for name in (VECTORS, ROWS, PAYLOADS)}
        self._texts: dict[str, int] = {}
        self._ends, self._sums = array("q"), array("L")
        self._codes: dict[str, array[int]] = {}
        self._values: dict[str, dict[Any, int]] = {}

    def append(self, points: Sequence[Point]) -> None:
        """Add a batch of points.

        Raises:
            UsageError: a vector has another size or no direction, or an id is no UUID.
        """
        rows = np.zeros(len(points), ROW)
        rows["id"] = np.frombuffer(b"".join(id_bytes(point.id) for point in points), "V16")
        vectors = _matrix(points, self.dim)
        payloads = [point.payload for point in points]
        rows["start"] = [payload.start_sec for payload in payloads]
        rows["end"] = [payload.end_sec for payload in payloads]
        rows["scope"] = [SCOPES.index(payload.scope) for payload in payloads]
        said: dict[Any, tuple[int, int]] = {}  # points of one video mostly say the same
        numbers = []
        for p in payloads:
            key = (p.video_id, p.filename, p.path, p.url, p.label, p.group, p.duration_sec)
            if p.extra or key not in said:
                said[key] = self._number(_flat(p)), video_hash(p.video_id)
            numbers.append(said[key])
            if p.extra:
                del said[key]
        rows["payload"] = [number for number, _ in numbers]
        rows["video"] = [video for _, video in numbers]
        self._write(vectors, rows)

    def copy(self, source: Segment, numbers: NDArray[np.intp]) -> None:
        """Add rows of another segment."""
        texts: dict[int, int] = {}
        step = max(64, BATCH_BYTES // (self.dim * 4))
        for start in range(0, len(numbers), step):
            part = numbers[start : start + step]
            rows = source.rows[part]
            for number in {*rows["payload"].tolist()} - texts.keys():
                texts[number] = self._number(json.loads(source.text(number)))
            rows["payload"] = [texts[number] for number in rows["payload"].tolist()]
            self._write(source.vectors[part], rows)

    def finish(self) -> Part:
        """Put the segment on the disk and return how the manifest names it."""
        table = np.zeros(len(self._ends), TEXT)
        table["end"], table["crc"] = self._ends, self._sums
        self._files[PAYLOADS].write(table.tobytes())
        self._files[COLUMNS] = _Summed(self.folder / COLUMNS)
        self._write_columns(self._files[COLUMNS])
        for file in self._files.values():
            file.finish()
        sync_folder(self.folder)
        sums = {name: file.sum for name, file in self._files.items() if name != VECTORS}
        return Part(self.folder.name, self.rows, len(self._ends), sums)

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

    def _number(self, flat: Mapping[str, Any]) -> int:
        """Return the number of what a point says, adding it when it is new."""
        try:
            text = _TEXT.encode(flat)
        except (TypeError, ValueError) as exc:
            raise UsageError(f"a payload cannot be stored: {exc}. Received: {flat}") from exc
        number = self._texts.get(text)
        if number is None:
            number = self._texts[text] = len(self._ends)
            body = text.encode()
            self._files[PAYLOADS].write(body)
            self._ends.append((self._ends[-1] if number else 0) + len(body))
            self._sums.append(zlib.crc32(body))
            self._note(flat, number)
        return number

    def _note(self, flat: Mapping[str, Any], number: int) -> None:
        """Add a payload to the columns; code 0 is that a key is missing."""
        for key, value in flat.items():
            codes = self._codes.get(key)
            if codes is None:
                codes = self._codes[key] = array("i")
                self._values[key] = {None: 0}
            codes.extend([0] * (number - len(codes)))
            values = self._values[key]
            # 1 and 1.0 are alike, 1 and true are not.
            name = value if isinstance(value, (str, float, type(None))) else (_TEXT.encode(value),)
            if type(value) is int:
                name = float(value) if abs(value) < 1 << 53 else (str(value),)
            codes.append(values.setdefault(name, len(values)))

    def _write_columns(self, file: _Summed) -> None:
        places: dict[str, tuple[int, int, int]] = {}
        for key, codes in self._codes.items():
            codes.extend([0] * (len(self._ends) - len(codes)))
            at = file.size
            file.write(np.array(codes, "<i4").tobytes())
            values = [json.loads(v[0]) if isinstance(v, tuple) else v for v in self._values[key]]
            text = json.dumps(values).encode()
            places[key] = (at, file.size, file.size + len(text))
            file.write(text + b" " * (-len(text) % 8))
        # Of a key that has no value anywhere, no store knows.
        known = {key for key, values in self._values.items() if len(values) > 1}
        self.keys = known - set(PAYLOAD_FIELDS)
        index = json.dumps(places).encode()
        file.write(index + len(index).to_bytes(8, "little"))


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


def _flat(payload: Payload) -> dict[str, Any]:
    flat = {key: value for key, value in payload.extra.items() if key not in ROW_FIELDS}
    flat.update((name, getattr(payload, name)) for name in BODY_FIELDS)
    return flat


def _matrix(points: Sequence[Point], dim: int) -> NDArray[np.float32]:
    """Return the points' vectors as unit rows."""
    for point in points:
        if point.vector.shape != (dim,):
            raise UsageError(
                f"point {point.id} has a vector of shape {point.vector.shape}, "
                f"the collection holds vectors of {dim} numbers"
            )
    matrix = np.concatenate([point.vector for point in points]).reshape(len(points), dim)
    return unit_rows(matrix.astype("<f4", copy=False), [point.id for point in points])
