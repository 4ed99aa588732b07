"""Small real video files, written in milliseconds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    *,
    seconds: float = 5.0,
    width: int = 360,
    height: int = 360,
    fps: int = 2,
    seed: int = 0,
) -> Path:
    """Write an MPEG-4 file of a moving gradient; another seed gives other bytes.

    The name is written into the file as its title: stand-ins take it for what is seen.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = path.stem
        stream = container.add_stream("mpeg4", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        rows = np.arange(height, dtype=np.uint16)[:, None]
        columns = np.arange(width, dtype=np.uint16)[None, :]
        for number in range(max(1, round(seconds * fps))):
            plane = (rows + columns * (1 + seed % 7) + 9 * number + 31 * seed) % 256
            rgb = np.stack([plane, plane[::-1], np.full_like(plane, seed * 5 % 256)], axis=-1)
            frame = av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
