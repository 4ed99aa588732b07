"""The catalog: the one SQLite file of a library, its transactions and its locks.

Transactions are short, so that one process may embed while others recommend (WAL mode).
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from vidrec.batches import in_batches
from vidrec.errors import LibraryError, LockedError
from vidrec.files import exists, writing
from vidrec.library.schema import check_schema, update_schema, write_schema
from vidrec.locks import AlreadyHeldError, LockFileError, held

CATALOG = "catalog.sqlite3"
BUSY_SECONDS = 30
ASKED_FOR = 500  # names in one statement
SHARED_MEMORY_BYTES = 32 * 1024  # of the smallest file that SQLite makes in WAL mode
Self = TypeVar("Self", bound="Catalog")


def has_catalog(folder: Path) -> bool:
    """Whether a library is in a folder.

    Raises:
        LibraryError: that cannot be seen: a folder may not be entered.
    """
    path = folder / CATALOG
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise LibraryError(f"cannot look into the library {folder}: {exc.strerror}") from exc
    return True


class Catalog:
    """An open catalog. Use as a context manager; safe to share between threads."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Open the library in ``folder``.

        Where it may be read but not written (another user's, a read-only or full disk), it is
        opened for reading, if ``create`` is off: ``read_only`` says so.

        Raises:
            LibraryError: it does not exist (with ``create`` off), cannot be opened, is damaged,
                or was written by another vidrec.
        """
        self.folder = folder
        path = folder / CATALOG
        if not create and not has_catalog(folder):
            refuse_lost(folder)
            raise LibraryError(f"no library in {folder}: run `vidrec embed` on some videos first")
        self._mutex = threading.RLock()
        self._passing = 0  # rows changed that tell nothing of videos
        self.read_only = not create and not os.access(folder, os.W_OK)
        try:
            if create:
                _make(path)
            self._db = self._open(path, create)
            self._file = _identity(path)
        except (sqlite3.Error, OSError, LockFileError, AlreadyHeldError) as exc:
            if create and (lack := _lack(path.parent, exc)):
                exc = OSError(f"its disk {lack}; make room there")
            raise LibraryError(f"cannot open the library {path}: {_reason(exc, path)}") from exc

    @cached_property
    def id(self) -> str:
        """The library's own id (a UUID): copies and moves of the folder keep it."""
        return str(self.value("SELECT value FROM about WHERE name = 'id'"))

    @property
    def data_version(self) -> int:
        """A number that changes whenever anybody else writes to the catalog."""
        return int(self.value("PRAGMA data_version"))

    @property
    def state(self) -> object:
        """Another one whenever anybody has changed the catalog; texts kept here are no change."""
        return self.data_version, self._db.total_changes - self._passing

    def is_empty(self) -> bool:
        """Whether it holds no video."""
        return not self.has("SELECT 1 FROM videos LIMIT 1")

    def take_over(self, known: str) -> None:
        """Bear the id of a library that was lost: what it wrote into shared indexes is ours."""
        if known and known != self.id:
            self.write("UPDATE about SET value = ? WHERE name = 'id'", known)
            del self.id

    def _open(self, path: Path, create: bool) -> sqlite3.Connection:
        if not self.read_only:
            try:
                return _open_for_writing(path)
            except sqlite3.OperationalError as exc:
                if create or not _lack(path.parent, exc):
                    raise
                self.read_only = True
        return _open_for_reading(path)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the catalog; a thread that still asks gets a ``LibraryError``."""
        with self._mutex:  # SQLite crashes where a connection is closed under a statement
            self._db.close()

    @contextmanager
    def transaction(self, *, wait: bool = True) -> Iterator[sqlite3.Connection]:
        """A short write transaction; an exception rolls it back. Inner ones join the outer.

        Another process that writes is waited for, unless ``wait`` is off.

        Raises:
            LibraryError: the catalog cannot be written (disk full, locked, damaged).
        """
        with self._mutex:
            if self._db.in_transaction:
                yield self._db
                return
            try:
                self._begin(wait)
                try:
                    yield self._db
                    self._still_there()
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as exc:
                raise LibraryError(f"cannot write to the library {self.folder}: {exc}") from exc

    def _begin(self, wait: bool) -> None:
        if wait:
            self._db.execute("BEGIN IMMEDIATE")
            return
        self._db.execute("PRAGMA busy_timeout = 0")
        try:
            self._db.execute("BEGIN IMMEDIATE")
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS}")

    def _still_there(self) -> None:
        """Raise ``LibraryError`` where the catalog was deleted or replaced while it was open.

        SQLite would go on to write to a file that has no name any more.
        """
        if _identity(self.folder / CATALOG) != self._file:
            raise LibraryError(
                f"the library {self.folder} was deleted or replaced while it was in use: run again"
            )

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read as of one moment, whatever others write meanwhile; nothing may be written.

        Raises:
            LibraryError: the catalog cannot be read.
        """
        with self._mutex:
            self.read("BEGIN")
            try:
                yield
            finally:
                self.read("COMMIT")

    def read(self, sql: str, *values: Any) -> list[Any]:
        """Run one statement that only reads and return its rows.

        Raises:
            LibraryError: the catalog cannot be read.
        """
        with self._mutex:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as exc:
                reason = _reason(exc, self.folder / CATALOG)
                raise LibraryError(f"cannot read the library {self.folder}: {reason}") from exc

    def column(self, sql: str, *values: Any) -> list[Any]:
        """Return what ``read`` does, of rows of one value."""
        return [value for (value,) in self.read(sql, *values)]

    def value(self, sql: str, *values: Any) -> Any:
        """Return the first value of the first row that ``read`` returns; None if there is none."""
        rows = self.read(sql, *values)
        return rows[0][0] if rows else None

    def has(self, sql: str, *values: Any) -> bool:
        """Whether ``read`` returns any row."""
        return bool(self.read(sql, *values))

    def read_among(
        self, sql: str, among: Iterable[Any], *values: Any, then: str = ""
    ) -> Iterator[Any]:
        """Yield the rows of a statement that ends in ``IN``, asked for some hundred at a time.

        ``values`` are those of the conditions before; ``then`` orders the rows of each time.
        """
        for some in in_batches(among, ASKED_FOR):
            marks = ", ".join("?" * len(some))
            yield from self.read(f"{sql} ({marks}) {then}", *values, *some)

    def write(self, sql: str, *values: Any) -> int:
        """Run one statement that writes; return how many rows it changed. See ``transaction``."""
        with self.transaction() as db:
            return db.execute(sql, values).rowcount

    def put(self, table: str, *row: Any) -> None:
        """Write one row; it replaces that of the same key. See ``transaction``."""
        marks = ", ".join("?" * len(row))
        self.write(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", *row)

    @contextmanager
    def ticking(self, tick: Callable[[], None]) -> Iterator[None]:
        """Call ``tick`` now and then while a long statement runs."""

        def handler() -> int:
            tick()
            return 0

        self._db.set_progress_handler(handler, 100_000)
        try:
            yield
        finally:
            self._db.set_progress_handler(None, 0)

    @contextmanager
    def lock(
        self, task: str, *, wait: bool = False, say: Callable[[str], None] = lambda words: None
    ) -> Iterator[None]:
        """Hold the library's lock for a task ("embed", "index"); a killed holder frees it.

        With ``wait``, wait until another process has done its task, and ``say`` so.

        Raises:
            LockedError: another process holds it; the message names that process.
            LibraryError: the folder cannot be written.
        """
        command = task.partition("-")[0]  # embedders may work side by side: "embed-conse"

        def waits(holder: str) -> None:
            say(f"waiting for another `vidrec {command}` on {self.folder} (process {holder})")

        path = self.folder / f"{task}.lock"
        try:
            with held(path, -1 if wait else 0, waits if wait else None):
                yield
        except AlreadyHeldError as exc:
            hint = "--wait waits for it" if command == "embed" else "wait until it is done"
            raise LockedError(
                f"another `vidrec {command}` works on {self.folder} (process {exc}): {hint}"
            ) from exc
        except LockFileError as exc:
            raise LibraryError(f"cannot write to the library {self.folder}: {exc}") from exc


def _connect(name: str, *, uri: bool = False) -> sqlite3.Connection:
    db = sqlite3.connect(
        name, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=uri
    )
    # A shell's pattern with brackets, which GLOB reads in its own way.
    db.create_function(
        "fits", 2, lambda value, pattern: value is not None and fnmatchcase(str(value), pattern),
        deterministic=True,
    )  # fmt: skip
    return db


def _make(path: Path) -> None:
    """Make a new catalog, where there is none: whole or not at all.

    So an empty file is never a new library but one that lost its catalog.

    Raises:
        LibraryError: what lies beside belongs to a catalog that is lost.
    """
    if exists(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path.with_name("catalog.lock"), seconds=BUSY_SECONDS):
        if exists(path):
            return
        refuse_lost(path.parent)
        with writing(path) as draft:
            db = _connect(str(draft))
            try:
                write_schema(db)
            finally:
                db.close()


def refuse_lost(folder: Path) -> None:
    """Raise ``LibraryError`` where what lies in a folder belongs to a catalog that is lost."""
    for beside in (folder / f"{CATALOG}-wal", folder / "knn"):
        if exists(beside):
            raise LibraryError(
                f"{folder / CATALOG} is gone, but its {beside.name} is there: put a copy of the "
                f"catalog back, or delete {beside} to begin anew"
            )


def _reason(error: Exception, path: Path) -> str:
    """Return what SQLite says, and what to do where the file is no longer what was written."""
    if type(error) is sqlite3.DatabaseError or "no such" in str(error) or path.is_dir():
        return (
            f"{error}; it is damaged: put a copy of {path.name} back (`vidrec doctor --deep` shows "
            f"how much is lost), or delete the folder {path.parent} to begin anew"
        )
    closed = isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error)
    return "it was closed meanwhile: open it again" if closed else str(error)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that takes its place: device and number."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open_for_writing(path: Path) -> sqlite3.Connection:
    db = _connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    try:
        # FULL: what a provider was paid for survives a power cut, not only a crash.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        update_schema(db)
        check_schema(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _lack(folder: Path, error: Exception) -> str:
    """Return what a disk has too little of, if an error may come of that, or nothing."""
    if exists(folder) and hasattr(os, "statvfs"):
        state = getattr(os, "statvfs")(folder)  # noqa: B009
        if state.f_files and not state.f_ffree:
            return "has no inodes left for another file"
    if "full" in str(error) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "is full"
    small = exists(folder) and shutil.disk_usage(folder).free < SHARED_MEMORY_BYTES
    return "is full" if small else ""


def _open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a catalog in a folder that may not be written.

    SQLite wants to make its files there even to read, unless it is told that nobody writes. If
    somebody does, they are there; an empty one is what an attempt on a full disk left.
    """
    logs = [path.with_name(f"{path.name}-{kind}") for kind in ("wal", "journal")]
    nobody_writes = not any(exists(log) and log.stat().st_size for log in logs)
    how = "immutable=1" if nobody_writes else "mode=ro"
    db = _connect(f"{path.absolute().as_uri()}?{how}", uri=True)
    try:
        check_schema(db, path)
    except sqlite3.OperationalError as exc:
        db.close()
        raise LibraryError(
            f"cannot read the library {path.parent}: a run of vidrec was cut off there; run "
            "`vidrec status` once as a user who may write there"
        ) from exc
    except BaseException:
        db.close()
        raise
    return db
