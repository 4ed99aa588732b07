"""Decoding the wanted frames of a GOP, and no others that can be spared."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from vidrec.errors import MediaError
from vidrec.media.gops import Gop
from vidrec.media.hdr import colour
from vidrec.media.source import Source, is_starved

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_PREDICTED = frozenset({2, 3, 4, 6})  # picture types P, B, S and SP

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class KeyFlagsLieError(Exception):
    """A packet marked as a keyframe is none; never leaves this room."""


@dataclass(slots=True)
class Wanted:
    """A wanted frame.

    Attributes:
        name: its presentation stamp; in a counted GOP its place among the frames put out.
        sec: when it goes on screen.
        indices: which of the wanted times it is for.
        later: whether it is what follows on the frame at that time.
    """

    name: int
    sec: float
    indices: list[int] = field(default_factory=list)
    later: bool = False


class Decoder:
    """Decodes GOPs in file order.

    Attributes:
        damaged: how many packets were refused and frames marked as damaged so far.
    """

    def __init__(self, source: Source, threads: int, *, check_keys: bool) -> None:
        """Open the codec.

        Raises:
            MediaError: its header is damaged.
        """
        self._source = source
        self._threads = threads
        self._context = open_codec(source, threads)
        self._check_keys = check_keys
        self._queue: deque[Wanted] = deque()  # still to come, ascending
        self._before: VideoFrame | None = None  # the last frame put out
        self._place = 0  # how many frames this GOP has put out
        self._counted_before = 0  # how many frames the earlier parts of this GOP hold
        self._skipping = False
        self._used = False
        self.damaged = 0

    @property
    def pending(self) -> bool:
        """Whether wanted frames of the last part are still to come."""
        return bool(self._queue)

    def decode(
        self, gop: Gop, following: Gop | None, wanted: list[Wanted]
    ) -> Iterator[tuple[Wanted, VideoFrame]]:
        """Yield the wanted frames, ascending; those of a part may come with the next part.

        A frame that was lost gives way to the one before it, or to the one after it.

        Raises:
            KeyFlagsLieError: the GOP does not begin with a keyframe.
        """
        if gop.starts:
            self._reset(gop.packets[0].stream)
        if gop.counted:
            for item in wanted:
                item.name += self._counted_before
            self._counted_before += len(gop.times)
        self._queue.extend(wanted)
        if gop.ends and not self._queue:
            return
        key = self._key_to_check(gop)
        damaged = self.damaged
        packets = _needed(gop, following, self._queue)
        for frame in self._frames(packets, gop):
            name = self._place if gop.counted else frame.pts
            self._place += 1
            if name is None:
                continue
            if key is not None and name >= key:
                if frame.pict_type in _PREDICTED and self.damaged == damaged:
                    raise KeyFlagsLieError
                key = None
            yield from self._match(name, frame)
            if gop.ends and not self._queue:
                return
        if gop.ends and self._queue and key is not None and self.damaged == damaged:
            raise KeyFlagsLieError  # it took more than the "keyframe" to begin
        if gop.ends and self._before is not None:
            yield from ((lost, self._before) for lost in self._queue)
        if gop.ends:
            self._queue.clear()

    def _key_to_check(self, gop: Gop) -> int | None:
        """Return the stamp of the frame that must prove to be a keyframe."""
        key = gop.packets[0]
        if not self._check_keys or not gop.starts or gop.counted or key.is_discard:
            return None
        return key.pts

    def _reset(self, stream: VideoStream) -> None:
        if stream is not self._source.stream:  # a recording that was joined
            self._source = replace(self._source, stream=stream)
            self._context, self._skipping = open_codec(self._source, self._threads), False
        elif self._used:
            self._context.flush_buffers()
        self._used = False
        self._queue.clear()
        self._before = None
        self._place = self._counted_before = 0

    def _match(self, name: int, frame: VideoFrame) -> Iterator[tuple[Wanted, VideoFrame]]:
        while self._queue and self._queue[0].name <= name:
            wanted = self._queue.popleft()
            lost = wanted.name < name
            yield wanted, self._before if lost and self._before is not None else frame
        self._before = frame

    def _frames(self, packets: Iterable[Packet[VideoStream]], gop: Gop) -> Iterator[VideoFrame]:
        """Decode packets; at the end of a GOP also put out what the decoder still holds back."""
        names = {item.name for item in self._queue}
        for packet in packets:
            self._skip(not gop.counted and packet.pts not in names)
            yield from self._feed(packet)
        if gop.ends:
            yield from self._feed(None)

    def _skip(self, spare: bool) -> None:
        """Let the decoder skip the next packet if no other frame refers to it."""
        if spare != self._skipping:
            self._context.skip_frame = "NONREF" if spare else "DEFAULT"
            self._skipping = spare

    def _feed(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        self._source.go_on()
        self._used = True
        frames = decode(self._context, packet)
        if frames is None:
            self.damaged += 1
            return
        for frame in frames:
            colour(frame, self._source.colours)
            self.damaged += frame.is_corrupt
            yield frame


def open_codec(source: Source, threads: int = 1) -> VideoCodecContext:
    """Return the stream's decoder, open.

    Raises:
        MediaError: its header is damaged.
    """
    from av.error import FFmpegError

    context = _with_alpha(source.stream) or source.stream.codec_context
    if context.is_open:
        return context
    context.thread_type = "AUTO" if threads > 1 else "NONE"
    context.thread_count = threads
    codec = context.name
    # Opened before any skipping is asked for: some decoders read that only now.
    try:
        context.open(strict=False)
    except (FFmpegError, ValueError) as exc:
        _forward_starvation(exc)
        # Nothing may be asked of a context that could not be opened: FFmpeg 9 ends the process.
        raise MediaError(f"{source.path}: its {codec} header is damaged") from None
    return context


def _with_alpha(stream: VideoStream) -> VideoCodecContext | None:
    """Return the decoder that sees the transparency of VP8 and VP9; FFmpeg's own does not."""
    import av

    library = _ALPHA_DECODERS.get(stream.codec_context.name)
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    if library is None or tags.get("alpha_mode") != "1":
        return None
    try:
        context = cast("VideoCodecContext", av.CodecContext.create(library, "r"))
    except ValueError:  # a build of FFmpeg without it
        return None
    context.extradata = stream.codec_context.extradata
    context.options = dict(stream.codec_context.options)
    return context


def decode(
    context: VideoCodecContext, packet: Packet[VideoStream] | None
) -> list[VideoFrame] | None:
    """Return the frames that a packet puts out, None if it is damaged; None flushes the decoder.

    Raises:
        MemoryError: there is too little of it, which says nothing of the packet.
    """
    from av.error import FFmpegError

    try:
        return context.decode(packet)
    except (FFmpegError, ValueError) as exc:  # PyAV 19 has ValueError after a damaged header
        _forward_starvation(exc)
        return None


def _forward_starvation(exc: Exception) -> None:
    if is_starved(exc):
        raise MemoryError from exc


def _needed(gop: Gop, following: Gop | None, wanted: Iterable[Wanted]) -> list[Packet[VideoStream]]:
    """Return the packets to decode, in order: no more than up to the last wanted frame."""
    if not gop.ends or gop.counted:
        return gop.packets
    names = {item.name for item in wanted}
    packets = gop.packets
    if following is not None and any(stamp in names for _, stamp in following.leading):
        packets = packets + following.packets
    last = max((i for i, packet in enumerate(packets) if packet.pts in names), default=-1)
    return packets[: last + 1] if last >= 0 else gop.packets
