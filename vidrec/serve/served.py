"""What is served: one session, and the threads that ask it."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from fastapi import Depends, Request

from vidrec.config import Settings
from vidrec.errors import StorageError
from vidrec.files import is_file
from vidrec.ingest.remote import Remote, is_remote
from vidrec.library import Library
from vidrec.library.catalog import has_catalog
from vidrec.media.playback import Report
from vidrec.media.source import load_decoder
from vidrec.search.session import Session
from vidrec.serve.paid import Purse
from vidrec.serve.problems import Problem
from vidrec.serve.recent import Recent
from vidrec.serve.scratch import scratch
from vidrec.serve.workshop import Job, Workshop
from vidrec.types import Scalar, Video

T = TypeVar("T")
# What videos can be told apart by: labels with their counts, values of each field.
Choices: TypeAlias = tuple[list[tuple[str, int]], dict[str, list[Scalar]]]
AT_ONCE = 16  # questions that are answered, each in a thread of its own
LOOKING = 4  # lists and files that are looked up beside them: cheap each, so few do
FRESH_SECONDS = 10.0
PAGE_SECONDS = 2.0  # in which a file may come or go unseen
MOST_VALUES = 50  # of a field
WAITING = 256  # how many may wait for one
MOST_SENDING = 4


NOWHERE = Problem(404, "not_found", "the video's file is not where it was, and it has no URL")


class Threads:
    """Threads for what takes a while, so that one slow question stops no other."""

    def __init__(self, name: str, at_once: int, waiting: int, seconds: float) -> None:
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._most, self._seconds, self.taken = at_once + waiting, seconds, 0
        self._counting = threading.Lock()

    async def run(self, function: Callable[..., T], *values: Any, **named: Any) -> T:
        """Call a function in a thread; await its end.

        Raises:
            Problem: too many wait already, or it takes too long.
        """
        with self._counting:
            full = self.taken >= self._most
            self.taken += not full
        if full:
            raise Problem(
                503, "busy", "too many ask at the moment: try again", {"Retry-After": "2"}
            )
        future = self._pool.submit(partial(function, *values, **named))
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except (TimeoutError, asyncio.TimeoutError):
            raise Problem(503, "busy", f"no answer within {self._seconds:g} s: try again") from None

    def _done(self, _: object) -> None:
        with self._counting:
            self.taken -= 1

    def close(self) -> None:
        """Let nothing more begin."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def opened(settings: Settings, paid: int = 0) -> Iterator[Served]:
    """Open what is served for the time of the block; ``paid`` questions may be paid for.

    Raises:
        VidrecError: there is no library, or no embedder or store of that name, or no room.
    """
    load_decoder()
    folder = settings.cache / "serve"
    with scratch(folder) as own, Session(settings, lambda words: paid > 0) as session:
        made = Workshop(folder / "made", own / "drafts", settings.serve.cache_mb * 1_000_000)
        with closing(Served(settings, session, made, Purse(paid), own / "uploads")) as served:
            yield served


@dataclass
class Served:
    """What every request is answered from."""

    settings: Settings
    session: Session
    workshop: Workshop
    purse: Purse
    uploads: Path  # a folder of this server's own
    # Forms with files at a time: each may fill as much of the disk as is allowed.
    sending: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_SENDING))
    questions: Threads = field(init=False)
    files: Threads = field(init=False)
    pages: Recent = field(default_factory=lambda: Recent(PAGE_SECONDS))
    library: Library = field(init=False)  # a connection of its own: who looks holds nobody up
    _choices: tuple[float, Choices] = (0.0, ([], {}))  # until when, and what

    def __post_init__(self) -> None:
        seconds = self.settings.serve.timeout_sec
        self.questions = Threads("ask", AT_ONCE, WAITING, seconds)
        self.files = Threads("file", LOOKING, WAITING, seconds)
        own = self.settings.library if has_catalog(self.settings.library) else None
        self.library = Library(own, create=False) if own else self.session.library

    def choices(self) -> Choices:
        """Return labels with their counts and values of fields, some seconds old at most."""
        until, known = self._choices
        if time.monotonic() > until:
            known = self.library.label_counts(), self.library.field_values(MOST_VALUES)
            self._choices = time.monotonic() + FRESH_SECONDS, known
        return known

    @cached_property
    def remote(self) -> Remote:
        """What is not on this machine, and the cache that it passes through."""
        return Remote(self.settings, self.workshop.is_closed)

    @contextmanager
    def file_of(self, video: Video) -> Iterator[Path]:
        """Have a video's file for the time of the block, fetched where it is not here.

        Raises:
            VidrecError: it cannot be had.
        """
        path = local_file(video)
        if path is not None or not is_remote(video.url):  # an imported row may call anything a URL
            if path is None:
                raise NOWHERE
            yield path
            return
        source = next(iter(self.remote.sources([video.url])))
        if source.problem:
            raise StorageError(source.problem)
        try:
            yield self.remote.fetch(source)
        finally:
            self.remote.release(source)

    def make(
        self, name: str, video: Video, write: Callable[[Path, Path, Report], None], long: bool
    ) -> Job:
        """Have a file made of a video; ``write`` takes its path, where to write, and whom to tell.

        Raises:
            Problem: it failed a moment ago, or too much is waiting.
        """

        def made(draft: Path, report: Report) -> None:
            with self.file_of(video) as path:
                write(path, draft, report)

        return self.workshop.ask(name, video.id, made, long=long)

    def close(self) -> None:
        """Let nothing more begin."""
        self.questions.close()
        self.files.close()
        self.workshop.close()
        if self.library is not self.session.library:
            self.library.close()


def local_file(video: Video) -> Path | None:
    """Return a video's file, if it is there and as long as it was when it was embedded."""
    if video.path is None or not is_file(video.path):
        return None
    try:
        return video.path if video.path.stat().st_size == video.size else None
    except OSError:
        return None


def places_of(settings: Settings) -> tuple[Path, ...]:
    """Return the folders that no answer names."""
    return (
        settings.library, settings.cache, Path.cwd(), Path.home(), Path(tempfile.gettempdir()),
    )  # fmt: skip


def _served(request: Request) -> Served:
    served: Served = request.app.state.served
    return served


Here = Annotated[Served, Depends(_served)]
