"""Which stream of a file is its picture: the one that a player would show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# How many packets tell a film from a slide beside it.
_COMPARED_PACKETS = 600
# A stream with a smaller share of the packets than the busiest one is a slide; so is a single one.
_SLIDE_SHARE = 0.1


def choose_stream(
    path: Path, container: InputContainer, reopen: Callable[[], InputContainer]
) -> tuple[VideoStream, VideoStream | None]:
    """Return the stream that is the picture, and the one that is its transparency, if any.

    ``reopen`` opens the file anew, to count the packets of several streams.

    Raises:
        MediaError: there is none, it cannot be decoded, or it is one tile of a picture.
    """
    streams = _pictures(path, container)
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise MediaError(f"{path}: its video codec is not supported")
    colours = [stream for stream in decodable if not _is_alpha(stream)] or decodable
    moving = _moving(colours, reopen) if len(colours) > 1 else colours
    chosen = _shown(moving)
    return chosen, _alpha_of(chosen, decodable)


def _pictures(path: Path, container: InputContainer) -> list[VideoStream]:
    """Return the video streams, without cover art and what only belongs to others."""
    from av.stream import Disposition

    found = container.streams.video
    brands = container.metadata.get("compatible_brands", "")
    if "mif1" in brands and any(s.disposition & Disposition.dependent for s in found):
        raise MediaError(f"{path}: a photograph made of tiles, not a video: convert it to JPEG")
    extra = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
    streams = [stream for stream in found if not stream.disposition & extra]
    if not streams:
        kind = "has sound but no picture" if container.streams.audio else "holds no video"
        raise MediaError(f"{path}: {kind}")
    return streams


def _shown(streams: Sequence[VideoStream]) -> VideoStream:
    from av.stream import Disposition

    default = [stream for stream in streams if stream.disposition & Disposition.default]
    return max(default or streams, key=lambda stream: stream.width * stream.height)


def _moving(streams: list[VideoStream], reopen: Callable[[], InputContainer]) -> list[VideoStream]:
    """Return the streams that are films: a still beside them may be the larger picture."""
    from av.error import FFmpegError

    counts: Counter[int] = Counter()
    indices = [stream.index for stream in streams]
    container = reopen()
    try:
        packets = container.demux([container.streams[index] for index in indices])
        for packet in islice(packets, _COMPARED_PACKETS):
            counts[packet.stream_index] += packet.size > 0
    except (FFmpegError, OSError, IndexError):
        pass  # what was counted so far tells enough
    finally:
        container.close()
    most = max(counts.values(), default=0)
    enough = max(min(most, 2), most * _SLIDE_SHARE)
    return [stream for stream in streams if counts[stream.index] >= enough] or streams


def _is_alpha(stream: VideoStream) -> bool:
    """Whether this is the transparency of another stream, as in AVIF."""
    return stream.metadata.get("title") == "Alpha" or (
        stream.format is not None and stream.format.name.startswith("gray") and _is_avif(stream)
    )


def _is_avif(stream: VideoStream) -> bool:
    return "avif" in stream.container.metadata.get("compatible_brands", "")


def _alpha_of(chosen: VideoStream, streams: Sequence[VideoStream]) -> VideoStream | None:
    """Return the stream of the chosen one's transparency: as large, and of as many frames."""
    if not _is_avif(chosen):
        return None
    for stream in streams:
        same = (stream.width, stream.height, stream.frames) == (
            chosen.width,
            chosen.height,
            chosen.frames,
        )
        if same and stream is not chosen and _is_alpha(stream):
            return stream
    return None
