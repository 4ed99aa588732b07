"""Painting the frames of one video, each no more than once, with their transparency."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from vidrec.errors import MediaError
from vidrec.media.decoding import decode, open_codec
from vidrec.media.picking import Pick
from vidrec.media.picture import Painter
from vidrec.media.source import Source, open_video, read_packets

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from vidrec.types import Frames


class Easel:
    """Paints frames, and neither a frame nor a clip that stands still a second time."""

    def __init__(self, painter: Painter, source: Source) -> None:
        self._painter = painter
        self._alpha = _AlphaTrack(source)
        self.shown: VideoFrame | None = None  # the last frame
        self._picture: NDArray[np.uint8] = np.empty((0, 0, 3), np.uint8)
        self._still: tuple[NDArray[np.uint8], Frames] | None = None  # a clip of one frame

    def paint(self, pick: Pick) -> NDArray[np.uint8]:
        if pick.frame is not self.shown:
            alpha = self._alpha.at(pick.frame.pts)
            more = {} if alpha is None else {"alpha": alpha}
            self._picture = self._painter.paint(pick.frame, pick.sample_aspect, **more)
            self.shown = pick.frame
        return self._picture

    def close(self) -> None:
        self._alpha.close()

    def stack(self, pictures: list[NDArray[np.uint8]]) -> Frames:
        if len(pictures) > 1:
            self._still = None
            return np.stack(pictures)
        if self._still is None or self._still[0] is not pictures[0]:
            self._still = pictures[0], pictures[0][None]
        return self._still[1]


class _AlphaTrack:
    """Transparency that is a stream of its own, as in AVIF; such files are small."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stack = ExitStack()
        self._frames: Iterator[VideoFrame] = iter(())
        self._last: VideoFrame | None = None
        self._next: VideoFrame | None = None

    def at(self, stamp: int | None) -> VideoFrame | None:
        """Return the transparency of the picture with this presentation stamp, None if opaque."""
        if self._source.alpha is None:
            return None
        wanted = stamp or 0
        if self._last is None or (self._last.pts or 0) > wanted:
            self.close()
            self._frames = self._decoded()
            self._last = self._next = next(self._frames, None)
        while self._next is not None and (self._next.pts or 0) <= wanted:
            self._last, self._next = self._next, next(self._frames, None)
        return self._last

    def close(self) -> None:
        self._stack.close()

    def _decoded(self) -> Iterator[VideoFrame]:
        source = self._stack.enter_context(open_video(self._source.path, self._source.cancelled))
        if source.alpha is None:
            return
        source.stream = source.alpha
        try:
            context = open_codec(source)
        except MediaError:
            return
        for packet in [*read_packets(source), None]:
            yield from decode(context, packet) or ()
