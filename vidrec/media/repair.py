"""A copy of a video that fits a service's limits: enlarged, padded, looped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from vidrec.errors import MediaError
from vidrec.media.decoding import decode, open_codec
from vidrec.media.passage import passage
from vidrec.media.picture import Painter
from vidrec.media.source import open_video, sample_aspect

if TYPE_CHECKING:
    from vidrec.types import VideoInfo

_TICKS = 12800  # a second of the copy's video
_HIGHEST_RATE = 60


@dataclass(frozen=True, slots=True)
class Limits:
    """What a video must be: seconds, pixels of the shorter and longer side, longer by shorter."""

    min_sec: float
    min_side: int
    max_short: int
    max_long: int
    max_aspect: float


def fitting_size(width: int, height: int, limits: Limits) -> tuple[int, int]:
    """Return the (width, height) of the copy: even, within the limits, no larger than need be.

    The picture is scaled to fill it as far as its aspect allows; the rest is padded.
    """
    short, long = sorted((width, height))
    scale = max(1.0, limits.min_side / short)
    scale = min(scale, limits.max_long / long) if long * scale > limits.max_long else scale
    short, long = round(short * scale), round(long * scale)
    if short > limits.max_short:
        short, long = limits.max_short, round(long * limits.max_short / short)
    short = max(short, limits.min_side, math.ceil(long / limits.max_aspect))
    short, long = short + short % 2, long + long % 2
    return (long, short) if width >= height else (short, long)


def copy_seconds(info: VideoInfo, limits: Limits) -> float:
    """Return how long the copy of a video will be: a short one is shown again and again."""
    return max(_rounds(info, limits) * info.duration_sec, limits.min_sec)


def _rounds(info: VideoInfo, limits: Limits) -> int:
    return max(1, math.ceil(limits.min_sec / max(info.duration_sec, 0.04)))


def repair(path: Path, target: Path, info: VideoInfo, limits: Limits) -> Path:
    """Write an MP4 that fits the limits, and its sound; return ``target``.

    The file appears there whole or not at all.

    Raises:
        MediaError: the video cannot be read, or the copy not written.
    """
    from av.error import FFmpegError

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=target.parent) as folder:
            draft = Path(folder, target.name)
            _write(path, draft, info, limits)
            draft.replace(target)
    except (FFmpegError, OSError, ValueError) as exc:
        raise MediaError(f"{path}: no fitting copy could be made ({exc})") from exc
    return target


def _write(path: Path, draft: Path, info: VideoInfo, limits: Limits) -> None:
    import av

    width, height = fitting_size(info.width, info.height, limits)
    rounds = _rounds(info, limits)
    with av.open(str(draft), "w", format="mp4") as container:
        rate = Fraction(min(info.fps or 25.0, _HIGHEST_RATE)).limit_denominator(1001)
        video: Any = container.add_stream(
            "libx264", rate=rate, options={"crf": "18", "preset": "veryfast"}
        )
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.time_base = Fraction(1, _TICKS)
        sound: Any = container.add_stream("aac", rate=44100) if _has_sound(path) else None
        last = -1
        for number in range(rounds):
            offset = number * info.duration_sec
            for picture, second in _pictures(path, (height, width)):
                ticks = round((offset + second) * _TICKS)
                if ticks <= last:
                    continue
                last = ticks
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = ticks, Fraction(1, _TICKS)
                container.mux(video.encode(frame))
        if last < 0:
            raise MediaError(f"{path}: not a single frame can be decoded")
        # A frame at the very end, so that the copy is as long as it must be.
        end = round(copy_seconds(info, limits) * _TICKS)
        if end > last:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = end, Fraction(1, _TICKS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            for samples in _sound(path):
                container.mux(sound.encode(samples))
            container.mux(sound.encode())


def _pictures(path: Path, size: tuple[int, int]) -> Iterator[tuple[Any, float]]:
    """Yield each frame as displayed, ``(h, w, 3)``, and its second from the first."""
    painter = Painter(size, "pad")
    with open_video(path) as source:
        aspect = sample_aspect(source.stream)
        tick = float(source.stream.time_base or 1)  # the last frames come without
        first = None
        context = open_codec(source)
        for packet in chain(passage(source, 0.0, ()), [None]):
            for frame in decode(context, packet) or ():  # what follows a damaged one may be good
                if frame.pts is None:
                    continue
                first = frame.pts if first is None else first
                yield painter.paint(frame, aspect), (frame.pts - first) * tick


def _has_sound(path: Path) -> bool:
    with open_video(path) as source:
        return any(stream.channels > 0 for stream in source.container.streams.audio)


def _sound(path: Path) -> Iterator[Any]:
    """Yield the first sound track, resampled; what cannot be decoded is left out."""
    import av
    from av.error import FFmpegError

    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=44100)
    samples = 0
    with open_video(path) as source:
        stream = source.container.streams.audio[0]
        try:
            stream.codec_context.open(strict=False)
        except (FFmpegError, ValueError):
            return
        for packet in source.container.demux(stream):
            try:
                frames = [out for frame in packet.decode() for out in resampler.resample(frame)]
            except (FFmpegError, ValueError):
                continue
            for frame in frames:
                frame.pts, frame.time_base = samples, Fraction(1, 44100)
                samples += frame.samples
                yield frame
