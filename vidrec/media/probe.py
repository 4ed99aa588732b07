"""What a video file is: its length, size and rate."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.errors import MediaError
from vidrec.media.gops import GopReader
from vidrec.media.picture import orientation
from vidrec.media.source import Source, open_video, read_packets, sample_aspect
from vidrec.types import VideoInfo

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# A header that claims more is wrong; the packets are asked.
_LONGEST_SEC = 24 * 3600.0
# So they are in files of no more bytes (a fraction of a second to read) where the header knows
# only the length of the whole, sound included, or a guess.
_MEASURED_BYTES = 32 << 20
# How many packets may go to the decoder before the first frame must be out.
_FIRST_FRAME_PACKETS = 300


def probe(path: Path) -> VideoInfo:
    """Return what a video file is, by its header and its first frame.

    Sizes are as displayed: after rotation, with square pixels. Where the header has no credible
    length, all packets are read (not decoded) to measure it.

    Raises:
        MediaError: the file is missing, unreadable, empty, no video, sound only, or so damaged
            that no frame can be decoded.
    """
    with open_video(path) as source:
        stream = source.stream
        duration_sec = _header_duration(source)
        rate = stream.average_rate or stream.guessed_rate
        codec = stream.codec_context.name
        aspect = sample_aspect(stream)
        frame = _first_frame(source)
    turns, _ = orientation(frame)
    width, height = max(1, round(frame.width * aspect)), frame.height
    if turns % 2:
        width, height = height, width
    return VideoInfo(
        duration_sec=duration_sec or measure_duration(path),
        width=width,
        height=height,
        fps=float(rate) if rate else None,
        codec=codec,
        rotation=(-90 * turns) % 360,
    )


def measure_duration(path: Path) -> float:
    """Return the length in seconds as the packets tell it: to the end of the last frame."""
    with open_video(path) as source:
        reader = GopReader(source)
        end_sec = 0.0
        while (gop := reader.next()) is not None:
            end_sec = max(end_sec, gop.end_sec)
            reader.still_alive()
    if end_sec <= 0:
        raise MediaError(f"{path}: holds no video frames")
    return end_sec


def _header_duration(source: Source) -> float | None:
    """Return the length by the header, of the picture rather than of all; None if not credible."""
    stream = source.stream
    guessed = not stream.duration or source.container.format.name == "mpeg"
    if guessed and source.path.stat().st_size <= _MEASURED_BYTES:
        return None
    seconds = 0.0
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif source.container.duration:
        seconds = source.container.duration / 1_000_000
    return seconds if 0 < seconds <= _LONGEST_SEC else None


def _first_frame(source: Source) -> VideoFrame:
    from av.error import FFmpegError

    source.stream.thread_type = "NONE"
    for packet in chain(islice(read_packets(source), _FIRST_FRAME_PACKETS), [None]):
        try:
            frames = source.stream.codec_context.decode(packet)
        except (FFmpegError, ValueError):  # PyAV 19 has ValueError after a header that is damaged
            continue
        if frames:
            return frames[0]
    raise MediaError(f"{source.path}: not a single frame can be decoded")
