"""Writers of small real video files whose frames tell their own number.

Frame ``i`` is filled with ``colour(i)``; ``frame_number`` reads the number back from a decoded
picture, through any lossy codec. A corner mark (red, top left as displayed) tells orientation.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_LEVELS = (20, 92, 164, 236)  # far enough apart for any codec


def colour(number: int) -> tuple[int, int, int]:
    """Return the colour of frame ``number``, 0 to 63: four levels in each channel, as grey bars."""
    return (
        _LEVELS[number % 4],
        _LEVELS[number // 4 % 4],
        _LEVELS[number // 16 % 4],
    )


def picture(number: int, width: int = 96, height: int = 64) -> Picture:
    """Draw frame ``number``: three grey bars side by side spell it in base four."""
    pixels = np.zeros((height, width, 3), np.uint8)
    edges = [round(width * i / 3) for i in range(4)]
    for grey, left, right in zip(colour(number), edges, edges[1:], strict=False):
        pixels[:, left:right] = grey
    return pixels


def frame_number(pixels: Picture) -> int:
    """Read the number of a frame drawn by ``picture`` (and scaled, but not rotated)."""
    width = pixels.shape[1]
    middle = slice(pixels.shape[0] // 4, -(pixels.shape[0] // 4) or None)
    number = 0
    for i in range(3):
        centre = round(width * (2 * i + 1) / 6)
        bar = pixels[middle, max(0, centre - 2) : centre + 3].mean()
        number += int(np.argmin([abs(bar - level) for level in _LEVELS])) * 4**i
    return number


def write_video(
    path: Path,
    pictures: Iterable[Picture] | int = 30,
    *,
    fps: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    stamps: Sequence[int] | None = None,
    first_stamp: int = 0,
    rotation: int | None = None,
    hflip: bool = False,
    aspect: Fraction | None = None,
    keyframe_every: int = 12,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    container_format: str | None = None,
    audio_sec: float = 0.0,
    seekable: bool = True,
) -> Path:
    """Write a video and return its path.

    Args:
        pictures: the frames, or how many of ``picture``'s.
        stamps: presentation times in units of 1/``fps``; one a frame, ascending.
        first_stamp: is added to them.
        rotation: degrees counter-clockwise by which a player is to turn the stored picture.
        aspect: width over height of a stored pixel.
        seekable: False writes as into a pipe, so that a header cannot be completed at the end.
    """
    frames = [picture(i) for i in range(pictures)] if isinstance(pictures, int) else list(pictures)
    target = str(path) if seekable else _Pipe(path)
    kind = container_format or (None if seekable else path.suffix[1:].replace("mkv", "matroska"))
    with av.open(target, "w", format=kind, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height = frames[0].shape[1], frames[0].shape[0]
        stream.pix_fmt = pix_fmt
        stream.gop_size = keyframe_every
        stream.time_base = stream.codec_context.time_base = Fraction(1, fps)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None or hflip:
            stream.set_display_rotation(rotation or 0, hflip=hflip)
        sound = container.add_stream("aac", rate=16000) if audio_sec else None
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts = (stamps[i] if stamps is not None else i) + first_stamp
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _write_silence(container, sound, audio_sec)
    return path


def _write_silence(container, stream, seconds: float) -> None:
    for start in range(0, int(seconds * 16000), 1024):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.planes[0].update(bytes(4096))
        frame.sample_rate, frame.pts = 16000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


class _Pipe(io.RawIOBase):
    """A file that cannot be wound back, like a pipe."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data) -> int:
        return self._file.write(bytes(data))

    def close(self) -> None:
        self._file.close()
        super().close()


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """Write a file that has sound and no picture."""
    with av.open(str(path), "w") as container:
        _write_silence(container, container.add_stream("aac", rate=16000), seconds)
    return path


def truncated(source: Path, target: Path, share: float) -> Path:
    """Copy the first ``share`` of a file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def bit_flipped(source: Path, target: Path, flips: int, seed: int) -> Path:
    """Copy a file with ``flips`` random bits turned over."""
    data = bytearray(source.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(data), flips):
        data[place] ^= 1 << int(rng.integers(8))
    target.write_bytes(bytes(data))
    return target
