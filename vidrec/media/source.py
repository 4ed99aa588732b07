"""Opening a video file safely: every failure is a ``MediaError`` with one line of reason."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Demuxers of text, playlists and stills: a file that opens as one of these is no video.
_NO_VIDEO_FORMATS = frozenset({"tty", "hls", "concat", "dash", "image2", "imf", "sdp", "rtsp"})
# A file may name others (playlists); none but local ones may be reached.
_OPTIONS = {"protocol_whitelist": "file"}


def load_decoder() -> None:
    """Import all of the decoder, once, in the calling thread.

    To be called before threads that decode are started: two threads that import different parts
    of PyAV at the same time can wait for each other's import locks (``_DeadlockError``).
    """
    import av
    import av.error
    import av.sidedata.sidedata
    import av.stream
    import av.video.reformatter  # noqa: F401


@dataclass(slots=True)
class Source:
    """An open video: the container and the stream that is the picture."""

    path: Path
    container: InputContainer
    stream: VideoStream


@contextmanager
def open_video(path: Path) -> Iterator[Source]:
    """Open a video file and choose its video stream.

    Raises:
        MediaError: the file is missing, unreadable, empty, no video, or sound only.
    """
    import av
    from av.error import FFmpegError

    check_readable(path)
    try:
        # An absolute path cannot be taken for a URL ("http:clip.mp4").
        container = av.open(str(path.absolute()), options=_OPTIONS, **_lenient(av.__version__))
    except (FFmpegError, OSError, ValueError) as exc:
        raise MediaError(f"{path}: {_open_reason(exc)}") from exc
    try:
        yield Source(path, container, _video_stream(path, container))
    finally:
        container.close()


def _lenient(version: str) -> dict[str, Any]:
    """Let no tag that is not UTF-8 keep a video from being opened.

    PyAV 19 reads such tags by itself and no longer knows the argument.
    """
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


def read_packets(source: Source) -> Iterator[Packet[VideoStream]]:
    """Yield the picture's packets in file order.

    Raises:
        MediaError: reading failed on the way; what was yielded before is good.
    """
    from av.error import FFmpegError

    try:
        for packet in source.container.demux(source.stream):
            if packet.size:  # the last one is empty: it tells decoders of the end
                yield packet
    except (FFmpegError, OSError) as exc:
        raise MediaError(f"{source.path}: {_short(exc)}") from exc
    except IndexError:  # PyAV, at the end of a file in which another stream turned up on the way
        return


def check_readable(path: Path) -> None:
    """Raise ``MediaError`` unless the path is a regular, readable file with something in it."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise MediaError(f"{path}: is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(f"{path}: is not a regular file")
        if status.st_size == 0:
            raise MediaError(f"{path}: the file is empty")
        with path.open("rb"):
            pass
    except FileNotFoundError as exc:
        raise MediaError(f"{path}: no such file") from exc
    except PermissionError as exc:
        raise MediaError(f"{path}: no permission to read it") from exc
    except (OSError, ValueError) as exc:
        raise MediaError(f"{path}: cannot be read ({_short(exc)})") from exc


def _short(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc)


def _open_reason(exc: Exception) -> str:
    from av.error import InvalidDataError

    if isinstance(exc, InvalidDataError):
        return "not a video, or damaged beyond reading"
    return f"cannot be opened as a video ({_short(exc)})"


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    """Return the stream that a player would show; cover art is no video."""
    from av.stream import Disposition

    names = set(container.format.name.split(","))
    if names & _NO_VIDEO_FORMATS or container.format.name.endswith("_pipe"):
        raise MediaError(f"{path}: not a video ({container.format.long_name})")
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not streams:
        found = "has sound but no picture" if container.streams.audio else "holds no video"
        raise MediaError(f"{path}: {found}")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise MediaError(f"{path}: its video codec is not supported")
    default = [stream for stream in decodable if stream.disposition & Disposition.default]
    return max(default or decodable, key=lambda stream: stream.width * stream.height)


def sample_aspect(stream: VideoStream) -> float:
    """Return the width of a stored pixel over its height, 1 where the file does not tell."""
    ratio = stream.sample_aspect_ratio
    return float(ratio) if ratio and ratio > 0 else 1.0
