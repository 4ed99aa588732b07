"""Embed: videos in, embeddings in the library out; every video is committed as it is done.

``plan`` says what is to be done, ``work`` does it in an engine's threads or processes, and what
comes out is committed here, one video at a time. A dry run is the same without the embedder.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import EmbedContext, Embedded, Embedder
from vidrec.errors import TransientError, UnexpectedError, VidrecError
from vidrec.files import is_text
from vidrec.ingest.engines.threads import in_threads
from vidrec.ingest.options import EmbedOptions as EmbedOptions
from vidrec.ingest.paid import Expected, Gate
from vidrec.ingest.plan import Planner, Task, sources_of
from vidrec.ingest.remote import Remote, is_remote
from vidrec.ingest.remove import forget_failures_of_gone
from vidrec.ingest.scan import NOT_THERE, Source, note
from vidrec.ingest.work import FirstComes, Outcome, Worker
from vidrec.interrupts import first_interrupt
from vidrec.library import FileStamp, Library, opened
from vidrec.library.jobs import Bill
from vidrec.media.source import load_decoder
from vidrec.progress import Progress, Silent
from vidrec.types import Video

PATIENCE_SEC = 0.5  # after an interrupt, for what is in hand
PAID_PATIENCE_SEC = 5.0


@dataclass(slots=True)
class EmbedReport:
    """What a run did. ``skipped`` were done before; ``known_failures`` failed before.

    Of a dry run, ``todo`` holds what would be done, with its length in seconds, None where that
    is not known; ``problems`` what would fail; ``expected`` what it would be billed for.
    ``bill`` is what a run asked its provider for; ``price`` of either is in US dollars.
    """

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
    limit: str = ""  # what left those
    elsewhere: int = 0  # of another shard
    bill: Bill | None = None
    expected: Expected | None = None
    price: float | None = None
    interrupted: bool = False
    todo: list[tuple[str, float | None]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


# Told of each video as it is done or has failed: a flat mapping, as JSON lines show it.
Told = Callable[[Mapping[str, Any]], None]


@dataclass(slots=True)
class _Run:
    """The coordinator's side of one run: what goes in, and what becomes of what comes out."""

    library: Library
    embedder: Embedder
    gate: Gate
    context: EmbedContext
    planner: Planner
    options: EmbedOptions
    progress: Progress
    report: EmbedReport
    told: Told
    clip_seconds: float
    taken: int = 0

    def tasks(self, sources: list[Source]) -> Iterator[Task]:
        """Yield what is to be worked on; see to the rest."""
        for task in self.planner.tasks(sources):
            if task.verdict == "work":
                yield task
            else:
                self.commit(Outcome(task, task.verdict, task.video, task.source.stamp,
                                    error=task.error))  # fmt: skip

    def may_begin(self, in_work: int) -> bool:
        limit = self.options.limit
        return limit is None or self.taken + in_work < limit

    def commit(self, outcome: Outcome) -> None:
        """Write one task's outcome down."""
        source = outcome.task.source
        if outcome.video is not None and not self.options.dry_run:
            self.gate.leave(outcome.video)
        match outcome.verdict:
            case "failed":
                assert outcome.error is not None
                self._see(outcome)
                self._failed(source, outcome.error, outcome.stamp or source.stamp)
            case "failed before":
                self.report.known_failures += 1
            case "done":
                self._see(outcome)
                if not self.options.dry_run:
                    self.library.clear_failure(self.embedder.name, source.name)
                self.report.skipped += 1
            case "elsewhere":
                self.report.elsewhere += 1
            case "over cap":
                self._see(outcome)
                self.report.over_cap += 1
            case "work" if self.options.dry_run:
                self.taken += 1
                length = outcome.video.duration_sec if outcome.video else None
                self.report.todo.append((source.name, length))
                if self.embedder.paid and length is None:
                    self.gate.expect_unknown()
            case "work":
                self.taken += 1
                self._store(outcome)
        if outcome.verdict != "work" or self.options.dry_run:
            self.progress.step()

    def _see(self, outcome: Outcome) -> None:
        """Note where a video was seen: it need not be hashed again. No video is never noted."""
        video, stamp = outcome.video, outcome.stamp
        if video is not None and video.info is None:  # one that was embedded before, elsewhere
            known = self.library.video(video.id)
            video = replace(video, info=known.info if known else None)
        if video is not None and video.info is not None and stamp and not self.options.dry_run:
            note(outcome.task.source, video, stamp, self.library)

    def _store(self, outcome: Outcome) -> None:
        source, video = outcome.task.source, outcome.video
        assert video is not None
        video = replace(video, path=None if source.url else source.path)
        with self.library.transaction():
            self.library.add_video(video, outcome.stamp, source.path)
            self.library.save_embeddings(video.id, outcome.embeddings, self.clip_seconds)
            self.library.clear_failure(self.embedder.name, source.name)
        self.embedder.stored(Embedded(video, outcome.embeddings), self.context)
        for warning in outcome.warnings:
            self.progress.warn(f"{source.name}: {warning}")
        mine = str(self.embedder.fingerprint)
        clips = sum(e.scope == "clip" and e.fingerprint == mine for e in outcome.embeddings)
        self.report.videos += 1
        self.report.clips += clips
        self.report.footage_sec += video.duration_sec or 0.0
        self.progress.step(detail=video.filename)
        self.told(
            {"status": "embedded", "source": source.name, "video_id": video.id, "clips": clips,
             "duration_sec": video.duration_sec, "warnings": list(outcome.warnings)}
        )  # fmt: skip

    def _failed(self, source: Source, error: VidrecError, stamp: FileStamp | None) -> None:
        reason = str(error).removeprefix(f"{source.path}: ")
        kind = type(error).__name__
        if self.options.dry_run:
            self.report.problems.append((source.name, reason))
            return
        self.report.failed += 1
        self.progress.warn(f"skipping {source.name}: {reason}")
        if isinstance(error, UnexpectedError) and error.trace:
            logging.getLogger("vidrec").warning("%s: %s", source.name, error.trace)
        permanent = stamp is not None and not isinstance(error, TransientError)
        self.told(
            {"status": "failed", "source": source.name, "error": reason, "kind": kind,
             "permanent": permanent}
        )  # fmt: skip
        if not is_text(source.name):
            return
        if source.problem == NOT_THERE:  # a slip of the pen, or one that has gone meanwhile
            self.library.clear_failure(self.embedder.name, source.name)
        else:
            self.library.record_failure(
                self.embedder.name, source.name, reason, permanent=permanent, stamp=stamp,
                below=source.below, kind=kind,
            )  # fmt: skip


