"""Embed: videos in, embeddings in the library out; every video is committed as it is done."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from vidrec.catalog import CATALOG
from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import Embedded, Embedder
from vidrec.errors import MediaError, TransientError, UsageError
from vidrec.library import FileStamp, Library
from vidrec.media.probe import probe
from vidrec.pipeline.paid import Bill, Gate
from vidrec.pipeline.remote import Remote
from vidrec.pipeline.scan import LabelFrom, Source, identify, peek, stamp_of
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
        except (MediaError, TransientError) as exc:
            self._failed(source, exc)
            return None
        if video.id in self.in_work or self._is_done(video.id):
            self.remote.release(source)
            self.report.skipped += 1
            return None
        video = replace(video, path=source.path)
        if self.embedder.paid:
            try:
                admitted = self.gate.admit(video)
            except (MediaError, TransientError) as exc:
                self._failed(source, exc)
                return None
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

    def _failed(self, source: Source, error: Exception) -> None:
        self.remote.release(source)
        self.report.failed += 1
        reason = str(error).removeprefix(f"{source.path}: ")
        self.progress.warn(f"skipping {source.name}: {reason}")
        stamp = None
        if source.problem is None:
            try:
                stamp = self._stamp(source)
            except (MediaError, TransientError):
                stamp = None
        permanent = stamp is not None and not isinstance(error, TransientError)
        self.library.record_failure(
            self.embedder.name, source.name, reason, permanent=permanent, stamp=stamp
        )


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
        sources = list(_sources(library, embedder, remote, paths, options))
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


def _sources(
    library: Library,
    embedder: Embedder,
    remote: Remote,
    paths: Iterable[str | Path],
    options: EmbedOptions,
) -> Iterator[Source]:
    named = list(paths)
    if not named and options.retry_failed:
        named = [f.source for f in library.failures() if f.stage == embedder.name]
    elif not named:
        raise UsageError("nothing to embed: name files or folders, or - for a list on stdin")
    return remote.sources(named)


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


@dataclass(slots=True)
class EmbedPlan:
    """What a run would do. ``todo`` holds each video with its length, None where unknown."""

    embedder: str
    fingerprint: str
    todo: list[tuple[str, float | None]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    skipped: int = 0
    known_failures: int = 0
    over_cap: int = 0
    bill: Bill | None = None
    price: float | None = None


def plan(
    settings: Settings, paths: Iterable[str | Path], options: EmbedOptions | None = None
) -> EmbedPlan:
    """Say what ``embed`` would do, without a model and without changing anything.

    Raises:
        UsageError: no path was given, and no failure is to be tried again.
    """
    options = options or EmbedOptions()
    embedder = load_embedder(settings)
    clip_seconds = 0.0 if embedder.own_clips else settings.embedder.clip_seconds
    found = EmbedPlan(embedder.name, str(embedder.fingerprint))
    with TemporaryDirectory() as nowhere:
        exists = (settings.library / CATALOG).is_file()
        with Library(settings.library if exists else Path(nowhere)) as library:
            seen: set[str] = set()
            gate = Gate(
                settings, library, embedder, options.max_minutes, options.repair, options.force
            )
            remote = Remote(settings)
            for source in _sources(library, embedder, remote, paths, options):
                if options.limit is not None and len(found.todo) >= options.limit:
                    break
                _plan_one(found, source, gate, remote, options, clip_seconds, seen)
            if embedder.paid:
                found.bill, found.price = gate.bill, embedder.price(gate.bill.minutes)
    return found


def _plan_one(
    found: EmbedPlan,
    source: Source,
    gate: Gate,
    remote: Remote,
    options: EmbedOptions,
    clip_seconds: float,
    seen: set[str],
) -> None:
    library = gate.library
    again = options.force or options.retry_failed
    try:
        video, stamp = _planned(source, library, remote)
        if not again and library.failed_before(found.embedder, source.name, stamp):
            found.known_failures += 1
            return
        done = library.is_embedded(video.id, found.fingerprint, clip_seconds)
        if video.id in seen or (done and not options.force):
            found.skipped += 1
            return
        seen.add(video.id)
        if gate.embedder.paid and video.info and gate.admit(video, write=False) is None:
            found.over_cap += 1
            return
        found.todo.append((source.name, video.duration_sec))
    except (MediaError, TransientError) as exc:
        found.problems.append((source.name, str(exc)))


def _planned(source: Source, library: Library, remote: Remote) -> tuple[Video, FileStamp]:
    """Say what is known of a source; of a remote one without reading it."""
    if source.url and source.problem is None:
        stamp = remote.stamp(source)
        known = library.known_id(source.path, stamp)
        video = library.video(known) if known else None
        return video or Video(source.name, source.place.name, url=source.url), stamp
    video_id, stamp = peek(source, library)
    info = probe(source.path)
    return Video(video_id, source.path.name, source.path, size=stamp.size, info=info), stamp
