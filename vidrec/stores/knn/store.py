"""The default store: exact cosine over memory-mapped segments. The files are in ``__init__``."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrec.conditions import Filter
from vidrec.errors import LockedError, NoIndexError, StoreError
from vidrec.locks import AlreadyHeldError, LockFileError, held
from vidrec.progress import Progress, Silent, finishing
from vidrec.stores.base import (
    CollectionInfo,
    Found,
    PointWriter,
    VectorStore,
    check_query,
    index_command,
)
from vidrec.stores.knn.manifest import MANIFEST, Manifest, read_manifest, writes_told
from vidrec.stores.knn.segment import damaged, id_bytes, id_text
from vidrec.stores.knn.snapshot import Snapshot, open_snapshot
from vidrec.stores.knn.together import Together
from vidrec.types import Clips, Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.stores.knn.changes import Changes

RETRIES = 50
LOCK_SECONDS = 2.0


class KnnStore(VectorStore):
    """One collection of the local index."""

    name = "knn"
    keeps_bits = True

    def __init__(self, folder: Path, collection: str) -> None:
        """Name the collection; nothing is opened or made yet."""
        self.folder = folder / collection
        self.collection = collection
        self._snapshot: Snapshot | None = None
        self._lock_file = folder / f"{collection}.lock"
        self._together = Together()
        self._writers = threading.Lock()  # a file's lock is the process's

    @property
    def place(self) -> str:
        return str(self.folder)

    # Reading

    def begin(self) -> None:
        """Open what is served now, and let a thread see to the pages that a scan would wait for.

        What is wrong with it is told when something is asked.
        """
        with suppress(StoreError):
            if (found := self._now()) is not None:
                threading.Thread(target=found.touch, name="pages", daemon=True).start()

    def info(self) -> CollectionInfo | None:
        found = self._now()
        return None if found is None else self._info(found)

    def candidates(
        self,
        vectors: NDArray[np.float32],
        n: int,
        where: Filter,
        *,
        by_video: bool = False,
        fingerprint: str | None = None,
    ) -> list[Found]:
        snapshot = self._served()
        info = self._info(snapshot)
        check_query(info, vectors, fingerprint, self.name, self.collection)
        most = snapshot.at_a_time
        return [
            snapshot.found(row, n, by_video=by_video)
            for start in range(0, len(vectors), most)
            for row in self._together(
                (id(snapshot), where),
                vectors[start : start + most],
                most,
                lambda asked: snapshot.scores(asked, where),
            )
        ]

    def get(self, ids: Sequence[str]) -> list[Point]:
        wanted = [id_bytes(text) for text in ids]
        snapshot = self._now()
        return [] if snapshot is None else snapshot.points(wanted)

    def clips_of(self, video_ids: Sequence[str]) -> dict[str, Clips] | None:
        snapshot = self._now()
        return None if snapshot is None else snapshot.clips_of(video_ids)

    def ids(self) -> Iterator[str]:
        snapshot = self._now()
        if snapshot is not None:
            for raw in snapshot.ids():
                yield id_text(raw)

    def verify(self, progress: Progress | None = None) -> Iterator[str]:
        snapshot, progress = self._now(), progress or Silent()
        if snapshot is not None:
            progress.start(f"reading {self.folder}", snapshot.n_rows, "point")
            with finishing(progress):
                yield from snapshot.verify(progress)

    # Writing

    def upsert(self, points: Iterable[Point]) -> int:
        with self._changing() as changes:
            if changes.manifest.build == 0:
                raise self._no_index()
            return changes.upsert(points)

    def delete(self, ids: Iterable[str]) -> int:
        with self._changing() as changes:
            return changes.delete([id_bytes(text) for text in ids])

    @contextmanager
    def rebuild(self, fingerprint: str, dim: int) -> Iterator[PointWriter]:
        with self._changing(anew=(fingerprint, dim)) as changes:
            yield changes
            changes.replace()

    def close(self) -> None:
        self._snapshot = None  # what a thread still reads stays mapped as long as it does

    # How

    def _now(self) -> Snapshot | None:
        """Return what is served now; None before the first index.

        Segments may be replaced and removed between the reading of the manifest and their
        opening: then there is another manifest.
        """
        try:
            status = (self.folder / MANIFEST).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise StoreError(f"cannot read the index {self.folder}: {exc.strerror}") from exc
        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._snapshot
        if known is not None and known.mark == mark:
            return known
        failure: Exception | None = None
        for _ in range(RETRIES):
            manifest = self._manifest()
            if manifest is None:
                return None
            try:
                self._snapshot = open_snapshot(self.folder, manifest, mark, known)
                return self._snapshot
            except (OSError, StoreError, ValueError) as exc:
                failure = exc
                if self._manifest() == manifest:
                    break
        if isinstance(failure, StoreError):
            raise failure
        raise damaged(self.folder, str(failure)) from failure

    def _manifest(self) -> Manifest | None:
        try:
            return read_manifest(self.folder)
        except OSError as exc:
            raise StoreError(f"cannot read the index {self.folder}: {exc.strerror}") from exc

    def _served(self) -> Snapshot:
        found = self._now()
        if found is None:
            raise self._no_index()
        return found

    def _no_index(self) -> NoIndexError:
        again = index_command(self.name, self.collection)
        older = (self.folder / MANIFEST).exists()
        what = "an older vidrec made the index" if older else "no index in"
        return NoIndexError(f"{what} {self.folder}: run `{again}`")

    def _info(self, snapshot: Snapshot) -> CollectionInfo:
        held = snapshot.manifest
        return CollectionInfo(
            self.collection, held.fingerprint, held.dim, held.count, self.place, snapshot.version
        )

    @contextmanager
    def _changing(self, anew: tuple[str, int] | None = None) -> Iterator[Changes]:
        """Hold the collection's writer lock; what the block leaves unserved is removed.

        Raises:
            LockedError: another process or thread writes; the message names the process.
            StoreError: nothing can be written there.
        """
        from vidrec.stores.knn.changes import Changes

        if not self._writers.acquire(timeout=LOCK_SECONDS):
            raise LockedError(f"another thread writes the index {self.folder}: wait for it")
        try:
            with writes_told(self.folder):
                self._lock_file.parent.mkdir(parents=True, exist_ok=True)
            with held(self._lock_file, LOCK_SECONDS), writes_told(self.folder):
                manifest = self._usable() if anew else self._manifest()
                if manifest is None and not anew:
                    raise self._no_index()
                self.folder.mkdir(exist_ok=True)
                changes = Changes(self.folder, manifest or Manifest("", 1), anew)
                try:
                    yield changes
                finally:
                    changes.tidy()
        except AlreadyHeldError as exc:
            raise LockedError(
                f"another vidrec writes the index {self.folder} (process {exc}): wait for it"
            ) from exc
        except LockFileError as exc:
            raise StoreError(f"cannot write the index {self.folder}: {exc}") from exc
        finally:
            self._writers.release()

    def _usable(self) -> Manifest | None:
        """Return the manifest that a rebuild replaces; a damaged one is replaced, too."""
        try:
            return self._manifest()
        except StoreError as exc:
            if "newer vidrec" in str(exc):
                raise
            return None