def embed(
    settings: Settings,
    paths: Sequence[str | Path] | None,
    options: EmbedOptions | None = None,
    progress: Progress | None = None,
    told: Told = lambda row: None,
) -> EmbedReport:
    """Embed every video among files and folders that is not embedded yet.

    An empty list is one of nothing; None names nothing, and with ``retry_failed`` means what
    failed. ``told`` hears of each video as it is done. A dry run changes nothing and needs no
    model; it reads no remote file.

    Returns:
        What was done; an interrupt (Ctrl-C) ends the run early with what is finished kept and
        ``interrupted`` set.

    Raises:
        UsageError: no path was given, and no failure is to be tried again.
        LockedError: another process embeds into this library.
        EmbedderError: the embedder cannot be loaded, or its provider wants no more.
    """
    options = options or EmbedOptions()
    started = time.monotonic()
    embedder = load_embedder(settings)
    report = EmbedReport(embedder.name, str(embedder.fingerprint))
    cancel = threading.Event()
    say = (progress or Silent()).warn
    with ExitStack() as until_the_end:
        enter = until_the_end.enter_context
        library = enter(opened(settings.library, dry_run=options.dry_run))
        if not options.dry_run:
            enter(library.lock(f"embed-{embedder.name}", wait=options.wait, say=say))
            for fingerprint in embedder.fingerprints:
                library.register(fingerprint)
        enter(first_interrupt(cancel))
        run = _run(settings, library, embedder, options, progress, report, told, cancel)
        until_the_end.callback(embedder.close)
        try:
            _drain(run, settings, paths, cancel)
        finally:
            run.progress.finish()
            report.interrupted = cancel.is_set()
            report.seconds = time.monotonic() - started
            report.limit = run.gate.limit if report.over_cap else ""
            if embedder.paid and options.dry_run:
                report.expected = run.gate.expected
                report.price = embedder.price(report.expected.minutes)
            elif embedder.paid:
                report.bill = run.gate.jobs.bill()
                report.price = embedder.price(report.bill.minutes)
    return report


