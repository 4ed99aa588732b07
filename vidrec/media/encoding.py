"""Encoding: a stretch of a video as MP4 that every browser plays.

Either its packets are copied, or pictures and sound are encoded anew (H.264, AAC). Times are a
player's: seconds from the beginning of the file. What is written begins at 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.errors import MediaError
from vidrec.media.decoding import decode, open_codec
from vidrec.media.gops import counts_frames
from vidrec.media.hdr import colour, is_hdr
from vidrec.media.passage import MOST_EARLY_SEC, check_copy, open_passage, passage
from vidrec.media.picking import pick_frames
from vidrec.media.picture import Painter, orientation
from vidrec.media.sound import Sound
from vidrec.media.source import Source, frame_rate, origin_of, sample_aspect

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

TICK = Fraction(1, 90_000)
STANDS_SEC = 1.0  # of sound without a picture: none is to come soon
REORDERED = 3  # pictures, at most: the end of an MP4 is reckoned from when they are decoded
LAST_SEC = 0.1  # of the last picture, at most
GONE_SEC = 1.0  # after the last picture nothing is left
KEYFRAMES_SEC = 2
ENCODER_THREADS = 2  # of each conversion: a few may run at once
# Of these the stamps of frames are wild where a container has none; of others they are one late.
_REORDERING = frozenset({"h264", "hevc"})
_OUT = {"movflags": "+faststart"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What an encoded stretch looks like.

    Attributes:
        box: width and height that it fits into; it is never enlarged, unless ``pad``.
        crf: of H.264; smaller is better.
        preset: of H.264; slower ones make smaller files.
        sound: whether there is any.
        most_fps: pictures that come faster are left out.
        pad: whether it fills the box, with bars where its aspect is another.
    """

    box: tuple[int, int]
    crf: int
    preset: str
    sound: bool
    most_fps: float
    pad: bool = False


def encode(
    path: Path, start_sec: float, end_sec: float, target: Path,
    report: Callable[[float], None], shape: Shape,
) -> None:  # fmt: skip
    """Decode a stretch and write it as H.264 with AAC.

    Raises:
        MediaError: the video cannot be read, or has no picture there.
    """
    tool = partial(_Pen, start_sec=start_sec, end_sec=end_sec, shape=shape)
    _convert(path, start_sec, target, report, tool)


def copy(
    path: Path, start_sec: float, end_sec: float, target: Path,
    report: Callable[[float], None], keep_sound: frozenset[str],
) -> None:  # fmt: skip
    """Copy a stretch's pictures, from the keyframe at or before its start; sound, too.

    Sound of a codec that is not kept is encoded as AAC.

    Raises:
        MediaError: the video cannot be read, or has no picture there.
    """
    tool = partial(_Press, start_sec=start_sec, end_sec=end_sec, keep_sound=keep_sound)
    _convert(path, start_sec, target, report, tool)


def _convert(
    path: Path, start_sec: float, target: Path, report: Callable[[float], None],
    tool_for: Callable[[Source, OutputContainer], _Pen | _Press],
) -> None:  # fmt: skip
    import av
    from av.error import FFmpegError

    try:
        with (
            open_passage(path, start_sec) as source,
            av.open(str(target), "w", "mp4", options=_OUT) as out,
        ):
            tool = tool_for(source, out)
            start, length = tool.start_sec, max(0.1, tool.end_sec - tool.start_sec)
            for packet in passage(source, start, source.container.streams.audio[:1]):
                if tool.take(packet):
                    break
                report(min(1.0, max(0.0, (tool.at_sec - start) / length)))
            if not tool.finish():
                raise MediaError(f"{path}: there is no picture from {start:.2f} s on")
    except (FFmpegError, ValueError) as exc:
        raise MediaError(f"{path}: cannot be converted: {exc}") from exc


