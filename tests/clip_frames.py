"""The frames of all clips of a video, as one thread samples them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.media.sampling import ClipFrames, open_film

if TYPE_CHECKING:
    from vidrec.types import Frames


def iter_clip_frames(
    path: Path, clip_sec: float, n_frames: int, size: tuple[int, int], **options: Any
) -> Iterator[ClipFrames]:
    """Yield the frames of each clip, by the arguments of ``open_film``."""
    with open_film(path, clip_sec, n_frames, size, **options) as film:
        found = False
        for sample in film.sample():
            found = True
            yield sample
        film.conclude(found)


def repeated(clip: ClipFrames, n_frames: int) -> Frames:
    """Return ``(n_frames, h, w, 3)``: each frame as often as its share of the instants is."""
    order = [i for i, count in enumerate(clip.counts) for _ in range(count)]
    return clip.frames[[order[i * len(order) // n_frames] for i in range(n_frames)]]
