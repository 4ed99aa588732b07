"""One segment of the local index, for reading."""

from __future__ import annotations

import json
import mmap
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.errors import StoreError, UsageError
from vidrec.progress import Progress
from vidrec.records import dataclass
from vidrec.stores.knn.column import Column
from vidrec.types import Payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[Any]

VECTORS, ROWS, PAYLOADS = "vectors.f32", "rows.bin", "payloads.bin"
SUMMED = (ROWS, PAYLOADS)  # by the manifest; each row has its vector's checksum itself
ROW = np.dtype(
    [
        ("id", "V16"),
        ("start", "<f8"),
        ("end", "<f8"),
        ("video", "<u8"),  # a hash of the video's id
        ("payload", "<i4"),  # number of what it says
        ("crc", "<u4"),  # CRC-32 of the vector, then of the row's bytes before this
        ("scope", "u1"),  # position in SCOPES
        ("unused", "V7"),
    ]
)
ROW_BYTES_SUMMED = ROW.fields["crc"][1] if ROW.fields else 0
SCOPES = ("clip", "video")
IN_ROW = {"start_sec": "start", "end_sec": "end"}
CACHED = 4096  # payloads that were read
COLUMNS = 8  # that were read: 4 bytes a row each, and its different values
STEP = 10_000  # rows between two signs of progress


@dataclass(frozen=True, slots=True)
class Part:
    """A segment as the manifest names it."""

    name: str
    rows: int
    payloads: int
    texts: int  # different values, as JSON
    keys: Sequence[str]  # of payloads
    sums: dict[str, int] = field(default_factory=dict)  # CRC-32 of each summed file
    dead: str = ""  # name of the file of dead rows, if any are
    n_dead: int = 0
    dead_sum: int = 0

    @property
    def live(self) -> int:
        return self.rows - self.n_dead