@dataclass
class _Pen:
    """Writes decoded pictures and sound."""

    source: Source
    out: OutputContainer
    start_sec: float
    end_sec: float
    shape: Shape
    at_sec: float = 0.0
    _picture: Any = None
    _sound: Sound | None = None
    _before: VideoFrame | None = None  # what is on the screen when the stretch begins
    _last: float = -1.0  # when the last picture was written, and which
    _still: VideoFrame | None = None
    _early: list[Packet[Any]] = field(default_factory=list)  # sound before the first picture
    _looked: bool = False  # for a still
    _frame_sec: float = 0.04
    _gone_sec: float = 0.0  # when the last picture leaves the screen, as far as packets tell
    _painter: Painter | None = None
    _due: deque[int | None] = field(default_factory=deque)  # when packets were to be decoded

    def __post_init__(self) -> None:
        self._context = open_codec(self.source, 0)
        coded = self._context.name in _REORDERING
        self._counts = coded and counts_frames(self.source)
        self._origin = origin_of(self.source)
        self._closest = 1 / self.shape.most_fps - 0.002

    def take(self, packet: Packet[Any]) -> bool:
        """Write what a packet holds; tell whether the end is reached."""
        if packet.stream.type == "audio":
            self._hear(packet)
            return False
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None and packet.duration:
            gone = float((stamp + packet.duration) * packet.time_base) - self._origin
            self._gone_sec = max(self._gone_sec, gone)
        if not packet.size:  # what was shown before is shown again
            return False
        self._due.append(packet.dts)
        return any([self._see(frame) for frame in decode(self._context, packet) or ()])

    def _hear(self, packet: Packet[Any]) -> None:
        if self._picture is None and packet.pts is not None and not self._looked:
            at = float(packet.pts * packet.time_base) - self._origin
            if at > self.start_sec + STANDS_SEC:
                self._looked = True
                self._before = self._standing()
                self._open()
        if self._picture is None:
            self._early.append(packet)
        elif self._sound is not None:
            self._sound.take(packet, self.end_sec)

    def _see(self, frame: VideoFrame) -> bool:
        colour(frame, self.source.colours)
        tick = frame.time_base or self.source.stream.time_base  # the last ones come without
        due = self._due.popleft() if self._due else None
        stamp = due if self._counts or frame.pts is None else frame.pts
        if stamp is None or tick is None:
            return False
        at = float(stamp * tick) - self._origin
        self.at_sec = at
        if at < self.start_sec - 1e-3:
            self._before = frame
            return False
        if at >= self.end_sec - 1e-3:
            self._close(self.end_sec)
            return True
        if self._before is not None and at - self.start_sec > self._closest:
            self._write(self._before, 0.0)
        self._before = None
        self._write(frame, at - self.start_sec)
        return False

    def _standing(self) -> VideoFrame | None:
        """Return the still that is on the screen then; the decoder may hold it back."""
        picks = pick_frames(self.source.path, [self.start_sec])
        return next((pick.frame for pick in picks if pick.sec <= self.start_sec), None)

    def _open(self) -> None:
        """Begin with what is on the screen then, where nothing else has been written."""
        if self._picture is None and self._before is not None and self.end_sec > self.start_sec:
            self._write(self._before, 0.0)

    def _close(self, until_sec: float) -> None:
        """Let the last picture stand until then: shown again, as often as the encoder reorders."""
        self._open()
        for again in range(REORDERED, 0, -1):
            at_sec = until_sec - self.start_sec - again * self._frame_sec
            if self._still is not None and at_sec - self._last > self._frame_sec / 2:
                self._write(self._still, at_sec)

    def _write(self, frame: VideoFrame, at_sec: float) -> None:
        if self._last >= 0 and at_sec - self._last < self._closest:
            return
        if self._picture is None:
            self._begin(frame)
        self._last, self._still = at_sec, frame
        shown = self._shown(frame)
        shown.pts, shown.time_base = round(at_sec / TICK), TICK
        shown.pict_type = 0  # what the source called it says nothing of the copy
        self._mux(self._picture.encode(shown))

    def _mux(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            # Of the last one nothing else tells how long it is shown: it would be left out.
            packet.duration = round(self._frame_sec / TICK)
            self.out.mux(packet)

    def _begin(self, frame: VideoFrame) -> None:
        """Open the streams; the size is that of the first picture."""
        width, height = self.shape.box
        if not self.shape.pad:
            width, height = fitted(frame, sample_aspect(self.source.stream), self.shape.box)
        stream = self.source.stream
        told = frame_rate(stream) or Fraction(25)
        rate = max(Fraction(1), min(told, Fraction(self.shape.most_fps)))
        self._frame_sec = min(float(1 / rate), LAST_SEC)  # where stills stand the rate is a mean
        options = {"crf": str(self.shape.crf), "preset": self.shape.preset, "profile": "high"}
        self._picture = self.out.add_stream("libx264", rate=rate, options=options)
        self._picture.width, self._picture.height = width, height
        self._picture.pix_fmt = "yuv420p"
        self._picture.gop_size = max(1, round(rate * KEYFRAMES_SEC))
        self._picture.codec_context.time_base = self._picture.time_base = TICK
        self._picture.codec_context.thread_count = ENCODER_THREADS
        if self.shape.sound and self.source.container.streams.audio:
            self._sound = Sound(self.source, self.out, self.start_sec)
            for packet in self._early:
                self._sound.take(packet, self.end_sec)

    def _shown(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame as it is displayed, of the size that is written."""
        import av

        size = (self._picture.width, self._picture.height)
        plain = not self.shape.pad and not is_hdr(frame) and orientation(frame) == (0, False)
        if plain:
            return frame.reformat(*size, "yuv420p", dst_color_range="MPEG")
        if self._painter is None:
            self._painter = Painter(size[::-1], "pad" if self.shape.pad else "squash")
        picture = self._painter.paint(frame, sample_aspect(self.source.stream))
        return av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")

    def finish(self) -> bool:
        """Write what is left; tell whether anything was."""
        if self.at_sec < self.end_sec:
            for frame in decode(self._context, None) or ():
                self._see(frame)
        if self.start_sec < max(self._gone_sec, self.at_sec + GONE_SEC):
            self._close(min(self.end_sec, self._gone_sec))
        if self._picture is None:
            return False
        self._mux(self._picture.encode(None))
        if self._sound is not None:
            self._sound.finish()
        return True


def fitted(frame: VideoFrame, aspect: float, box: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) of an upright frame of square pixels that fits into a box; even."""
    width, height = frame.width * aspect, float(frame.height)
    if orientation(frame)[0] % 2:
        width, height = height, width
    scale = min(1.0, box[0] / width, box[1] / height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


@dataclass
class _Press:
    """Writes packets as they are; what comes before the start is there to be decoded, not shown."""

    source: Source
    out: OutputContainer
    start_sec: float
    end_sec: float
    keep_sound: frozenset[str]
    at_sec: float = 0.0
    _picture: Any = None
    _sound: Any = None  # a stream that is copied to, or a Sound
    _held: Packet[Any] | None = None  # the last of the picture, until it is known how long it is

    def take(self, packet: Packet[Any]) -> bool:
        """Write a packet; tell whether the end is reached."""
        if packet.pts is None:
            return False
        at = float(packet.pts * packet.time_base) - origin_of(self.source)
        seen = packet.stream.type == "video"
        if self._picture is None:
            if not seen or not packet.is_keyframe:
                return False
            self._begin()
        if not seen:
            self._hear(packet, at)
            return False
        check_copy(self.source, packet, self.start_sec)
        self.at_sec = at
        over = at >= self.end_sec + (0 if packet.is_keyframe else MOST_EARLY_SEC)  # or: a still
        self._put(None if over else packet, over)
        return over

    def _begin(self) -> None:
        self._picture = self.out.add_stream_from_template(self.source.stream)
        sound = next(iter(self.source.container.streams.audio), None)
        if sound is None or sound.codec_context is None:
            return
        if sound.codec_context.codec.canonical_name in self.keep_sound:
            self._sound = self.out.add_stream_from_template(sound)
        else:
            self._sound = Sound(self.source, self.out, self.start_sec)

    def _put(self, packet: Packet[Any] | None, over: bool) -> None:
        """Write the picture before this one, which stands until the end where this is over it."""
        held, self._held = self._held, packet
        if held is None:
            return
        if over and held.dts is not None:
            end = round((self.end_sec + origin_of(self.source)) / float(held.time_base))
            held.duration = max(held.duration or 0, end - held.dts)
        self._write(held, self._picture)

    def _hear(self, packet: Packet[Any], at_sec: float) -> None:
        if isinstance(self._sound, Sound):
            self._sound.take(packet)
        elif self._sound is not None and at_sec >= self.start_sec and packet.dts is not None:
            self._write(packet, self._sound)

    def _write(self, packet: Packet[Any], stream: Any) -> None:
        shift = round((self.start_sec + origin_of(self.source)) / float(packet.time_base))
        assert packet.pts is not None and packet.dts is not None
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = stream
        self.out.mux(packet)

    def finish(self) -> bool:
        """Write what is left; tell whether anything was written."""
        self._put(None, over=False)
        if isinstance(self._sound, Sound):
            self._sound.finish()
        return self._picture is not None
