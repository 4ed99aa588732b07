"""The files of the local index, and how they are read.

    <collection>/CURRENT            the name of the served generation; replaced atomically
    <collection>/gen-7/
        vectors.f32                 one unit row of ``dim`` float32 a point
        rows.bin                    one ``ROW`` a point: what ranking and grouping need
        points.sqlite3              meta, id -> row, payloads

A generation only grows: a row that was committed is never written again, and a point that is
deleted or replaced is listed in ``meta.dead``. ``meta.n_rows`` is the truth of how many rows
there are; the files are on disk before it is raised, and what lies behind it is the leftover of
a write that was cut off. So a reader needs no lock: it reads the meta row once and maps so many
rows. What is rebuilt or compacted is a new generation beside the served one.

Payloads are stored once for all points that share them, without the scope and the times, which
are the row's. Side columns lie in ``rows.bin``, so that a query over many points reads only the
payloads of its matches from SQLite.
"""

from __future__ import annotations

import json
import mmap
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from vidrec.errors import StoreError
from vidrec.types import Payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows: TypeAlias = NDArray[Any]

LAYOUT = 1
CURRENT = "CURRENT"
VECTORS = "vectors.f32"
ROWS = "rows.bin"
POINTS = "points.sqlite3"
BUSY_SECONDS = 30
RETRIES = 50

ROW = np.dtype(
    [
        ("id", "V16"),
        ("start", "<f8"),
        ("end", "<f8"),
        ("video", "<i4"),  # videos.no
        ("payload", "<i4"),  # payloads.no
        ("scope", "u1"),  # position in SCOPES
        ("unused", "V7"),
    ]
)
SCOPES = ("clip", "video")
ROW_FIELDS = ("scope", "start_sec", "end_sec")  # payload fields that lie in the row
ROW_COLUMNS = {"start_sec": "start", "end_sec": "end"}

SCHEMA = """
CREATE TABLE meta (fingerprint TEXT NOT NULL, dim INTEGER NOT NULL, n_rows INTEGER NOT NULL,
                   dead BLOB NOT NULL);
CREATE TABLE points (id BLOB PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE videos (no INTEGER PRIMARY KEY, video_id TEXT NOT NULL UNIQUE);
CREATE TABLE payloads (no INTEGER PRIMARY KEY, digest INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX payloads_by_digest ON payloads (digest);
CREATE TABLE keys (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Meta:
    """The one row of ``meta``: what is committed."""

    fingerprint: str
    dim: int
    n_rows: int
    dead: bytes  # the rows that no longer count, as int32

    @property
    def dead_rows(self) -> NDArray[np.int32]:
        return np.frombuffer(self.dead, dtype="<i4")

    @property
    def count(self) -> int:
        return self.n_rows - len(self.dead) // 4


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The committed points of one moment, mapped."""

    meta: Meta
    vectors: NDArray[np.float32]  # (n_rows, dim)
    rows: Rows  # (n_rows,) of ROW


