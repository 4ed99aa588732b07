"""Plan: what `embed` would do and pay for, without a model and without changing anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import MediaError, TransientError
from vidrec.ingest.embed import EmbedOptions, sources_of
from vidrec.ingest.paid import Bill, Gate
from vidrec.ingest.remote import Remote
from vidrec.ingest.scan import Source, peek, stamp_of
from vidrec.library import FileStamp, Library
from vidrec.library.catalog import has_catalog
from vidrec.media.probe import probe
from vidrec.types import Video


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
        exists = has_catalog(settings.library)
        with Library(settings.library if exists else Path(nowhere)) as library:
            seen: set[str] = set()
            gate = Gate(
                settings, library, embedder, options.max_minutes, options.repair, options.force
            )
            remote = Remote(settings)
            for source in sources_of(library, embedder, remote, paths, options):
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
        stamp = _stamp(source, remote)
        if not again and stamp and library.failed_before(found.embedder, source.name, stamp):
            found.known_failures += 1
            return
        video = _planned(source, library, remote)
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
        problem = str(exc).removeprefix(f"{source.path}: ")
        found.problems.append((source.name, problem))


def _stamp(source: Source, remote: Remote) -> FileStamp | None:
    if source.problem:
        return None
    return remote.stamp(source) if source.url else stamp_of(source.path)


def _planned(source: Source, library: Library, remote: Remote) -> Video:
    """Say what is known of a source; of a remote one without reading it."""
    if source.url and source.problem is None:
        known = library.known_id(source.path, remote.stamp(source))
        video = library.video(known) if known else None
        return video or Video(source.name, source.place.name, url=source.url)
    video_id, stamp = peek(source, library)
    video = library.video(video_id)
    info = (video.info if video else None) or probe(source.path)
    return Video(video_id, source.path.name, source.path, size=stamp.size, info=info)
