"""A copy of a video that fits a service's limits: enlarged, padded, looped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from vidrec.errors import MediaError
from vidrec.media.encoding import Shape, encode

if TYPE_CHECKING:
    from vidrec.types import VideoInfo


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
    size = fitting_size(info.width, info.height, limits)
    shape = Shape(size, crf=18, preset="veryfast", sound=True, most_fps=60, pad=True)
    once = draft.with_name("once.mp4")
    encode(path, 0.0, info.duration_sec, once, lambda _: None, shape)
    _repeat(once, draft, _rounds(info, limits), copy_seconds(info, limits))


def _repeat(once: Path, draft: Path, rounds: int, seconds: float) -> None:
    """Write the pictures so many times, the sound once."""
    import av

    with av.open(str(draft), "w", format="mp4") as out:
        into: dict[int, Any] = {}
        decoded: dict[int, int] = {}  # when the last packet of a stream was
        for number in range(rounds):
            with av.open(str(once)) as part:
                shown = part.streams.video if number else [*part.streams]
                into = into or {one.index: out.add_stream_from_template(one) for one in shown}
                for packet in part.demux(*shown):
                    if packet.pts is None or packet.dts is None:
                        continue  # the last one, which is empty
                    at = packet.stream_index
                    shift = round(number * seconds / rounds / packet.time_base)
                    # The first of a round is decoded before it is shown: not before what was last.
                    decoded[at] = max(packet.dts + shift, decoded.get(at, packet.dts - 1) + 1)
                    packet.pts, packet.dts = packet.pts + shift, decoded[at]
                    packet.stream = into[at]
                    out.mux(packet)
