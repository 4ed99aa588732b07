"""Transparency that is a stream of its own, as in AVIF: the frame that belongs to another's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from vidrec.errors import MediaError
from vidrec.media.decoding import decode, open_codec
from vidrec.media.source import Source, open_video, read_packets

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


class AlphaTrack:
    """Decodes the stream of transparency beside that of the picture; such files are small."""

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
