"""Work: one video from its source to its vectors, in whatever thread or process it is done.

A task goes in, an outcome comes out, both picklable; nothing is written down here.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from vidrec.embedders.base import EmbedOne
from vidrec.errors import (
    Cancelled,
    MediaError,
    OverCapError,
    TransientError,
    VidrecError,
    failure_of,
)
from vidrec.ingest.plan import Shard, Task, Verdict, in_shard
from vidrec.ingest.remote import Remote
from vidrec.ingest.scan import described, hash_file, stamp_of, stamp_of_source
from vidrec.library import FileStamp
from vidrec.media.probe import probe
from vidrec.types import Embedding, Video

# What a decoder says of a damaged file as of a disk that does not answer.
_UNCLEAR = frozenset({errno.EIO, errno.EACCES, errno.EPERM, errno.EINTR, errno.ETIMEDOUT})

_PIECE = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: embeddings, an error, or the reason why there is neither.

    ``stamp`` is the file's as it was read; ``video`` is None where not even its id is known.
    """

    task: Task
    verdict: Verdict
    video: Video | None = None
    stamp: FileStamp | None = None
    embeddings: Sequence[Embedding] = ()
    warnings: Sequence[str] = ()
    error: VidrecError | None = None


class Claim(Protocol):
    """Decides whether a worker goes on with a video, now that its id is known."""

    def __call__(self, task: Task, video: Video, stamp: FileStamp) -> Video | Verdict: ...

    def leave(self, task: Task) -> None:
        """The task is over, whether it got so far or not."""


@dataclass(slots=True)
class Worker:
    """Does tasks; to be called by several threads at once.

    Without ``embed_one`` it only looks, and remote files are not even read.
    """

    remote: Remote
    claim: Claim
    embed_one: EmbedOne | None
    cancelled: Callable[[], bool] = lambda: False
    probes: bool = False  # embedding tells what a video is
    shard: Shard | None = None
    paid: bool = False  # what was paid for is kept, even if the file is another by now

    def __call__(self, task: Task) -> Outcome | None:
        """Return a task's outcome, a failure too, or None where the run ends first.

        Raises:
            VidrecError: no single video's failure: the run ends.
        """
        video = stamp = None
        try:
            if self.embed_one is None and task.source.url and task.video is None:
                return Outcome(task, "work")
            video, stamp = self._prepared(task)
            if not task.source.url and not in_shard(video.id, self.shard):
                return Outcome(task, "elsewhere", video, stamp)
            claimed = self.claim(task, video, stamp)
            if isinstance(claimed, str):
                return Outcome(task, claimed, video, stamp)
            return self._embedded(task, claimed, stamp)
        except Cancelled:
            return None
        except Exception as exc:
            error = self._failure(task, video, exc)
            return None if error is None else Outcome(task, "failed", video, stamp, error=error)
        finally:
            self.claim.leave(task)
            self.remote.release(task.source)

    def _prepared(self, task: Task) -> tuple[Video, FileStamp]:
        """Return the video, hashed and probed, as it lies on this machine."""
        source = task.source
        video, stamp = task.video, source.stamp
        if source.url:
            if self.embed_one is not None:
                self.remote.fetch(source)
            assert stamp is not None
        else:
            now = stamp_of_source(source)
            video, stamp = (video if now == stamp else None), now
        if video is None:
            video_id = hash_file(source.path, self.cancelled)
            video = described(source, video_id, stamp, task.label_from)
        if self.cancelled():
            raise Cancelled("interrupted")
        later = source.url if self.embed_one is None else self.probes
        later = later or not (source.url or in_shard(video.id, self.shard))
        if video.info is None and not later:
            video = replace(video, info=probe(source.path, self.cancelled))
        return video, stamp

    def _embedded(self, task: Task, video: Video, stamp: FileStamp) -> Outcome | None:
        if self.embed_one is None:
            return Outcome(task, "work", video, stamp)
        here = video if video.path else replace(video, path=task.source.path)
        done = self.embed_one(here)
        if done is None or (done.error is not None and self.cancelled()):
            return None
        found = done.video
        if found.info is None and done.error is None:
            found = replace(found, info=probe(task.source.path, self.cancelled))
        if isinstance(done.error, OverCapError):
            return Outcome(task, "over cap", video, stamp)
        error = done.error and self._failure(task, found, done.error)
        if error is None and not self.paid and _changed(task, stamp):
            error = TransientError("it changed while it was embedded: run again")
        if error is not None:
            return Outcome(task, "failed", video, stamp, (), done.warnings, error)
        return Outcome(task, "work", found, stamp, done.embeddings, done.warnings)

    def _failure(self, task: Task, video: Video | None, exc: Exception) -> VidrecError | None:
        """Return what is reported of a failure; None where it comes of the run's end."""
        if self.cancelled():
            return None
        error = failure_of(exc)
        if not isinstance(error, MediaError):
            return error
        if _is_unclear(error):
            return self._read_again(task, video, error)
        # Its bytes were read a moment ago, for the hash: where none come now, that is the reason.
        away = video is not None and not _is_readable(task.source.path)
        return TransientError("cannot be read any more: is its share away?") if away else error

    def _read_again(self, task: Task, video: Video | None, error: MediaError) -> VidrecError:
        """Tell a damaged file from one that could not be read: is every byte there?"""
        try:
            same = video is not None and hash_file(task.source.path, self.cancelled) == video.id
        except MediaError:
            same = False
        return error if same else TransientError(str(error))


def _is_unclear(error: MediaError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _UNCLEAR


def _is_readable(path: Path) -> bool:
    """Whether the beginning and the end of a file can be read."""
    try:
        with path.open("rb", buffering=0) as file:
            file.read(_PIECE)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _PIECE))
            file.read(_PIECE)
    except OSError:
        return False
    return True


def _changed(task: Task, stamp: FileStamp) -> bool:
    """Whether the file is another by now: a copy in progress, say. One that is gone is not."""
    if task.source.url:
        return False
    try:
        return stamp_of(task.source.path) != stamp
    except MediaError:
        return False


@dataclass(slots=True)
class FirstComes:
    """Lets each video through once: what is done, or in another's hands, is not done again.

    With ``admit`` (paid embedders) videos come before it one at a time, in the order of their
    tasks, so that the same ones are let through in each run; it returns the video as it may be
    sent, or None where that would cost too much.
    """

    is_done: Callable[[str], bool]
    admit: Callable[[Task, Video, FileStamp], Video | None] | None = None
    cancelled: Callable[[], bool] = lambda: False
    _taken: set[str] = field(default_factory=set)
    _left: set[int] = field(default_factory=set)
    _turn: int = 0
    _news: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, task: Task, video: Video, stamp: FileStamp) -> Video | Verdict:
        with self._news:
            while self.admit and self._turn != task.number:
                if self.cancelled():
                    raise Cancelled("interrupted")
                self._news.wait(0.1)
            if video.id in self._taken or self.is_done(video.id):
                return "done"
            admitted = self.admit(task, video, stamp) if self.admit else video
            if admitted is None:
                return "over cap"
            self._taken.add(video.id)
            self._pass(task)
            return admitted

    def leave(self, task: Task) -> None:
        with self._news:
            self._pass(task)

    def _pass(self, task: Task) -> None:
        if task.number >= self._turn:
            self._left.add(task.number)
        while self._turn in self._left:
            self._left.discard(self._turn)
            self._turn += 1
        self._news.notify_all()
