"""The frames of a clip as often as they count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrec.media.sampling import ClipFrames

if TYPE_CHECKING:
    from vidrec.types import Frames


def repeated(clip: ClipFrames, n_frames: int) -> Frames:
    """Return ``(n_frames, h, w, 3)``: each frame as often as its share of the instants is."""
    order = [i for i, count in enumerate(clip.counts) for _ in range(count)]
    return clip.frames[[order[i * len(order) // n_frames] for i in range(n_frames)]]
