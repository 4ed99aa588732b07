"""What a video file is: its length, size and rate."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.errors import MediaError
from vidrec.media.decoding import decode, open_codec
from vidrec.media.gops import GopReader
from vidrec.media.picture import orientation
from vidrec.media.source import Source, frame_rate, never, open_video, sample_aspect, undecodable
from vidrec.types import VideoInfo

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# A header that claims more is wrong; the packets are asked.
_LONGEST_SEC = 24 * 3600.0
# So they are in files of no more bytes (a fraction of a second to read) where the header knows
# only the length of the whole, sound included, or a guess.
_MEASURED_BYTES = 32 << 20
# The lengths of their streams are guesses, from the first stamp and the last of all (wrong if the
# clock restarts between), or simply that of the whole.
_GUESSING_FORMATS = frozenset({"mpeg", "mpegts", "flv", "matroska,webm", "ogg"})
# The length is reckoned from a rate of bits that the stream allows, not has.
_BLIND_FORMATS = frozenset({"mpegvideo"})
# How many packets may go to the decoder before the first frame must be out.
_FIRST_FRAME_PACKETS = 300


def probe(path: Path, cancelled: Callable[[], bool] = never) -> VideoInfo:
    """Return what a video file is, by its header and its first frame.

    Sizes are as displayed: after rotation, with square pixels. Where the header has no credible
    length, all packets are read (not decoded) to measure it.

    Raises:
        MediaError: the file is missing, empty, no video, sound only, beyond the limits, or so
            damaged that no frame can be decoded.
        TransientError: it cannot be read now.
        Cancelled: whoever asks is to give up.
    """
    with open_video(path, cancelled) as source:
        reader = GopReader(source)
        frame = _first_frame(source, reader)
        end_sec = header_end(source, reader.start_sec) or measure_duration(path, cancelled)
        return describe(source, frame, end_sec)


def whole_seconds(path: Path) -> float:
    """Return how long a file is with its sound, by its header; 0 where that is not said.

    Raises:
        MediaError: it is no video.
    """
    with open_video(path) as source:
        streams = [
            float(stream.duration * stream.time_base)
            for stream in source.container.streams
            if stream.duration and stream.time_base
        ]
        longest = max([*streams, (source.container.duration or 0) / 1_000_000])
    return longest if longest <= _LONGEST_SEC else 0.0


def describe(source: Source, frame: VideoFrame, end_sec: float) -> VideoInfo:
    """Return the facts of an open video, of which a frame was decoded."""
    stream = source.stream
    turns, _ = orientation(frame)
    width, height = max(1, round(frame.width * sample_aspect(stream))), frame.height
    if turns % 2:
        width, height = height, width
    rate = frame_rate(stream)
    return VideoInfo(
        duration_sec=end_sec,
        width=width,
        height=height,
        fps=float(rate) if rate else None,
        codec=stream.codec_context.name,
        rotation=(-90 * turns) % 360,
    )


def measure_duration(path: Path, cancelled: Callable[[], bool] = never) -> float:
    """Return when the last frame ends, in seconds as a player counts, as the packets tell it."""
    with open_video(path, cancelled) as source:
        reader = GopReader(source)
        end_sec = 0.0
        while (gop := reader.next()) is not None:
            end_sec = max(end_sec, gop.end_sec)
            reader.still_alive()
    if end_sec <= 0:
        raise MediaError(f"{path}: holds no video frames")
    return end_sec


def header_end(source: Source, start_sec: float) -> float | None:
    """Return when the picture that begins at ``start_sec`` ends by the header.

    None where the header is not credible.
    """
    stream, kind = source.stream, source.container.format.name
    guessed = not stream.duration or kind in _GUESSING_FORMATS
    small = source.path.stat().st_size <= _MEASURED_BYTES
    if kind in _BLIND_FORMATS or (guessed and small):
        return None
    whole_sec = (source.container.duration or 0) / 1_000_000
    seconds = whole_sec
    if stream.duration and stream.time_base:
        seconds = start_sec + float(stream.duration * stream.time_base)
        if start_sec:  # in some containers a stream's length counts from the file's beginning
            seconds = min(seconds, whole_sec or seconds)
    return seconds if start_sec < seconds <= _LONGEST_SEC else None


def _first_frame(source: Source, reader: GopReader) -> VideoFrame:
    context = open_codec(source)
    packets = (packet for gop in iter(reader.next, None) for packet in gop.packets)
    for packet in chain(islice(packets, _FIRST_FRAME_PACKETS), [None]):
        source.go_on()
        frames = decode(context, packet)
        if frames:
            return frames[0]
    raise undecodable(source)
