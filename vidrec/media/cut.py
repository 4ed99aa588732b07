"""Cut: a moment of a video as a file of its own, and single pictures of it.

A copy takes the packets as they are, from the keyframe at or before the start: nothing is lost, it
takes no time, and it may begin a little early. An exact cut decodes the picture and encodes it
again by H.264, without sound.
Times are a player's: seconds from the beginning of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.errors import MediaError
from vidrec.files import writing
from vidrec.media.encoding import Shape, encode, fitted
from vidrec.media.passage import passage
from vidrec.media.picking import pick_frames
from vidrec.media.picture import Painter
from vidrec.media.source import Source, open_video, origin_of

if TYPE_CHECKING:
    from av.container import OutputContainer

    from vidrec.types import Frames

# Containers that are written as the source's; of all others a copy goes into Matroska.
KEPT = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm"})
# Not told from the source by eye.
EXACT = Shape(box=(1 << 15, 1 << 15), crf=18, preset="veryfast", sound=False, most_fps=240)


def cut(path: Path, start_sec: float, end_sec: float, target: Path, *, exact: bool = False) -> Path:
    """Write ``start_sec`` to ``end_sec`` of a video to ``target``, whose ending is set here.

    Returns:
        The file that was written.

    Raises:
        MediaError: the video cannot be read, has nothing there, or cannot be written so.
    """
    suffix = ".mp4" if exact else path.suffix.lower() if path.suffix.lower() in KEPT else ".mkv"
    target = target.with_name(target.name + suffix)
    with writing(target, durable=False) as draft:
        if exact:
            encode(path, start_sec, end_sec, draft, lambda _: None, EXACT)
        else:
            _copy(path, start_sec, end_sec, draft)
    return target


def _copy(path: Path, start_sec: float, end_sec: float, draft: Path) -> None:
    import av
    from av.error import FFmpegError

    try:
        with open_video(path) as source, av.open(str(draft), "w") as out:
            if not _copied(source, start_sec, end_sec, out):
                raise MediaError(f"{path}: there is no picture from {start_sec:.2f} s on")
    except (FFmpegError, ValueError) as exc:
        raise MediaError(f"{path}: cannot be cut: {exc}") from exc


def _copied(source: Source, start_sec: float, end_sec: float, out: OutputContainer) -> bool:
    sounds = source.container.streams.audio
    into = {one.index: out.add_stream_from_template(one) for one in (source.stream, *sounds)}
    end = end_sec + origin_of(source)
    first: Fraction | None = None  # seconds at which the copy begins
    for packet in passage(source, start_sec, sounds):
        if packet.dts is None or packet.pts is None:
            continue
        is_picture = packet.stream.index == source.stream.index
        if float(packet.pts * packet.time_base) >= end:
            if is_picture:
                break
            continue
        if first is None:
            if not is_picture or not packet.is_keyframe:
                continue  # sound before the first picture
            first = packet.dts * packet.time_base
        shift = round(first / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        if packet.dts >= 0 or is_picture:
            packet.stream = into[packet.stream.index]
            out.mux(packet)
    return first is not None


def stills(path: Path, seconds: Sequence[float]) -> list[Frames | None]:
    """Return the picture that is shown at each ascending instant, upright, (h, w, 3); or None.

    Raises:
        MediaError: the video cannot be read.
    """
    found: list[Frames | None] = [None] * len(seconds)
    for pick in pick_frames(path, seconds):
        width, height = fitted(pick.frame, pick.sample_aspect, EXACT.box)
        painter = Painter((height, width), "squash")
        found[pick.index] = painter.paint(pick.frame, pick.sample_aspect)
    return found
