"""Cut: a moment of a video as a file of its own, and single pictures of it.

A copy takes the packets as they are, from the keyframe at or before the start: nothing is lost, it
takes no time, and it may begin a little early. Where a still stands for long there, where no box
takes the codec, or the decoder's header changes on the way, the moment is encoded instead. An exact
cut decodes the picture and encodes it again by H.264, without sound.
Times are a player's: seconds from the beginning of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.errors import MediaError
from vidrec.files import writing
from vidrec.media.encoding import Shape, encode, fitted
from vidrec.media.passage import check_copy, open_passage, passage
from vidrec.media.picking import pick_frames
from vidrec.media.picture import Painter
from vidrec.media.source import Source, origin_of

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

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
    if not exact:
        suffix = path.suffix.lower() if path.suffix.lower() in KEPT else ".mkv"
        copied = target.with_name(target.name + suffix)
        with suppress(MediaError), writing(copied, durable=False) as draft:
            _copy(path, start_sec, end_sec, draft)
            return copied
    encoded = target.with_name(target.name + ".mp4")
    with writing(encoded, durable=False) as draft:
        shape = replace(EXACT, sound=not exact)
        encode(path, start_sec, end_sec, draft, lambda _: None, shape)
    return encoded


def _copy(path: Path, start_sec: float, end_sec: float, draft: Path) -> None:
    import av
    from av.error import FFmpegError

    try:
        with open_passage(path, start_sec) as source, av.open(str(draft), "w") as out:
            _copy_packets(source, start_sec, end_sec, out)
    except (FFmpegError, ValueError) as exc:
        raise MediaError(f"{path}: cannot be copied: {exc}") from exc


def _copy_packets(source: Source, start_sec: float, end_sec: float, out: OutputContainer) -> None:
    sounds = source.container.streams.audio
    into = {one.index: out.add_stream_from_template(one) for one in (source.stream, *sounds)}

    def put(packet: Packet[Any], begin: Fraction) -> None:
        shift = round(begin / packet.time_base)
        packet.pts, packet.dts = (packet.pts or 0) - shift, (packet.dts or 0) - shift
        if packet.dts >= 0 or packet.stream.index == source.stream.index:
            packet.stream = into[packet.stream.index]
            out.mux(packet)

    end = end_sec + origin_of(source)
    first: Fraction | None = None  # seconds at which the copy begins
    held: Packet[Any] | None = None  # the last of the picture
    over = False
    for packet in passage(source, start_sec, sounds):
        if packet.dts is None or packet.pts is None:
            continue
        is_picture = packet.stream.index == source.stream.index
        over = float(packet.pts * packet.time_base) >= end
        if over and is_picture:
            break
        if first is None and is_picture and packet.is_keyframe:
            first = packet.dts * packet.time_base
        if over or first is None:  # sound after the last picture or before the first
            continue
        if not is_picture:
            put(packet, first)
            continue
        check_copy(source, packet, start_sec)
        if held is not None:
            put(held, first)
        held = packet
    if first is None or held is None or held.pts is None:
        raise MediaError(f"{source.path}: there is no picture from {start_sec:.2f} s on")
    rest = round(end / held.time_base) - held.pts  # in which nothing else is shown
    held.duration = rest if over else min(held.duration or 0, rest)
    put(held, first)


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