class Generation:
    """An open generation, for reading. Its files may be unlinked meanwhile."""

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            sqlite3.Error, OSError, StoreError: it is gone or damaged.
        """
        self.folder = folder
        self.db = connect(folder)
        # Held open, so that what is committed later can be mapped from an unlinked file too.
        self._files: list[BinaryIO] = []
        try:
            self._files += [(folder / name).open("rb") for name in (VECTORS, ROWS)]
            self.snapshot = self._map(read_meta(self.db, folder))
        except BaseException:
            self.close()
            raise

    def refresh(self) -> Snapshot:
        """Return what is committed now. Tables but ``points`` only grow: no lock is needed."""
        meta = read_meta(self.db, self.folder)
        if meta != self.snapshot.meta:
            self.snapshot = self._map(meta)
        return self.snapshot

    def _map(self, meta: Meta) -> Snapshot:
        vectors, rows = self._files
        return map_files(vectors, rows, meta, self.folder)

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """One read transaction: ``points`` as of the snapshot."""
        self.db.execute("BEGIN")
        try:
            yield self.refresh()
        finally:
            self.db.execute("COMMIT")

    def payloads(self, rows: Rows) -> list[Payload]:
        """Return the payloads of some rows, in their order."""
        numbers = sorted({int(no) for no in rows["payload"]})
        bodies: dict[int, dict[str, Any]] = {}
        for no, body in select_in(self.db, "SELECT no, body FROM payloads WHERE no IN", numbers):
            bodies[no] = json.loads(body)
        try:
            return [
                Payload.from_dict(
                    {
                        **bodies[int(row["payload"])],
                        "scope": SCOPES[int(row["scope"])],
                        "start_sec": float(row["start"]),
                        "end_sec": float(row["end"]),
                    }
                )
                for row in rows
            ]
        except (KeyError, IndexError) as exc:
            raise damaged(self.folder, f"no payload {exc}") from exc

    def close(self) -> None:
        self.db.close()
        for file in self._files:
            file.close()


def connect(folder: Path) -> sqlite3.Connection:
    """Open a generation's existing database; several threads may share it in turn."""
    uri = (folder / POINTS).absolute().as_uri() + "?mode=rw"
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def read_meta(db: sqlite3.Connection, folder: Path) -> Meta:
    """Return the committed state.

    Raises:
        StoreError: the table is damaged or of a newer layout.
    """
    layout = db.execute("PRAGMA user_version").fetchone()[0]
    if layout > LAYOUT:
        raise StoreError(f"{folder} was written by a newer vidrec: update vidrec")
    row = db.execute("SELECT fingerprint, dim, n_rows, dead FROM meta").fetchone()
    if row is None or row[1] < 1 or row[2] < 0 or len(row[3]) % 4:
        raise damaged(folder, "its meta table is wrong")
    return Meta(*row)


def map_rows(folder: Path, meta: Meta) -> Snapshot:
    """Map the committed rows.

    Raises:
        StoreError: a file is shorter than it must be.
    """
    with (folder / VECTORS).open("rb") as vectors, (folder / ROWS).open("rb") as rows:
        return map_files(vectors, rows, meta, folder)


def map_files(vectors: BinaryIO, rows: BinaryIO, meta: Meta, folder: Path) -> Snapshot:
    """Map the committed rows of files that are open.

    Raises:
        StoreError: a file is shorter than it must be.
    """
    n_bytes = meta.n_rows * meta.dim * 4
    matrix = np.frombuffer(_map(vectors, n_bytes, folder / VECTORS), dtype="<f4")
    table = np.frombuffer(_map(rows, meta.n_rows * ROW.itemsize, folder / ROWS), dtype=ROW)
    return Snapshot(meta, matrix.reshape(meta.n_rows, meta.dim), table)


def _map(file: BinaryIO, size: int, path: Path) -> mmap.mmap | bytes:
    if file.seek(0, 2) < size:
        raise damaged(path.parent, f"{path.name} is too short")
    return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""


def select_in(
    db: sqlite3.Connection, select: str, values: Sequence[Any], many: int = 900
) -> Iterator[Any]:
    """Run ``select (?, ?, …)`` over all values, some hundred at a time."""
    for start in range(0, len(values), many):
        part = values[start : start + many]
        yield from db.execute(f"{select} ({','.join('?' * len(part))})", part)


def current_name(collection: Path) -> str | None:
    """Return the name of the served generation, or None.

    Raises:
        StoreError: ``CURRENT`` holds something else.
    """
    try:
        name = (collection / CURRENT).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not (name.startswith("gen-") and name[4:].isdigit()):
        raise damaged(collection, "CURRENT names no generation")
    return name


def open_current(collection: Path) -> Generation | None:
    """Open the served generation; None before the first index.

    A generation may be replaced and removed between the reading of its name and its opening:
    then the next one is there.

    Raises:
        StoreError: it is damaged or cannot be read.
    """
    failure: Exception | None = None
    for _ in range(RETRIES):
        name = current_name(collection)
        if name is None:
            return None
        try:
            return Generation(collection / name)
        except (OSError, sqlite3.Error, StoreError) as exc:
            failure = exc
            if current_name(collection) == name:
                break
    if isinstance(failure, StoreError):
        raise failure
    raise damaged(collection, str(failure)) from failure


def damaged(folder: Path, what: str) -> StoreError:
    return StoreError(
        f"the index {folder} cannot be read ({what}): run `vidrec index --recreate` to mend it"
    )


def id_text(raw: bytes) -> str:
    """Return 16 bytes as the text of a UUID; both sort alike."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
