"""Small real videos for tests: a slow pan over a photograph or a plain colour."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")


def photograph(name: str) -> NDArray[np.uint8]:
    """A photograph that the scikit-image wheel carries, as ``(h, w, 3)`` RGB."""
    data = pytest.importorskip("skimage.data")

    return np.ascontiguousarray(getattr(data, name)())


def plain(colour: str) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.new("RGB", (240, 160), colour))


def write_clip(
    path: Path,
    picture: NDArray[np.uint8],
    *,
    seconds: float = 1.0,
    fps: int = 10,
    size: tuple[int, int] = (160, 120),
) -> Path:
    """Write an H.264 video of ``size`` (w, h) that pans over a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = max(1, round(seconds * fps))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(count):
            left = (picture.shape[1] // 8) * number // count
            window = picture[:, left : left + picture.shape[1] * 7 // 8]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(window), format="rgb24")
            for packet in stream.encode(frame.reformat(*size, "yuv420p")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def write_clips(folder: Path, names: Sequence[str] = PHOTOGRAPHS) -> dict[str, Path]:
    """Write one clip a photograph or colour into ``folder``, as ``<name>.mp4``."""
    return {
        name: write_clip(
            folder / f"{name}.mp4", photograph(name) if name in PHOTOGRAPHS else plain(name)
        )
        for name in names
    }
