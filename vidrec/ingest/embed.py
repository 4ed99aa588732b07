"""Embed: videos in, embeddings in the library out; every video is committed as it is done."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import Embedded, Embedder
from vidrec.errors import MediaError, TransientError, UsageError, failure_of
from vidrec.files import is_text
from vidrec.ingest.paid import Bill, Gate
from vidrec.ingest.remote import Remote
from vidrec.ingest.scan import NOT_THERE, LabelFrom, Source, identify, stamp_of
from vidrec.library import FileStamp, Library
from vidrec.progress import Progress, Silent
from vidrec.types import Video


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """What the user asks of one run."""

    limit: int | None = None
    retry_failed: bool = False
    force: bool = False
    label_from: LabelFrom = "auto"
    max_minutes: float | None = None
    repair: bool = False


@dataclass(slots=True)
class EmbedReport:
    """What a run did. ``skipped`` were done before; ``known_failures`` failed before."""

    embedder: str
    fingerprint: str
    videos: int = 0
    clips: int = 0
    footage_sec: float = 0.0
    seconds: float = 0.0
    skipped: int = 0
    known_failures: int = 0
    failed: int = 0
    left: int = 0
    over_cap: int = 0
    bill: Bill | None = None
    interrupted: bool = False


@dataclass(slots=True)
class _Run:
    """The state of one run, shared by the thread that scans and the one that commits."""

    library: Library
    embedder: Embedder
    clip_seconds: float
    options: EmbedOptions
    progress: Progress
    report: EmbedReport
    gate: Gate
    remote: Remote
    in_work: dict[str, Source] = field(default_factory=dict)

    def pending(self, sources: Iterable[Source]) -> Iterator[Video]:
        """Yield the videos that are to be embedded now; note the others."""
        taken = 0
        for source in sources:
            if self.options.limit is not None and taken >= self.options.limit:
                self.report.left += 1
                self.progress.step()
                continue
            video = self._take(source)
            if video is None:
                self.progress.step()
                continue
            taken += 1
            yield video

    def _take(self, source: Source) -> Video | None:
        """Return the video that is to be embedded now, or None with the reason counted."""
        try:
            return self._taken(source)
        except Exception as exc:
            self._failed(source, failure_of(exc))
            return None

    def _taken(self, source: Source) -> Video | None:
        if self._failed_before(source):
            self.report.known_failures += 1
            return None
        if source.url and source.problem is None:
            known = self.library.known_id(source.path, self.remote.stamp(source))
            if known is not None and self._is_done(known):
                self.report.skipped += 1
                return None
            self.remote.fetch(source)
        video = identify(source, self.library, self.options.label_from)
        if video.id in self.in_work or self._is_done(video.id):
            self.remote.release(source)
            self.report.skipped += 1
            return None
        video = replace(video, path=source.path)
        if self.embedder.paid:
            if source.url:
                self.gate.given[video.id] = self.remote.address(source)
            admitted = self.gate.admit(video)
            if admitted is None:
                self.remote.release(source)
                self.report.over_cap += 1
                return None
            video = admitted
        self.in_work[video.id] = source
        return video

    def _failed_before(self, source: Source) -> bool:
        if source.problem or self.options.retry_failed or self.options.force:
            return False
        stamp = self._stamp(source)
        reason = self.library.failed_before(self.embedder.name, source.name, stamp)
        return reason is not None

    def _stamp(self, source: Source) -> FileStamp:
        return self.remote.stamp(source) if source.url else stamp_of(source.path)

    def _is_done(self, video_id: str) -> bool:
        return not self.options.force and self.library.is_embedded(
            video_id, str(self.embedder.fingerprint), self.clip_seconds
        )

    def commit(self, outcome: Embedded) -> None:
        """Store one video's outcome."""
        source = self.in_work[outcome.video.id]
        if outcome.error is not None:
            self._failed(source, outcome.error)
            self.progress.step()
            return
        video = outcome.video
        if self._changed(source, video):
            self._failed(source, TransientError("it changed while it was embedded: run again"))
            self.progress.step()
            return
        self.remote.release(source)
        self.library.add_video(replace(video, path=None if source.url else source.path))
        self.library.save_embeddings(video.id, outcome.embeddings, self.clip_seconds)
        self.library.clear_failure(self.embedder.name, source.name)
        for warning in outcome.warnings:
            self.progress.warn(f"{source.name}: {warning}")
        mine = str(self.embedder.fingerprint)
        clips = sum(e.scope == "clip" and e.fingerprint == mine for e in outcome.embeddings)
        self.report.videos += 1
        self.report.clips += clips
        self.report.footage_sec += video.duration_sec or 0.0
        self.progress.step(detail=video.filename)

    def _changed(self, source: Source, video: Video) -> bool:
        """Whether the file is another by now: a copy in progress, say. One that is gone is not."""
        if source.url or self.embedder.paid:
            return False
        try:
            return self.library.known_id(source.path, stamp_of(source.path)) != video.id
        except MediaError:
            return False

    def _failed(self, source: Source, error: Exception) -> None:
        self.remote.release(source)
        self.report.failed += 1
        reason = str(error).removeprefix(f"{source.path}: ")
        self.progress.warn(f"skipping {source.name}: {reason}")
        stamp = None
        if source.problem is None:
            try:
                stamp = self._stamp(source)
            except Exception as exc:
                failure_of(exc)
        permanent = stamp is not None and not isinstance(error, TransientError)
        if source.problem == NOT_THERE:  # a slip of the pen, or one that has gone meanwhile
            self.library.clear_failure(self.embedder.name, source.name)
            return
        if not is_text(source.name):
            return
        self.library.record_failure(
            self.embedder.name, source.name, reason, permanent=permanent, stamp=stamp,
            below=source.below,
        )  # fmt: skip


