"""The default store: exact cosine over a memory-mapped matrix, payloads in SQLite.

Nothing but numpy and the standard library; opening costs a few milliseconds at any size and a
query reads the matrix once. Several processes may read while one writes. The files are described
in ``knn_files``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrec.errors import FingerprintError, LockedError, NoIndexError, StoreError
from vidrec.locks import AlreadyHeldError, LockFileError, held
from vidrec.stores import ranking
from vidrec.stores.base import (
    CollectionInfo,
    PointWriter,
    VectorStore,
    check_fingerprint,
    check_query,
    index_command,
)
from vidrec.stores.knn.files import (
    CURRENT,
    Generation,
    Snapshot,
    current_name,
    damaged,
    id_text,
    open_current,
    select_in,
)
from vidrec.stores.knn.filter import allowed_rows
from vidrec.types import Filter, Match, Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.stores.knn.writer import GenerationWriter
    from vidrec.types import Vector

# Below this share of points that may match, their rows are gathered instead of scanning all.
SELECTIVE = 1 / 8
ROWS_AT_A_TIME = 16_384
# A generation is rewritten when so many rows, and this share of all, are dead.
MIN_DEAD = 1024
DEAD_SHARE = 1 / 4
LOCK_SECONDS = 2.0


class KnnStore(VectorStore):
    """One collection of the local index."""

    name = "knn"

    def __init__(self, folder: Path, collection: str) -> None:
        """Name the collection; nothing is opened or made yet."""
        self.folder = folder / collection
        self.collection = collection
        self._open: Generation | None = None
        self._lock_file = folder / f"{collection}.lock"

    @property
    def where(self) -> str:
        return str(self.folder)

    # Reading

    def info(self) -> CollectionInfo | None:
        with self._reading() as found:
            return None if found is None else self._info(found[1])

    def count(self) -> int:
        with self._reading() as found:
            return 0 if found is None else found[1].meta.count

    def query(
        self,
        vector: Vector,
        *,
        k: int,
        where: Filter | None = None,
        by_video: bool = True,
        fingerprint: str | None = None,
    ) -> list[Match]:
        with self._reading() as found:
            generation, snapshot = self._served(found)
            info = self._info(snapshot)
            check_query(info, vector, k)
            if fingerprint is not None:
                check_fingerprint(info, fingerprint, self.name, self.collection)
            asked = np.ascontiguousarray(vector, dtype="<f4")[None]
            asked = ranking.unit_rows(asked, ["the query"])[0]
            numbers, scores = self._scores(generation, snapshot, asked, where)
            videos = snapshot.rows["video"] if numbers is None else snapshot.rows["video"][numbers]
            near = ranking.shortlist(
                scores, k, ranking.margin(snapshot.meta.dim), videos if by_video else None
            )
            candidates = near if numbers is None else numbers[near]
            return _matches(generation, snapshot, asked, candidates, k, by_video)

    def get(self, ids: Sequence[str]) -> list[Point]:
        from vidrec.stores.knn.writer import id_bytes

        wanted = [id_bytes(text) for text in ids]
        with self._reading() as found:
            if found is None:
                return []
            generation = found[0]
            with generation.reading() as snapshot:
                select = "SELECT id, row FROM points WHERE id IN"
                stored = dict(select_in(generation.db, select, list(dict.fromkeys(wanted))))
            numbers = [stored[raw] for raw in wanted if raw in stored]
            rows = snapshot.rows[numbers]
            payloads = generation.payloads(rows)
            return [
                Point(id_text(row["id"].tobytes()), snapshot.vectors[number].copy(), payload)
                for number, row, payload in zip(numbers, rows, payloads, strict=True)
            ]

    def ids(self) -> Iterator[str]:
        with self._reading() as found:
            snapshot = None if found is None else found[1]
        if snapshot is None:
            return
        live = _live(snapshot)
        for start in range(0, len(live), ROWS_AT_A_TIME):
            numbers = start + np.flatnonzero(live[start : start + ROWS_AT_A_TIME])
            for raw in snapshot.rows["id"][numbers]:
                yield id_text(raw.tobytes())

    # Writing

    def create(self, fingerprint: str, dim: int) -> None:
        with self._writing():
            found = self.info()
            if found is not None and (found.fingerprint, found.dim) != (fingerprint, dim):
                raise FingerprintError(
                    f"{found.where} holds vectors of {found.fingerprint} ({found.dim} numbers), "
                    f"not of {fingerprint} ({dim}): run "
                    f"`{index_command(self.name, self.collection, '--recreate')}` to replace them"
                )
            if found is None:
                with self._building(fingerprint, dim):
                    pass

    def upsert(self, points: Iterable[Point]) -> int:
        with self._writing(), self._writer() as writer:
            written = writer.upsert(points)
            self._compact_if_needed(writer)
            return written

    def delete(self, ids: Iterable[str]) -> int:
        from vidrec.stores.knn.writer import id_bytes

        with self._writing(), self._writer() as writer:
            deleted = writer.delete(id_bytes(text) for text in ids)
            self._compact_if_needed(writer)
            return deleted

    @contextmanager
    def rebuild(self, fingerprint: str, dim: int) -> Iterator[PointWriter]:
        with self._writing(), self._building(fingerprint, dim) as writer:
            yield writer

    def drop(self) -> None:
        import shutil

        with self._writing(), _mapped(self.folder):
            (self.folder / CURRENT).unlink(missing_ok=True)
            self.close()
            shutil.rmtree(self.folder)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    # How

    @contextmanager
    def _reading(self) -> Iterator[tuple[Generation, Snapshot] | None]:
        """The served generation and what is committed in it; None before the first index."""
        try:
            name = current_name(self.folder)
            if self._open is not None and self._open.folder.name != name:
                self.close()
            if self._open is None:
                self._open = open_current(self.folder)
            if self._open is None:
                yield None
                return
            yield self._open, self._open.refresh()
        except (sqlite3.Error, OSError) as exc:
            raise damaged(self.folder, str(exc)) from exc

    def _no_index(self) -> NoIndexError:
        again = index_command(self.name, self.collection)
        return NoIndexError(f"no index in {self.folder}: run `{again}`")

    def _served(self, found: tuple[Generation, Snapshot] | None) -> tuple[Generation, Snapshot]:
        if found is None:
            raise NoIndexError(
                f"no index in {self.folder}: run `{index_command(self.name, self.collection)}`"
            )
        return found

    def _info(self, snapshot: Snapshot) -> CollectionInfo:
        meta = snapshot.meta
        return CollectionInfo(self.collection, meta.fingerprint, meta.dim, meta.count, self.where)

    def _scores(
        self, generation: Generation, snapshot: Snapshot, asked: Vector, where: Filter | None
    ) -> tuple[NDArray[np.intp] | None, NDArray[np.float32]]:
        """Return row numbers (None: all rows) and their float32 scores; -inf may not match."""
        allowed = allowed_rows(generation, snapshot, where) if where else None
        if allowed is not None and np.count_nonzero(allowed) < SELECTIVE * len(allowed):
            allowed[snapshot.meta.dead_rows] = False
            numbers = np.flatnonzero(allowed)
            scores = np.empty(len(numbers), dtype=np.float32)
            for start in range(0, len(numbers), ROWS_AT_A_TIME):
                part = numbers[start : start + ROWS_AT_A_TIME]
                np.dot(snapshot.vectors[part], asked, out=scores[start : start + len(part)])
            _check_finite(scores, snapshot, generation)
            return numbers, scores
        scores = snapshot.vectors @ asked
        _check_finite(scores, snapshot, generation)
        scores[snapshot.meta.dead_rows] = -np.inf
        if allowed is not None:
            scores[~allowed] = -np.inf
        return None, scores

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the collection's writer lock, and clear what a killed writer left.

        Raises:
            LockedError: another process writes; the message names it.
        """
        with _mapped(self.folder):
            self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with held(self._lock_file, LOCK_SECONDS):
                with _mapped(self.folder):
                    self.folder.mkdir(exist_ok=True)
                    self._remove_leftovers()
                yield
        except AlreadyHeldError as exc:
            raise LockedError(
                f"another vidrec writes the index {self.folder} (process {exc}): wait for it"
            ) from exc
        except LockFileError as exc:
            raise StoreError(f"cannot write the index {self.folder}: {exc}") from exc

    @contextmanager
    def _writer(self) -> Iterator[GenerationWriter]:
        from vidrec.stores.knn.writer import GenerationWriter

        name = current_name(self.folder)
        if name is None:
            raise NoIndexError(
                f"no index in {self.folder}: run `{index_command(self.name, self.collection)}`"
            )
        with _mapped(self.folder):
            writer = GenerationWriter(self.folder / name, served=True)
        try:
            yield writer
        finally:
            writer.close()

    @contextmanager
    def _building(self, fingerprint: str, dim: int) -> Iterator[GenerationWriter]:
        """Build a new generation and serve it; on an exception it is removed."""
        import shutil

        from vidrec.stores.knn.writer import GenerationWriter, create_generation, serve

        numbers = [int(path.name[4:]) for path in self.folder.glob("gen-*")]
        name = f"gen-{max(numbers, default=0) + 1}"
        try:
            with _mapped(self.folder):
                create_generation(self.folder / name, fingerprint, dim)
                writer = GenerationWriter(self.folder / name, served=False)
            try:
                yield writer
                if writer.broken:
                    raise StoreError(f"the new index {self.folder / name} is incomplete: try again")
                writer.finish()
            finally:
                writer.close()
            with _mapped(self.folder):
                serve(self.folder, name)
        except BaseException:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            raise
        self.close()
        self._remove_leftovers()

    def _compact_if_needed(self, writer: GenerationWriter) -> None:
        meta = writer.meta
        dead = meta.n_rows - meta.count
        if dead < MIN_DEAD or dead < DEAD_SHARE * meta.n_rows:
            return
        with self._building(meta.fingerprint, meta.dim) as compact, _mapped(self.folder):
            compact.copy_live(writer.folder, meta)

    def _remove_leftovers(self) -> None:
        """Remove generations that are not served: replaced, or of a killed rebuild."""
        import shutil

        try:
            served = current_name(self.folder)
        except StoreError:
            return  # a rebuild mends it; until then nothing is thrown away
        for path in self.folder.glob("gen-*"):
            if path.name != served:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _mapped(folder: Path) -> Iterator[None]:
    """Turn what SQLite and the system raise into a StoreError."""
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise StoreError(f"cannot write the index {folder}: {exc}") from exc


