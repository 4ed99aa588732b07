"""Painting the frames of one video, each no more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidrec.media.alpha import AlphaTrack
from vidrec.media.picking import Pick
from vidrec.media.picture import Painter
from vidrec.media.source import Source

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from vidrec.types import Frames


class Easel:
    """Paints frames, and neither a frame nor a clip that stands still a second time."""

    def __init__(self, painter: Painter, source: Source) -> None:
        self._painter = painter
        self._alpha = AlphaTrack(source)
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