def _run(
    settings: Settings,
    library: Library,
    embedder: Embedder,
    options: EmbedOptions,
    progress: Progress | None,
    report: EmbedReport,
    told: Told,
    cancel: threading.Event,
) -> _Run:
    progress = progress or Silent()
    embedder.say = progress.warn
    remote = Remote(settings, cancel.is_set, progress.warn, fresh=options.force)
    gate = Gate(
        settings, library, embedder, options.max_minutes,
        None if options.allow_paid else settings.paid.ask_minutes, options.repair, options.force,
    )  # fmt: skip
    clip_seconds = 0.0 if embedder.own_clips else settings.embedder.clip_seconds
    planner = Planner(
        library, embedder, remote, clip_seconds, options.label_from,
        options.retry_failed, options.force, cancel.is_set, options.shard,
    )  # fmt: skip
    context = replace(
        gate.context(cancel.is_set),
        progress=lambda video, share: progress.part(video.filename, share),
    )
    return _Run(
        library, embedder, gate, context, planner, options, progress, report, told, clip_seconds
    )


def _drain(
    run: _Run, settings: Settings, paths: Sequence[str | Path] | None, cancel: threading.Event
) -> None:
    options, embedder, planner = run.options, run.embedder, run.planner
    sources = list(
        sources_of(
            run.library, embedder, planner.remote, paths,
            retry_failed=options.retry_failed, exclude=options.exclude,
        )
    )  # fmt: skip
    if not options.dry_run:
        forget_failures_of_gone(run.library, embedder.name)
        found = {source.name for source in sources}
        for prefix in filter(is_remote, paths or ()):  # what could not be listed before is now
            if prefix not in found:
                run.library.clear_failure(embedder.name, prefix)
    run.progress.start("looking" if options.dry_run else "embedding", len(sources), "video")
    with ExitStack() as until_the_end:
        for outcome in _outcomes(run, settings, run.tasks(sources), cancel, until_the_end):
            run.commit(outcome)
    if options.limit is not None and run.taken >= options.limit:
        report = run.report
        seen = (report.videos, len(report.todo), report.skipped, report.known_failures,
                report.failed, len(report.problems), report.over_cap, report.elsewhere)  # fmt: skip
        report.left = len(sources) - sum(seen)


def _outcomes(
    run: _Run,
    settings: Settings,
    tasks: Iterator[Task],
    cancel: threading.Event,
    until_the_end: ExitStack,
) -> Iterator[Outcome]:
    """Have the tasks done by the engine that is wished; what is paid for is done here."""
    options, embedder, planner = run.options, run.embedder, run.planner
    if options.engine == "ray" and not (options.dry_run or embedder.paid):
        from vidrec.ingest.engines.cluster import Order, on_ray, without_keys

        order = Order(
            without_keys(settings), str(embedder.fingerprint), options.force, options.shard
        )
        done = frozenset() if options.force else frozenset(
            video_id
            for video_id, length in run.library.clip_seconds(order.fingerprint).items()
            if length == run.clip_seconds
        )  # fmt: skip
        return on_ray(
            tasks, order, done, address=options.address, workers=options.workers,
            gpus=options.gpus, may_begin=run.may_begin, cancelled=cancel.is_set,
        )  # fmt: skip
    embed_one = None
    if not options.dry_run:
        with ThreadPoolExecutor(1, thread_name_prefix="decoder") as beside:
            beside.submit(load_decoder)  # while the model is loaded
            embed_one = until_the_end.enter_context(embedder.run(run.context))
    admit = partial(_admitted, run) if embedder.paid else None
    work = Worker(
        planner.remote, FirstComes(planner.is_done, admit, cancel.is_set), embed_one,
        cancel.is_set, probes=embedder.probes, shard=options.shard, paid=embedder.paid,
    )  # fmt: skip
    return in_threads(
        tasks, work, workers=embedder.at_once(run.context), may_begin=run.may_begin,
        cancelled=cancel.is_set, spare=0 if embedder.paid else 1,
        patience_sec=PAID_PATIENCE_SEC if embedder.paid else PATIENCE_SEC,
    )  # fmt: skip


def _admitted(run: _Run, task: Task, video: Video, stamp: FileStamp) -> Video | None:
    """Let a video through to a paid embedder, if it fits and the cap on minutes allows."""
    source, gate = task.source, run.gate
    if source.url:
        gate.given[video.id] = run.planner.remote.address(source)
    if run.options.dry_run:
        return gate.admit(video, write=False) if video.info else video
    if video.info is not None:
        note(source, video, stamp, run.library)  # what is paid for is known before it is sent
    return gate.admit(replace(video, path=source.path))
