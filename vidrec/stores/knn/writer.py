"""How a generation of the local index is written. See ``knn_files`` for the layout.

A batch is checked first, then its rows go behind the committed ones, then to disk, and last one
SQLite transaction names them: a kill at any moment leaves the generation as of a whole batch.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from vidrec.errors import StoreError, UsageError, VidrecError
from vidrec.stores.knn.files import (
    CURRENT,
    LAYOUT,
    POINTS,
    ROW,
    ROWS,
    SCHEMA,
    SCOPES,
    VECTORS,
    Meta,
    connect,
    map_rows,
    read_meta,
    select_in,
)
from vidrec.stores.knn.payloads import PayloadTable
from vidrec.stores.ranking import unit_rows
from vidrec.types import Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.stores.knn.files import Rows

SYNCED_BYTES = 16 << 20  # of vectors a batch that waits for the disk
CACHED_BYTES = 2 << 20  # and of one that does not: what is at hand in a processor's cache
BATCH_POINTS = 8192
PAIRS_A_STATEMENT = 400  # an old SQLite takes 999 values


def create_generation(folder: Path, fingerprint: str, dim: int) -> None:
    """Make the files of an empty generation."""
    folder.mkdir(parents=True)
    (folder / VECTORS).touch()
    (folder / ROWS).touch()
    db = sqlite3.connect(folder / POINTS, isolation_level=None)
    try:
        db.executescript(f"PRAGMA page_size = 8192; BEGIN; {SCHEMA} PRAGMA user_version={LAYOUT};")
        db.execute("INSERT INTO meta VALUES (?, ?, 0, x'')", (fingerprint, dim))
        db.execute("COMMIT")
    finally:
        db.close()


def serve(collection: Path, name: str) -> None:
    """Put a finished generation on disk for good and make it the served one, at once."""
    for file in (VECTORS, ROWS, POINTS):
        with (collection / name / file).open("rb+") as handle:
            os.fsync(handle.fileno())
    sync_folder(collection / name)
    beside = collection / f"{CURRENT}.new"
    with beside.open("w", encoding="utf-8") as handle:
        handle.write(f"{name}\n")
        handle.flush()
        os.fsync(handle.fileno())
    beside.replace(collection / CURRENT)
    sync_folder(collection)


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk, where the system can."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class GenerationWriter:
    """Writes to one generation; the caller holds the collection's lock."""

    def __init__(self, folder: Path, *, served: bool) -> None:
        """Open it.

        What is not served yet need not survive a crash, so it is not synced, and its table of
        ids is filled in the end, by ``finish``.
        """
        self.folder = folder
        self.served = served
        self.broken = False
        self._db = connect(folder)
        self._db.execute("PRAGMA cache_size = -65536")
        if not served:
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("PRAGMA journal_mode = MEMORY")
        self.meta = read_meta(self._db, folder)
        map_rows(folder, self.meta)  # refuses files that are too short
        self._vectors: BinaryIO = (folder / VECTORS).open("rb+")
        self._rows: BinaryIO = (folder / ROWS).open("rb+")
        self._payloads = PayloadTable(self._db)

    def close(self) -> None:
        self._vectors.close()
        self._rows.close()
        self._db.close()

    def upsert(self, points: Iterable[Point]) -> int:
        """Write points in batches; see ``VectorStore.upsert``."""
        batch_bytes = SYNCED_BYTES if self.served else CACHED_BYTES
        size = max(64, min(BATCH_POINTS, batch_bytes // (self.meta.dim * 4)))
        stream = iter(points)
        written = 0
        while batch := list(islice(stream, size)):
            self._upsert_batch(batch)
            written += len(batch)
        return written

    def delete(self, ids: Iterable[bytes]) -> int:
        """Delete points by id; return how many there were."""
        stream = iter(ids)
        deleted = 0
        while batch := list(islice(stream, BATCH_POINTS)):
            with self._transaction():
                found = self._rows_of(batch)
                self._db.executemany("DELETE FROM points WHERE id = ?", [(raw,) for raw in found])
                self._commit(self.meta.n_rows, list(found.values()))
            deleted += len(found)
        return deleted

    def _upsert_batch(self, batch: Sequence[Point]) -> None:
        latest = {id_bytes(point.id): point for point in batch}  # the last of equal ids wins
        ids = list(latest)
        points = list(latest.values())
        vectors = _matrix(points, self.meta.dim)
        rows = np.zeros(len(ids), dtype=ROW)
        rows["id"] = np.frombuffer(b"".join(ids), dtype="V16")
        payloads = [point.payload for point in points]
        rows["start"] = [payload.start_sec for payload in payloads]
        rows["end"] = [payload.end_sec for payload in payloads]
        rows["scope"] = [SCOPES.index(payload.scope) for payload in payloads]
        bodies = self._payloads.bodies(payloads)
        with self._transaction():
            numbers = np.array(self._payloads.numbers(payloads, bodies), dtype="<i4")
            rows["video"], rows["payload"] = numbers[:, 0], numbers[:, 1]
            found = self._rows_of(ids) if self.served and self.meta.n_rows else {}
            if found:
                changed = self._changed(found, ids, vectors, rows)
                vectors, rows = vectors[changed], rows[changed]
                ids = [ids[at] for at in changed]
            self.append(vectors, rows, ids, [found[raw] for raw in ids if raw in found])

    def append(
        self,
        vectors: NDArray[np.float32],
        rows: Rows,
        ids: Sequence[bytes],
        dead: Sequence[int] = (),
    ) -> None:
        """Write rows behind the last and name them; call within a transaction."""
        first = self.meta.n_rows
        for file, data in ((self._vectors, vectors), (self._rows, rows)):
            item = data.nbytes // max(1, len(data))
            file.seek(first * item)
            file.write(np.ascontiguousarray(data).view(np.uint8).data)
            file.flush()
            if self.served and len(data):
                os.fsync(file.fileno())
        if self.served:
            self._name(sorted(zip(ids, range(first, first + len(ids)), strict=True)))
        self._commit(first + len(ids), dead)

    def finish(self) -> None:
        """Fill the table of ids of a generation that is to be served: at once, in their order.

        Of rows with the same id, the last counts.
        """
        names = map_rows(self.folder, self.meta).rows["id"].tobytes()
        halves = np.frombuffer(names, dtype=">u8").reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: later rows come later
        last = np.ones(len(order), dtype=bool)
        last[:-1] = (halves[order[:-1]] != halves[order[1:]]).any(axis=1)
        pairs = ((names[16 * row : 16 * row + 16], row) for row in order[last].tolist())
        with self._transaction():
            self._name(pairs)
            self._commit(self.meta.n_rows, sorted(order[~last].tolist()))

    def copy_live(self, source: Path, meta: Meta) -> None:
        """Fill this empty generation with the live points of another."""
        old = map_rows(source, meta)
        live = np.ones(meta.n_rows, dtype=bool)
        live[meta.dead_rows] = False
        numbers = np.flatnonzero(live)
        step = max(64, CACHED_BYTES // (meta.dim * 4))
        with self._transaction():
            self._payloads.copy(source, old.rows["payload"][numbers])
            for start in range(0, len(numbers), step):
                part = numbers[start : start + step]
                ids = [raw.tobytes() for raw in old.rows["id"][part]]
                self.append(old.vectors[part], old.rows[part], ids)

    def _name(self, pairs: Iterable[tuple[bytes, int]]) -> None:
        """Put (id, row) pairs into the table of ids; best in the order of ids."""
        stream = iter(pairs)
        while some := list(islice(stream, PAIRS_A_STATEMENT)):
            values = ",".join(["(?,?)"] * len(some))
            self._db.execute(f"INSERT OR REPLACE INTO points VALUES {values}", [*chain(*some)])

    def _commit(self, n_rows: int, dead: Sequence[int]) -> None:
        blob = self.meta.dead + np.array(dead, dtype="<i4").tobytes()
        self._db.execute("UPDATE meta SET n_rows = ?, dead = ?", (n_rows, blob))
        self.meta = Meta(self.meta.fingerprint, self.meta.dim, n_rows, blob)

    def _rows_of(self, ids: Sequence[bytes]) -> dict[bytes, int]:
        return dict(select_in(self._db, "SELECT id, row FROM points WHERE id IN", ids))

    def _changed(
        self, found: dict[bytes, int], ids: Sequence[bytes], vectors: Any, rows: Rows
    ) -> list[int]:
        """Return the positions of points that are new or differ from what is stored."""
        old = map_rows(self.folder, self.meta)
        known = np.array([found.get(raw, -1) for raw in ids])
        at = np.flatnonzero(known >= 0)
        same = (old.rows[known[at]] == rows[at]) & (
            old.vectors[known[at]].view("<u4") == vectors[at].view("<u4")
        ).all(axis=1)
        keep = np.ones(len(ids), dtype=bool)
        keep[at[same]] = False
        return [int(position) for position in np.flatnonzero(keep)]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = self.meta
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self.meta = before
                self._payloads.forget()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except VidrecError:
            raise
        except (sqlite3.Error, OSError) as exc:
            self.broken = True
            raise StoreError(
                f"cannot write the index {self.folder}: {exc}; what was indexed before is unharmed"
            ) from exc


def _matrix(points: Sequence[Point], dim: int) -> NDArray[np.float32]:
    """Return the points' vectors as unit rows.

    Raises:
        UsageError: a vector has another size or no direction.
    """
    for point in points:
        if point.vector.shape != (dim,):
            raise UsageError(
                f"point {point.id} has a vector of shape {point.vector.shape}, "
                f"the collection holds vectors of {dim} numbers"
            )
    matrix = np.concatenate([point.vector for point in points]).reshape(len(points), dim)
    matrix = matrix.astype("<f4", copy=False)
    return unit_rows(matrix, [point.id for point in points])


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
