"""How a video is cut into clips."""

from __future__ import annotations

from itertools import pairwise

from vidrec.types import Clip


def split_clips(duration_sec: float, clip_sec: float, start_sec: float = 0.0) -> list[Clip]:
    """Cut a video into clips of about ``clip_sec`` seconds, from ``start_sec`` on.

    All are ``clip_sec`` long but the last, which takes the rest: a tail of half a clip or more is
    a clip of its own, a shorter one is merged into the clip before it. So the last of several
    lasts between half and one and a half ``clip_sec``; a video shorter than that is one clip.
    """
    if not clip_sec > 0:
        raise ValueError(f"clip_sec must be positive. Received: clip_sec={clip_sec}")
    count = max(1, int(duration_sec / clip_sec + 0.5))
    edges = [*(i * clip_sec for i in range(count)), duration_sec]
    return [Clip(start_sec + a, start_sec + b) for a, b in pairwise(edges)]
