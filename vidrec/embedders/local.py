"""The loop of the embedders that run on this machine: several videos at once, one a thread.

Threads are enough: the decoder and ONNX Runtime let go of the interpreter while they work.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar, cast

from vidrec.errors import MediaError
from vidrec.types import Video

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from vidrec.embedders.context import Embedded

T = TypeVar("T")


def side_by_side(
    videos: Iterable[Video],
    embed_one: Callable[[Video], Embedded | None],
    at_once: int,
    cancelled: Callable[[], bool],
    stop: Event,
) -> Iterator[Embedded]:
    """Embed so many videos at a time; yield each one's outcome as it is done.

    ``stop`` is set when the caller wants no more, before the videos in work are waited for.

    ``videos`` is read in the caller's thread and only as far ahead as there are idle workers, so
    memory does not grow with their number. What ``embed_one`` raises ends the run, after what is
    finished was yielded.
    """
    waiting = iter(videos)
    running: set[Future[Embedded | None]] = set()
    with ThreadPoolExecutor(at_once, thread_name_prefix="embed") as pool:
        try:
            while True:
                while len(running) < at_once and not cancelled():
                    video = next(waiting, None)
                    if video is None:
                        break
                    running.add(pool.submit(embed_one, video))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                errors = [error for future in done if (error := future.exception()) is not None]
                for future in done:
                    if future.exception() is None and (outcome := future.result()) is not None:
                        yield outcome
                if errors:
                    raise errors[0]
        finally:
            stop.set()


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield what ``items`` yields, while another thread already makes the next.

    So one long video keeps two cores busy: one decodes, the other embeds.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield cast("T", item)


def require_path(video: Video) -> Path:
    """Return where the video lies on this machine.

    Raises:
        MediaError: it lies nowhere.
    """
    if video.path is None:
        raise MediaError(f"{video.filename}: its file is not on this machine")
    return video.path
