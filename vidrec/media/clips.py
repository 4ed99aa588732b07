"""How a video is cut into clips."""

from __future__ import annotations

from vidrec.types import Clip


def count_clips(duration_sec: float, clip_sec: float) -> int:
    """Return the number of clips: the duration over the clip length, rounded, at least one."""
    if not clip_sec > 0:
        raise ValueError(f"clip_sec must be positive. Received: clip_sec={clip_sec}")
    return max(1, int(duration_sec / clip_sec + 0.5))


def clip_at(i: int, count: int, duration_sec: float, clip_sec: float) -> Clip:
    """Return the ``i``-th of ``count`` clips; the last ends with the video."""
    end_sec = duration_sec if i == count - 1 else (i + 1) * clip_sec
    return Clip(i * clip_sec, end_sec)


def split_clips(duration_sec: float, clip_sec: float) -> list[Clip]:
    """Cut a video into clips of about ``clip_sec`` seconds.

    All are ``clip_sec`` long but the last, which takes the rest: a tail of half a clip or more is
    a clip of its own, a shorter one is merged into the clip before it. So the last of several
    lasts between half and one and a half ``clip_sec``; a video shorter than that is one clip.
    """
    count = count_clips(duration_sec, clip_sec)
    return [clip_at(i, count, duration_sec, clip_sec) for i in range(count)]
