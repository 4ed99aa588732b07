"""Remote: videos in object storage or behind URLs, as files of a cache of limited size.

What was seen before is told by its size and ETag, without reading it. The rest is downloaded
once, since a video's id is the hash of its bytes and its length and size are checked before
anything is paid for. A paid service is then given the URL, not the file.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypeGuard
from urllib.parse import unquote, urlsplit

from vidrec.config import Settings
from vidrec.errors import ConfigError, MediaError, StorageError, TransientError, UsageError
from vidrec.files import writing
from vidrec.ingest.scan import Source, find_sources, left_out
from vidrec.library import FileStamp
from vidrec.media.extensions import VIDEO_EXTENSIONS
from vidrec.storage.http import look, read
from vidrec.storage.resume import Patience
from vidrec.storage.s3 import S3Storage, parse_s3_url, s3_url
from vidrec.urls import shown_url, stable_url

# Never the time of a real file: a cached file's time stands for its ETag.
_OLD_NS = 10**18


def is_remote(name: object) -> TypeGuard[str]:
    """Whether a name is an ``s3://`` or ``http(s)://`` URL."""
    return isinstance(name, str) and name.lower().startswith(("s3://", "https://", "http://"))


@dataclass
class Remote:
    """Finds remote videos and holds those in work in the cache.

    ``say`` is told of waits; ``fresh``: what lies in the cache from earlier runs is not used.
    """

    settings: Settings
    cancelled: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda line: None
    fresh: bool = False
    _storage: S3Storage | None = None
    _held: set[Path] = field(default_factory=set)
    _fetched: set[Path] = field(default_factory=set)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @property
    def storage(self) -> S3Storage:
        if self._storage is None:
            self._storage = S3Storage(self.settings.s3, self.settings.cache, self.say)
        return self._storage

    @property
    def patience(self) -> Patience:
        """How what may pass is waited for."""
        return Patience(self.say, self.cancelled)

    @property
    def folder(self) -> Path:
        return self.settings.cache / "remote"

    def sources(self, names: Iterable[str | Path], exclude: Sequence[str] = ()) -> Iterator[Source]:
        """Yield the videos among files, folders and URLs, each once.

        A name that cannot be looked into (a bucket without credentials, say) is yielded with its
        problem: it never ends the run.
        """
        seen: set[str] = set()
        for name in names:
            for source in self._found(name, exclude):
                if source.name not in seen:
                    seen.add(source.name)
                    yield source

    def _found(self, name: str | Path, exclude: Sequence[str]) -> Iterator[Source]:
        if not is_remote(name):
            yield from find_sources([name], exclude)
            return
        scheme, _, rest = str(name).partition(":")
        url = f"{scheme.lower()}:{rest}"
        try:
            yield from self._at(url, exclude)
        except (StorageError, UsageError, ConfigError) as exc:
            yield Source(Path(url), url=shown_url(url), problem=str(exc))

    def _at(self, url: str, exclude: Sequence[str]) -> Iterator[Source]:
        if not url.startswith("s3://"):
            try:
                yield self._source(url, stable_url(url))
            except ValueError as exc:
                raise UsageError(f"{shown_url(url)} is no URL: {exc}") from exc
            return
        bucket, prefix = parse_s3_url(url)
        exact = self.storage.find(bucket, prefix) if prefix and not prefix.endswith("/") else None
        if exact is not None:
            yield self._source(exact.url, exact.url)
            return
        found = [
            row
            for row in self.storage.list(bucket, prefix)
            if PurePosixPath(row.key).suffix.lower() in VIDEO_EXTENSIONS
            and not _left_out(row.key[len(prefix) :].lstrip("/"), exclude)
        ]
        if not found:
            yield Source(Path(url), url=url, problem="no video has a key that begins so")
        for row in found:
            named = s3_url(bucket, row.key)
            source = self._source(named, named, below="/" in row.key[len(prefix) :].lstrip("/"))
            yield replace(source, stamp=_stamp(row.size, row.etag))

    def _source(self, url: str, stable: str, *, below: bool = False) -> Source:
        suffix = PurePosixPath(unquote(urlsplit(stable).path)).suffix.lower()
        safe = suffix if suffix in VIDEO_EXTENSIONS else ".mp4"
        path = self.folder / f"{hashlib.sha256(stable.encode()).hexdigest()[:32]}{safe}"
        return Source(path, below, url=stable, address=url)

    @staticmethod
    def address(source: Source) -> str | None:
        """Return the URL as it was given, that others may read it; None with a password in it."""
        return None if "@" in urlsplit(source.address).netloc else source.address

    def stamp(self, source: Source) -> FileStamp:
        """Return what tells whether a remote file changed, without reading it.

        Raises:
            TransientError: it cannot be looked at now.
        """
        if source.stamp is not None:
            return source.stamp
        try:
            if not source.address.startswith("s3://"):
                return _stamp(*look(source.address, self.patience))
            found = self.storage.find(*parse_s3_url(source.address))
        except StorageError as exc:
            raise TransientError(str(exc)) from exc
        if found is None:
            raise MediaError("no such object, or no permission to read it")
        return _stamp(found.size, found.etag)

    def fetch(self, source: Source) -> Path:
        """Have a remote file in the cache until it is let go; return its path.

        Raises:
            MediaError: it is larger than the cache may be.
            TransientError: it cannot be read now.
        """
        stamp = self.stamp(source)
        limit = self.settings.remote.cache_mb * 1_000_000
        if stamp.size > limit:
            raise MediaError(
                f"{stamp.size / 1e6:.0f} MB is more than the cache may hold "
                f"({self.settings.remote.cache_mb} MB): raise [remote] cache_mb"
            )
        with self._mutex:
            self._held.add(source.path)
        fetched = source.path in self._fetched
        if not self._is_cached(source.path, stamp) or (self.fresh and not fetched):
            self._make_room(limit - max(0, stamp.size))
            self._download(source, stamp, limit)
            self._fetched.add(source.path)
        os.utime(source.path, ns=(stamp.mtime_ns, stamp.mtime_ns))  # used now: see _make_room
        return source.path

    def release(self, source: Source) -> None:
        """Let a file go: it may leave the cache when room is needed."""
        with self._mutex:
            self._held.discard(source.path)

    @staticmethod
    def _is_cached(path: Path, stamp: FileStamp) -> bool:
        try:
            there = FileStamp.of(path)
        except OSError:
            return False
        return there.mtime_ns == stamp.mtime_ns and stamp.size in (there.size, -1)

    def _download(self, source: Source, stamp: FileStamp, limit: int) -> None:
        path, url = source.path, source.address
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with writing(path, durable=False) as draft:
                with draft.open("wb") as file:
                    if url.startswith("s3://"):
                        place = parse_s3_url(url)
                        self.storage.read(*place, file, _at_most(limit), self.patience)
                    else:
                        read(url, file, _at_most(limit), self.patience)
                os.utime(draft, ns=(stamp.mtime_ns, stamp.mtime_ns))
        except StorageError as exc:
            raise TransientError(str(exc)) from exc
        except OSError as exc:
            raise TransientError(f"cannot be kept in {path.parent}: {exc.strerror}") from exc

    def _make_room(self, room: int) -> None:
        """Drop what was used longest ago until no more than ``room`` bytes stay.

        Files in work stay in any case, so the cache may pass its limit by those.
        """
        files = []
        for path in self.folder.glob("*"):
            try:
                status = path.stat()
            except OSError:
                continue
            files.append((status.st_ctime_ns, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= room:
                return
            if path not in self._held:
                path.unlink(missing_ok=True)
                total -= size


def _stamp(size: int, mark: str) -> FileStamp:
    """A stamp for a file that has an ETag (or a date) in place of a time."""
    number = int.from_bytes(hashlib.sha256(mark.encode()).digest()[:7], "big")
    # Whole microseconds: some file systems keep no more.
    return FileStamp(size, _OLD_NS + number % 10**14 * 1000)


def _left_out(inside: str, exclude: Sequence[str]) -> bool:
    """Whether a key, or a folder that it lies in, is not to be looked at."""
    path = PurePosixPath(inside)
    return any(left_out(part, exclude) for part in (path, *path.parents) if part.name)


def _at_most(limit: int) -> Callable[[int], None]:
    """Stop a file that says less than it sends."""

    def guard(got: int) -> None:
        if got > limit:
            raise MediaError("it is larger than the cache may hold: raise [remote] cache_mb")

    return guard
