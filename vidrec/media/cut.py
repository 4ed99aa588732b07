"""Cut: a moment of a video as a file of its own, and single pictures of it.

A copy takes the packets as they are, from the keyframe at or before the start: nothing is lost, it
takes no time, and it may begin a little early. An exact cut decodes the picture and encodes it
again by H.264, without sound.
Times are a player's: seconds from the beginning of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.errors import MediaError
from vidrec.files import writing
from vidrec.media.encoding import dated
from vidrec.media.picture import orientation
from vidrec.media.source import Source, open_video, origin_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.types import Frames

# Containers that are written as the source's; of all others a copy goes into Matroska.
KEPT = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm"})
CRF = "18"  # of H.264: not told from the source by eye
STILL_SECONDS = 20.0  # of footage that is decoded at most to reach a picture


def cut(path: Path, start_sec: float, end_sec: float, target: Path, *, exact: bool = False) -> Path:
    """Write ``start_sec`` to ``end_sec`` of a video to ``target``, whose ending is set here.

    Returns:
        The file that was written.

    Raises:
        MediaError: the video cannot be read, has nothing there, or cannot be written so.
    """
    from av.error import FFmpegError

    suffix = ".mp4" if exact else path.suffix.lower() if path.suffix.lower() in KEPT else ".mkv"
    target = target.with_name(target.name + suffix)
    try:
        with open_video(path) as source, writing(target, durable=False) as draft:
            write = _encode if exact else _copy
            if not write(source, start_sec, end_sec, draft):
                raise MediaError(f"{path}: there is no picture from {start_sec:.2f} s on")
    except (FFmpegError, ValueError) as exc:
        raise MediaError(f"{path}: cannot be cut: {exc}") from exc
    return target


def _copy(source: Source, start_sec: float, end_sec: float, draft: Path) -> bool:
    import av

    container = source.container
    kept = [source.stream, *container.streams.audio]
    origin = origin_of(source)
    container.seek(round((start_sec + origin) * av.time_base), backward=True)
    written = False
    with av.open(str(draft), "w") as out:
        into = {stream.index: out.add_stream_from_template(stream) for stream in kept}
        first: Fraction | None = None  # seconds at which the copy begins
        over: set[int] = set()
        for packet in dated(container.demux(kept), source):
            if packet.dts is None or packet.pts is None:
                continue
            stream = packet.stream
            at = packet.pts * packet.time_base
            if first is None:
                if stream.index != source.stream.index or not packet.is_keyframe:
                    continue  # sound before the first picture
                first = packet.dts * packet.time_base
            if float(at) >= end_sec + origin:
                over.add(stream.index)
                if len(over) == len(kept) or source.stream.index in over:
                    break
                continue
            shift = round(first / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.dts < 0 and stream.index != source.stream.index:
                continue
            packet.stream = into[stream.index]
            out.mux(packet)
            written = True
    return written


def _encode(source: Source, start_sec: float, end_sec: float, draft: Path) -> bool:
    import av

    rate = source.stream.average_rate or Fraction(25)
    written = 0
    with av.open(str(draft), "w") as out:
        stream: Any = None
        for at, picture in _pictures(source, start_sec, end_sec):
            height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
            if stream is None:
                stream = out.add_stream("libx264", rate=rate, options={"crf": CRF})
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.time_base = Fraction(1, 90_000)
            frame = av.VideoFrame.from_ndarray(picture[:height, :width].copy(), format="rgb24")
            frame.pts = max(written, round((at - start_sec) * 90_000))
            frame.time_base = Fraction(1, 90_000)
            written = frame.pts + 1
            out.mux(stream.encode(frame))
        if stream is not None:
            out.mux(stream.encode(None))
    return stream is not None


def stills(path: Path, seconds: Sequence[float]) -> list[Frames | None]:
    """Return the picture that is shown at each instant, upright, (h, w, 3); None where none is.

    Raises:
        MediaError: the video cannot be read.
    """
    found: list[Frames | None] = []
    with open_video(path) as source:
        for second in seconds:
            last: NDArray[np.uint8] | None = None
            for at, picture in _pictures(source, second, second + STILL_SECONDS, before=True):
                if last is not None and at > second:
                    break
                last = picture
            found.append(last)
    return found


def _pictures(
    source: Source, start_sec: float, end_sec: float, *, before: bool = False
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield (seconds, upright picture) of a stretch; with ``before`` also what leads up to it."""
    import av
    import numpy as np

    container = source.container
    origin = origin_of(source)
    container.seek(round(max(0.0, start_sec + origin) * av.time_base), backward=True)
    waiting: Any = None
    for frame in container.decode(source.stream):
        if frame.pts is None or frame.time_base is None:
            continue
        at = float(frame.pts * frame.time_base) - origin
        if at >= end_sec:
            break
        if at < start_sec - 1e-3:
            waiting = (at, frame)
            continue
        if before and waiting is not None:
            yield waiting[0], _upright(waiting[1], np)
            waiting = None
        yield at, _upright(frame, np)
    else:
        if before and waiting is not None:
            yield waiting[0], _upright(waiting[1], np)


def _upright(frame: Any, np: Any) -> NDArray[np.uint8]:
    turns, mirrored = orientation(frame)
    picture = np.rot90(frame.to_ndarray(format="rgb24"), turns)
    upright: NDArray[np.uint8] = np.ascontiguousarray(picture[:, ::-1] if mirrored else picture)
    return upright