class Segment:
    """The mapped files of a segment. They may be unlinked meanwhile."""

    def __init__(self, folder: Path, part: Part, dim: int) -> None:
        """Map it.

        Raises:
            OSError, StoreError: it is gone, or its files are not as long as they must be.
        """
        self.folder = folder
        self.name = part.name
        vectors = _mapped(folder / VECTORS, part.rows * dim * 4)
        self.vectors = np.frombuffer(vectors, "<f4").reshape(part.rows, dim)
        self.rows: Rows = np.frombuffer(_mapped(folder / ROWS, part.rows * ROW.itemsize), ROW)
        self._raw = raw = _mapped(folder / PAYLOADS)
        shape = part.payloads, 1 + len(part.keys)
        self._begin = 8 * (part.texts + 1) + 4 * shape[0] * shape[1]
        if len(raw) < self._begin:
            raise damaged(folder, f"{PAYLOADS} is too short")
        # Where each text ends; of each payload its checksum, then the number of each key's text.
        self._ends = np.frombuffer(raw, "<i8", part.texts + 1)
        self._codes = np.frombuffer(raw, "<u4", shape[0] * shape[1], self._ends.nbytes)
        self._codes = self._codes.reshape(shape)
        self._keys, self._sum = list(part.keys), part.sums.get(PAYLOADS)
        self._parsed: dict[int, dict[str, Any]] = {}
        self._columns: dict[str, Column] = {}

    def check(self, numbers: NDArray[np.intp]) -> None:
        """Compare some rows with their checksums.

        Raises:
            StoreError: one is damaged.
        """
        for number in numbers.tolist():
            row = self.rows[number]
            if row_sum(self.vectors[number], row) != row["crc"] or row["scope"] >= len(SCOPES):
                raise damaged(self.folder, f"row {number} is not what was written")

    def texts(self, number: int) -> dict[str, str]:
        """Return a payload: by key the JSON text of its value.

        Raises:
            StoreError: it is damaged.
        """
        with suppress(IndexError, ValueError):
            crc, *codes = self._codes[number].tolist()
            there = [(key, code) for key, code in zip(self._keys, codes, strict=True) if code]
            found = {key: self._text(self._ends[i - 1], self._ends[i]) for key, i in there}
            if text_sum(found) == crc:
                return found
        raise damaged(self.folder, f"payload {number} is not what was written")

    def _text(self, start: int, end: int) -> str:
        return self._raw[self._begin + start : self._begin + end].decode("ascii")

    def payload(self, number: int) -> Payload:
        """Return what a row's point says."""
        row = self.rows[number]
        body = self._body(int(row["payload"]))
        times = {"start_sec": float(row["start"]), "end_sec": float(row["end"])}
        return Payload.from_dict({**body, "scope": SCOPES[int(row["scope"])], **times})

    def _body(self, no: int) -> dict[str, Any]:
        body = self._parsed.get(no)
        if body is None:
            if len(self._parsed) >= CACHED:
                self._parsed = {}  # another thread may still fill the old one: no harm
            texts = self.texts(no)
            values = json.loads(f"[{','.join(texts.values())}]")
            body = self._parsed[no] = dict(zip(texts, values, strict=True))
        return body

    @cached_property
    def id_keys(self) -> NDArray[np.uint64]:
        """A number for each row's id: different ids hardly ever share one."""
        return id_keys(self.rows["id"])

    @cached_property
    def _by_video(self) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """The videos' numbers in order, and the row of each."""
        videos = self.rows["video"]
        order = np.argsort(videos, kind="stable")
        return videos[order], order.astype(np.int32)

    def rows_of_video(self, video_id: str) -> NDArray[np.int32]:
        """Return the rows of a video, by place; one that is dead may be among them.

        Raises:
            StoreError: what a row says is damaged.
        """
        videos, order = self._by_video
        number = np.uint64(video_hash(video_id))
        numbers = order[np.searchsorted(videos, number) : np.searchsorted(videos, number, "right")]
        payloads = set(self.rows["payload"][numbers].tolist())
        mine = [no for no in payloads if self._body(no)["video_id"] == video_id]
        if len(mine) == len(payloads):
            return numbers
        return numbers[np.isin(self.rows["payload"][numbers], mine)]

    @cached_property
    def _numbered(self) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """The different videos' numbers in order, and the place of each row's among them."""
        videos, order = self._by_video
        first = np.ones(len(videos), bool)
        first[1:] = videos[1:] != videos[:-1]
        places = np.empty(len(videos), np.int32)
        places[order] = np.cumsum(first) - 1
        return videos[first], places

    def rows_of_videos(self, numbers: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which rows are of some videos, by their numbers in order."""
        videos, places = self._numbered
        sought, among = (numbers, videos) if len(numbers) < len(videos) else (videos, numbers)
        at, after = (np.searchsorted(among, sought, side) for side in ("left", "right"))
        found = at < after
        if sought is numbers:
            there, found = at[found], np.zeros(len(videos), bool)
            found[there] = True
        return np.take(found, places)

    @cached_property
    def of_scope(self) -> Mapping[str, NDArray[np.bool_]]:
        """Which rows are of each scope: nearly every query asks for one."""
        return {scope: self.rows["scope"] == at for at, scope in enumerate(SCOPES)}

    @cached_property
    def _is_whole(self) -> bool:
        return zlib.crc32(self._raw) == self._sum

    def column(self, key: str) -> Column:
        """Return the values of a key.

        Raises:
            StoreError: they are damaged.
        """
        found = self._columns.get(key)
        if found is None:
            if len(self._columns) >= COLUMNS:
                self._columns = {}  # another thread may still fill the old one: no harm
            found = self._columns[key] = self._read_column(key)
        return found

    def _read_column(self, key: str) -> Column:
        if key == "scope":
            return Column(np.minimum(self.rows["scope"], len(SCOPES)), (*SCOPES, None))
        if key in IN_ROW:
            times, places = np.unique(self.rows[IN_ROW[key]], return_inverse=True)
            return Column(places.astype(np.int32), times.tolist())
        if not self._is_whole:
            raise damaged(self.folder, f"{PAYLOADS} is not what was written")
        if key not in self._keys:
            return Column(np.zeros(len(self.rows), np.int32), [None])
        payloads = self.rows["payload"]
        if payloads.min() < 0 or payloads.max() >= len(self._codes):
            raise damaged(self.folder, f"{ROWS} is not what was written")
        codes = self._codes[:, 1 + self._keys.index(key)]
        used = np.flatnonzero(np.bincount(codes, minlength=1))
        places = np.zeros(used[-1] + 1, np.int32)
        places[used] = np.arange(len(used))
        starts, ends = (self._begin + self._ends[at] for at in (used - 1, used))
        spans = zip(starts.tolist(), ends.tolist(), strict=True)
        texts = b",".join(self._raw[start:end] or b"null" for start, end in spans)
        return Column(places[codes][payloads], json.loads(b"[%b]" % texts))

    def verify(self, part: Part, progress: Progress) -> Iterator[str]:
        """Read everything; yield a line for each damage."""
        for name in SUMMED:
            if zlib.crc32((self.folder / name).read_bytes()) != part.sums.get(name):
                yield f"{self.folder / name} is not what was written"
        wrong = 0
        for number, (vector, row) in enumerate(zip(self.vectors, self.rows, strict=True), 1):
            wrong += row_sum(vector, row) != int(row["crc"])
            if number % STEP == 0:
                progress.step(STEP)
        if wrong:
            yield f"{self.folder / VECTORS}: rows that are not what was written: {wrong}"


def text_sum(texts: Mapping[str, str]) -> int:
    """Return the checksum of what a payload says."""
    return zlib.crc32("\n".join(text for _, text in sorted(texts.items())).encode())


def row_sum(vector: NDArray[np.float32], row: Any) -> int:
    """Return the checksum of a point."""
    return zlib.crc32(row.tobytes()[:ROW_BYTES_SUMMED], zlib.crc32(vector.data))


def read_dead(folder: Path, part: Part) -> NDArray[np.int32]:
    """Return the rows of a segment that no longer count.

    Raises:
        OSError, StoreError: the list is gone or damaged.
    """
    if not part.dead:
        return np.empty(0, "<i4")
    raw = (folder / part.dead).read_bytes()
    if zlib.crc32(raw) != part.dead_sum:
        raise damaged(folder, f"{part.dead} is not what was written")
    return np.frombuffer(raw, "<i4")


def _mapped(path: Path, size: int | None = None) -> mmap.mmap | bytes:
    """Map a file, which must be of that size if one is given."""
    with path.open("rb") as file:
        there = file.seek(0, 2)
        if size is not None and there != size:
            raise damaged(path.parent, f"{path.name} has {there} bytes, not {size}")
        return mmap.mmap(file.fileno(), there, access=mmap.ACCESS_READ) if there else b""


def damaged(folder: Path, what: str) -> StoreError:
    return StoreError(
        f"the index {folder} cannot be read ({what}): run `vidrec index --recreate` to mend it"
    )


def video_hash(video_id: str) -> int:
    """Return a number for a video: different videos hardly ever share one."""
    raw = video_id.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "little")


def id_bytes(text: str) -> bytes:
    """Return a point id, a UUID as text, as its 16 bytes.

    Raises:
        UsageError: it is no UUID.
    """
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        raw = b""
    if len(raw) != 16:
        raise UsageError(f"a point's id must be a UUID. Received: {text!r}")
    return raw


def id_text(raw: bytes) -> str:
    """Return 16 bytes as the text of a UUID; both sort alike."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def id_keys(ids: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a number for each 16-byte id."""
    halves = np.frombuffer(np.ascontiguousarray(ids).tobytes(), "<u8").reshape(-1, 2)
    mixed: NDArray[np.uint64] = halves[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ halves[:, 1]
    return mixed


def rows_of(segment: Segment, ids: Sequence[bytes]) -> dict[bytes, int]:
    """Return the rows of those ids that are there; of equal ones the last."""
    if not ids:
        return {}
    wanted = set(ids)
    keys = id_keys(np.frombuffer(b"".join(wanted), "V16"))
    near = np.flatnonzero(np.isin(segment.id_keys, keys))
    names = [raw.tobytes() for raw in segment.rows["id"][near]]
    return {raw: row for raw, row in zip(names, near.tolist(), strict=True) if raw in wanted}
