"""The loop of the embedders that run on this machine: several videos at once, one a thread.

Threads are enough: the decoder and ONNX Runtime let go of the interpreter while they work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from vidrec.embedders.base import EmbedContext, Embedded, whole_video
from vidrec.errors import MediaError, failure_of
from vidrec.media.source import load_decoder
from vidrec.types import Clip, Embedding, Video

if TYPE_CHECKING:
    from vidrec.types import Vector

T = TypeVar("T")
# Yields a video's clips in order, each with its unit vector; may add one-line warnings.
ClipVectors: TypeAlias = "Callable[[Video, list[str]], Iterator[tuple[Clip, Vector]]]"


def embed_in_threads(
    videos: Iterable[Video],
    context: EmbedContext,
    fingerprint: str,
    clip_vectors: ClipVectors,
) -> Iterator[Embedded]:
    """Embed ``context.workers`` videos at a time; yield each one's outcome as it is done.

    ``videos`` is read in the caller's thread and only as far ahead as there are idle workers, so
    memory does not grow with their number. Whatever ``clip_vectors`` raises is the video's outcome.
    """
    load_decoder()
    work = _Work(context, fingerprint, clip_vectors, threading.Event())
    waiting = iter(videos)
    running: set[Future[Embedded | None]] = set()
    with ThreadPoolExecutor(context.workers, thread_name_prefix="embed") as pool:
        try:
            while True:
                while len(running) < context.workers and not work.stopping():
                    video = next(waiting, None)
                    if video is None:
                        break
                    running.add(pool.submit(work.embed, video))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = future.result()
                    if outcome is not None:
                        yield outcome
        finally:
            work.stop.set()


def ahead(items: Iterator[T]) -> Iterator[T]:
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


@dataclass(slots=True)
class _Work:
    """What the workers share."""

    context: EmbedContext
    fingerprint: str
    clip_vectors: ClipVectors
    stop: threading.Event

    def stopping(self) -> bool:
        return self.stop.is_set() or self.context.cancelled()

    def embed(self, video: Video) -> Embedded | None:
        """Return the video's outcome, or None if the run ends before it is done."""
        warnings: list[str] = []
        clips: list[Embedding] = []
        try:
            for clip, vector in self.clip_vectors(video, warnings):
                if self.stopping():
                    return None
                clips.append(self._embedding(video, clip, vector))
                self._report(video, clip.end_sec)
            whole = whole_video(clips)
        except Exception as exc:
            return Embedded(video, warnings=warnings, error=failure_of(exc))
        # Where a header lies about the length, the frames know better.
        if video.info is not None:
            info = replace(video.info, duration_sec=clips[-1].end_sec)
            video = replace(video, info=info)
        return Embedded(video, [*clips, whole], warnings)

    def _embedding(self, video: Video, clip: Clip, vector: Vector) -> Embedding:
        return Embedding(video.id, self.fingerprint, "clip", clip.start_sec, clip.end_sec, vector)

    def _report(self, video: Video, end_sec: float) -> None:
        if video.duration_sec:
            self.context.progress(video, min(1.0, end_sec / video.duration_sec))