def _check_finite(scores: NDArray[np.float32], snapshot: Snapshot, generation: Generation) -> None:
    if len(scores) and not np.isfinite(scores.max() - scores.min()):
        raise damaged(generation.folder, "a vector holds numbers that are not finite")


def _live(snapshot: Snapshot) -> NDArray[np.bool_]:
    live = np.ones(snapshot.meta.n_rows, dtype=bool)
    live[snapshot.meta.dead_rows] = False
    return live


def _matches(
    generation: Generation,
    snapshot: Snapshot,
    asked: Vector,
    candidates: NDArray[np.intp],
    k: int,
    by_video: bool,
) -> list[Match]:
    """Rank candidate rows exactly and return the first ``k`` with their payloads."""
    rows = snapshot.rows[candidates]
    scores = np.empty(len(candidates), dtype=np.float64)
    for start in range(0, len(candidates), ROWS_AT_A_TIME):
        part = candidates[start : start + ROWS_AT_A_TIME]
        vectors = snapshot.vectors[part]
        scores[start : start + len(part)] = ranking.exact_scores(vectors, asked)
    ids = [id_text(raw.tobytes()) for raw in rows["id"]]
    videos = rows["video"].tolist() if by_video else None
    best = ranking.order(scores.tolist(), ids, k, videos)
    payloads = generation.payloads(rows[best])
    return [
        Match(ids[at], float(scores[at]), payload)
        for at, payload in zip(best, payloads, strict=True)
    ]