def embed(
    settings: Settings,
    paths: Iterable[str | Path],
    options: EmbedOptions | None = None,
    progress: Progress | None = None,
) -> EmbedReport:
    """Embed every video among files and folders that is not embedded yet.

    Returns:
        What was done; an interrupt (Ctrl-C) ends the run early with what is finished kept and
        ``interrupted`` set.

    Raises:
        UsageError: no path was given, and no failure is to be tried again.
        LockedError: another process embeds into this library.
        EmbedderError: the embedder cannot be loaded, or its provider wants no more.
    """
    options = options or EmbedOptions()
    progress = progress or Silent()
    started = time.monotonic()
    embedder = load_embedder(settings)
    clip_seconds = 0.0 if embedder.own_clips else settings.embedder.clip_seconds
    report = EmbedReport(embedder.name, str(embedder.fingerprint))
    with Library(settings.library) as library, library.lock(f"embed-{embedder.name}"):
        remote = Remote(settings)
        sources = list(sources_of(library, embedder, remote, paths, options))
        for fingerprint in embedder.fingerprints:
            library.register(fingerprint)
        gate = Gate(settings, library, embedder, options.max_minutes, options.repair, options.force)
        run = _Run(library, embedder, clip_seconds, options, progress, report, gate, remote)
        progress.start("embedding", len(sources), "video")
        try:
            _drain(run, sources)
        finally:
            report.bill = gate.bill if embedder.paid else None
            progress.finish()
            embedder.close()
            report.seconds = time.monotonic() - started
    return report


def sources_of(
    library: Library,
    embedder: Embedder,
    remote: Remote,
    paths: Iterable[str | Path],
    options: EmbedOptions,
) -> Iterator[Source]:
    """Yield what a run is about: what was named, or with ``retry_failed`` alone what failed.

    Raises:
        UsageError: no path was given, and no failure is to be tried again.
    """
    named = list(paths)
    below: dict[str, bool] = {}
    if not named and options.retry_failed:
        below = {f.source: f.below for f in library.failures() if f.stage == embedder.name}
        named = list(below)
    elif not named:
        raise UsageError("nothing to embed: name files or folders, or - for a list on stdin")
    for source in remote.sources(named):
        yield replace(source, below=source.below or below.get(source.name, False))


def _drain(run: _Run, sources: list[Source]) -> None:
    cancel = threading.Event()
    context = run.gate.context(cancel.is_set)
    with first_interrupt(cancel):
        for outcome in run.embedder.embed_videos(run.pending(sources), context):
            run.commit(outcome)
    run.report.interrupted = cancel.is_set()


@contextmanager
def first_interrupt(cancel: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) ask for an end, so that work in hand is kept.

    A second one interrupts as usual. Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: object) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
