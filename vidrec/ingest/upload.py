"""Upload: videos of this machine become objects in a bucket; what is there is left alone."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vidrec.config import Settings
from vidrec.errors import Cancelled, LibraryError, MediaError, StorageError, UsageError
from vidrec.files import is_text
from vidrec.ingest.engines.threads import in_threads
from vidrec.ingest.remote import is_remote
from vidrec.ingest.scan import (
    NOT_THERE,
    Source,
    described,
    find_sources,
    hash_file,
    note,
    stamp_of,
    stamp_of_source,
)
from vidrec.interrupts import first_interrupt
from vidrec.library import Library, opened
from vidrec.library.jobs import Upload, add_upload
from vidrec.media.probe import probe
from vidrec.progress import Progress, Silent, finishing
from vidrec.storage.s3 import S3Storage, key_for, s3_url
from vidrec.types import Video

STAGE = "upload"


@dataclass(slots=True)
class UploadReport:
    """What a run did with so many as it found; ``planned``: (path, size, URL) of each it would."""

    where: str
    public: bool
    found: int = 0
    uploaded: int = 0
    sent_bytes: int = 0
    present: int = 0
    opened: int = 0
    verified: int = 0
    failed: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    planned: list[tuple[Path, int, str]] = field(default_factory=list)


def upload(
    settings: Settings,
    paths: Iterable[str | Path],
    *,
    dry_run: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
) -> UploadReport:
    """Upload every video among files and folders that is not in the bucket yet.

    ``verify`` reads each object back, also those that were there, and compares the bytes.

    Raises:
        UsageError: no path or no bucket was named.
        StorageError: the bucket cannot be used at all.
        LockedError: another process uploads from this library.
    """
    storage = S3Storage(settings.s3, settings.cache, (progress or Silent()).warn)
    report = UploadReport(f"s3://{storage.bucket}/{settings.s3.prefix}", settings.s3.public)
    names = list(paths)
    if remote := next(filter(is_remote, names), None):
        raise UsageError(f"{remote} is no file of this machine")
    sources = list(find_sources(names))
    report.found = len(sources)
    if not sources:
        return report
    storage.check()
    started = time.monotonic()
    with opened(settings.library, dry_run=dry_run) as library, library.lock(STAGE):
        run = _Run(library, storage, report, progress or Silent(), dry_run, verify)
        run.all(sources, settings.s3.workers)
    report.seconds = time.monotonic() - started
    return report


def _size(source: Source) -> int:
    try:
        return stamp_of(source.path).size if source.problem is None else 0
    except MediaError:  # a broken link, or gone meanwhile: it is skipped by name in its turn
        return 0


@dataclass(slots=True)
class _Run:
    """One run; its threads share the library, the bucket and the report."""

    library: Library
    storage: S3Storage
    report: UploadReport
    progress: Progress
    dry_run: bool
    verify: bool
    mutex: threading.Lock = field(default_factory=threading.Lock)
    cancel: threading.Event = field(default_factory=threading.Event)

    def all(self, sources: list[Source], workers: int) -> None:
        """Upload so many at once; the first Ctrl-C lets those in hand finish."""
        total = sum(_size(source) for source in sources)
        self.progress.start("uploading", total, "B")
        with finishing(self.progress), first_interrupt(self.cancel):
            for _ in in_threads(
                iter(sources), self._one, workers=workers, cancelled=self.cancel.is_set,
                patience_sec=math.inf, spare=0,
            ):  # fmt: skip
                pass
        self.report.interrupted = self.cancel.is_set()

    def _one(self, source: Source) -> None:
        try:
            self._send(self._video(source), source.path)
        except LibraryError:
            raise
        except Cancelled:
            pass  # its parts are kept for the next run
        except (MediaError, StorageError) as exc:
            self._failed(source, exc)
        else:
            if not self.dry_run:
                self.library.clear_failure(STAGE, str(source.path))

    def _video(self, source: Source) -> Video:
        stamp = stamp_of_source(source)
        video_id = self.library.known_id(source.path, stamp) or hash_file(source.path)
        known = self.library.video(video_id)
        info = known.info if known else None
        if self.dry_run:
            return described(source, video_id, stamp, "auto", info)
        video = described(source, video_id, stamp, "auto", info or probe(source.path))
        note(source, video, stamp, self.library)  # what is no video was never noted
        return replace(self.library.video(video_id) or video, path=source.path)

    def _send(self, video: Video, path: Path) -> None:
        key = key_for(self.storage.settings.prefix, video)
        found = self.storage.find_video(self.storage.bucket, video)
        if found is not None:
            key = found.key
            self.progress.step(video.size)
            self._count(present=1)
            if self.storage.settings.public and not self.dry_run:
                self.storage.publish(self.storage.bucket, key)
                self._count(opened=1)
        elif self.dry_run:
            self._count(sent_bytes=video.size)
            url = s3_url(self.storage.bucket, key)
            self.report.planned.append((path, video.size, url))
        else:
            if hash_file(path) != video.id:
                raise MediaError("the file changed while it was looked at: run again")
            self.storage.upload(path, video, self.progress.step, self.cancel.is_set)
            self._count(uploaded=1, sent_bytes=video.size)
        if self.dry_run:
            return
        self._verify(video, key)
        url = s3_url(self.storage.bucket, key)
        self.library.add_video(replace(video, url=url))
        add_upload(self.library, Upload(video.id, url, video.size, video.id, time.time()))

    def _verify(self, video: Video, key: str) -> None:
        if not self.verify:
            return
        there = self.storage.sha256(self.storage.bucket, key)
        if there != video.id:
            raise StorageError(
                f"{s3_url(self.storage.bucket, key)} holds other bytes (SHA-256 {there[:12]}…, "
                f"not {video.id[:12]}…): delete it and upload again"
            )
        self._count(verified=1)

    def _count(self, **more: int) -> None:
        with self.mutex:
            for name, count in more.items():
                setattr(self.report, name, getattr(self.report, name) + count)

    def _failed(self, source: Source, error: Exception) -> None:
        self._count(failed=1)
        reason = str(error).removeprefix(f"{source.path}: ")
        self.progress.warn(f"skipping {source.path}: {reason}")
        if not self.dry_run and is_text(source.path) and source.problem != NOT_THERE:
            self.library.record_failure(STAGE, str(source.path), reason, permanent=False)
