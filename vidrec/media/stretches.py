"""A long film worked on in several places at once, each of its stretches by one thread.

The results are those of one thread that reads it from the beginning to the end: what a stretch
shows does not depend on where it is cut off (see ``media.sampling``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

from vidrec.media.sampling import ClipFrames, Film
from vidrec.types import Clip

T = TypeVar("T")

# How many clips make a stretch at most: to find its place and to decode once more what leads up to
# it costs as much as a clip or two.
STRETCH_CLIPS = 24


def in_order(
    samples: Iterable[ClipFrames], use: Callable[[ClipFrames], T]
) -> Generator[tuple[Clip, T], None, None]:
    """Yield each clip with what ``use`` makes of it; a slide that stands for hours is used once."""
    shown, result = None, None
    for sample in samples:
        if result is None or sample.later or sample.frames is not shown:
            result = use(sample)
        shown = sample.frames
        yield sample.clip, result


def in_stretches(
    film: Film, use: Callable[[ClipFrames], T], at_once: Callable[[], int]
) -> Generator[tuple[Clip, T], None, None]:
    """Yield each clip with what ``use`` makes of it, in order; as many stretches as may be at once.

    A clip is yielded as soon as it and those before it are done. ``use`` is called by several
    threads; ``at_once`` is asked again before each stretch.
    """
    stop = Event()
    cancelled = film.source.cancelled

    def work(first: int, done: SimpleQueue[tuple[Clip, T] | BaseException | None]) -> None:
        end = min(first + length, len(film.clips))
        ended = lambda: stop.is_set() or cancelled()  # noqa: E731
        try:
            for clip in in_order(film.sample(first, end, ended), use):
                done.put(clip)
            done.put(None)
        except BaseException as exc:  # who waits for the clips is to hear of it
            done.put(exc)

    length = _length(len(film.clips), at_once())
    waiting = iter(range(0, len(film.clips), length))
    running: deque[SimpleQueue[tuple[Clip, T] | BaseException | None]] = deque()
    with ThreadPoolExecutor(thread_name_prefix="stretch") as pool:
        try:
            while True:
                while not running or len(running) < _ahead(at_once()):
                    first = next(waiting, None)
                    if first is None:
                        break
                    running.append(SimpleQueue())
                    pool.submit(work, first, running[-1])
                if not running:
                    return
                done = running.popleft()
                while (clip := done.get()) is not None:
                    if isinstance(clip, BaseException):
                        raise clip
                    yield clip
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _length(clips: int, at_once: int) -> int:
    """Return how many clips make a stretch, so that as many as may be at once end together."""
    rounds = ceil(clips / (at_once * STRETCH_CLIPS))
    return ceil(clips / (at_once * rounds))


def _ahead(at_once: int) -> int:
    """One more than may be at once, so that none idles while the first is waited for."""
    return at_once + (at_once > 1)
