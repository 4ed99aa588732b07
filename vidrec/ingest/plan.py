"""Plan: what is to be done with each source, without reading a byte of it.

What the library knows of a file by its place, size and time decides whether there is work. The
plan is the coordinator's; looking at many files and URLs at once is all that it does in threads.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from vidrec.embedders.base import Embedder
from vidrec.errors import MediaError, UsageError, VidrecError, failure_of
from vidrec.ingest.remote import Remote, is_remote
from vidrec.ingest.remove import is_gone
from vidrec.ingest.scan import LabelFrom, Source, described, stamp_of
from vidrec.library import Library
from vidrec.types import Video

SCOUTS = 8  # files and URLs that are looked at at once

# What becomes of a source: it is worked on; it was done before, or is another's copy; it failed
# before; it cannot be worked on; it would cost more than the user allows; another shard has it.
Verdict = Literal["work", "done", "failed before", "failed", "over cap", "elsewhere"]


# Which of how many: (1, 4) is the first of four.
Shard: TypeAlias = tuple[int, int]


def in_shard(name: str, shard: Shard | None) -> bool:
    """Whether a hash (hexadecimal) is a shard's: the same in every run, whatever else is there."""
    return shard is None or int(name[:16], 16) % shard[1] == shard[0] - 1


@dataclass(frozen=True, slots=True)
class Task:
    """One source and what is known of it: enough for a worker anywhere. Picklable.

    ``video`` is None where the file has to be hashed; its ``info`` is None where it has to be
    probed. ``number`` counts the tasks that are worked on.
    """

    source: Source
    label_from: LabelFrom
    verdict: Verdict = "work"
    video: Video | None = None
    error: VidrecError | None = None
    number: int = 0


@dataclass(slots=True)
class Planner:
    """Looks at sources and says of each what is to be done."""

    library: Library
    embedder: Embedder
    remote: Remote
    clip_seconds: float
    label_from: LabelFrom = "auto"
    retry_failed: bool = False
    force: bool = False
    cancelled: Callable[[], bool] = lambda: False
    shard: Shard | None = None
    _number: int = 0

    def tasks(self, sources: Iterable[Source]) -> Iterator[Task]:
        """Yield a task for each source, in their order."""
        for seen in _in_threads(self._look, sources, self.cancelled):
            if isinstance(seen, Task):
                yield seen
                continue
            try:
                task = self._task(seen)
            except Exception as exc:
                task = self._failed(seen, exc)
            if task.verdict == "work":
                task = replace(task, number=self._number)
                self._number += 1
            yield task

    def _look(self, source: Source) -> Source | Task:
        """Return the source with its stamp, or a task that says why it has none."""
        try:
            if source.url and not source.problem:
                return replace(source, stamp=self.remote.stamp(source))
            if source.problem:
                raise MediaError(source.problem)
            return replace(source, stamp=stamp_of(source.path))
        except Exception as exc:
            return self._failed(source, exc)

    def _failed(self, source: Source, exc: Exception) -> Task:
        return Task(source, self.label_from, "failed", error=failure_of(exc))

    def _task(self, source: Source) -> Task:
        assert source.stamp is not None
        again = self.retry_failed or self.force
        if not again and self.library.failed_before(self.embedder.name, source.name, source.stamp):
            return Task(source, self.label_from, "failed before")
        if not source.stamp.size:
            return self._failed(source, MediaError("the file is empty"))
        if source.url and not in_shard(hashlib.sha256(source.url.encode()).hexdigest(), self.shard):
            return Task(source, self.label_from, "elsewhere")
        known_id = self.library.known_id(source.path, source.stamp)
        # By force a URL is read again, whatever its server says of changes.
        if known_id is None or (source.url and self.force):
            return Task(source, self.label_from)
        known = self.library.video(known_id)
        info = known.info if known else None
        video = described(source, known_id, source.stamp, self.label_from, info)
        verdict: Verdict = "done" if self.is_done(known_id) else "work"
        if not source.url and not in_shard(known_id, self.shard):
            verdict = "elsewhere"
        return Task(source, self.label_from, verdict, video)

    def is_done(self, video_id: str) -> bool:
        """Whether there is nothing to do for a video."""
        return not self.force and self.library.is_embedded(
            video_id, str(self.embedder.fingerprint), self.clip_seconds
        )


def sources_of(
    library: Library,
    embedder: Embedder,
    remote: Remote,
    paths: Iterable[str | Path] | None,
    *,
    retry_failed: bool = False,
    exclude: tuple[str, ...] = (),
) -> Iterator[Source]:
    """Yield what a run is about: what was named, or with ``retry_failed`` alone what failed.

    An empty list is a list, of nothing; None stands for no list at all.

    Raises:
        UsageError: no path was given, and no failure is to be tried again.
    """
    below: dict[str, bool] = {}
    if paths is None and retry_failed:
        below = {
            failure.source: failure.below
            for failure in library.failures()
            if failure.stage == embedder.name
            and (is_remote(failure.source) or not is_gone(Path(failure.source)))
        }
        paths = list(below)
    elif paths is None:
        raise UsageError("nothing to embed: name files or folders, or - for a list on stdin")
    for source in remote.sources(paths, exclude):
        yield replace(source, below=source.below or below.get(source.name, False))


def _in_threads(
    look: Callable[[Source], Source | Task],
    sources: Iterable[Source],
    cancelled: Callable[[], bool],
) -> Iterator[Source | Task]:
    """Look at sources, several at once; yield what was seen in their order."""
    pool = ThreadPoolExecutor(SCOUTS, thread_name_prefix="scout")
    coming: deque[Future[Source | Task]] = deque()
    try:
        for source in sources:
            coming.append(pool.submit(look, source))
            if len(coming) < 2 * SCOUTS:
                continue
            if not _came(coming[0], cancelled):
                return
            yield coming.popleft().result()
        while coming and _came(coming[0], cancelled):
            yield coming.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _came(future: Future[Source | Task], cancelled: Callable[[], bool]) -> bool:
    """Wait for what is looked at; false if the run ends first."""
    while not future.done():
        if cancelled():
            return False
        wait([future], timeout=0.1)
    return True
