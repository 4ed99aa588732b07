"""Reading a video's packets as groups of pictures (GOPs), without decoding.

A GOP is a keyframe and what follows it up to the next keyframe. It can be decoded alone, so one
without any wanted frame need not be decoded at all, and of another only the packets up to the last
wanted frame. The packets tell which frame is on screen at any time before a single one is
decoded. All this works the same in every container, with or without an index.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vidrec.errors import MediaError
from vidrec.media.source import Source, read_packets, sample_aspect

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# A longer GOP is handed on in parts, so that memory stays bounded.
MAX_PART_PACKETS = 1200
MAX_PART_BYTES = 48 << 20
# Reading on for so long without finding a wanted frame means damage or a dead disk.
STALL_SEC = 120.0
# No frame stands for longer; a larger hole between two stamps is a clock that jumped.
MAX_HOLE_SEC = 600.0
# Containers that count frames instead of stamping them: where frames are reordered, what stamps
# they seem to have are guesses, and only the order in which the decoder puts frames out is right.
_COUNTING_FORMATS = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo", "vc1", "obu", "ivf"})


@dataclass(slots=True)
class Gop:
    """A GOP, or a part of a very long one.

    Attributes:
        packets: in decoding order.
        starts: whether it begins with a keyframe (or with the file).
        ends: whether a keyframe (or the end of the file) follows.
        times: when its frames go on screen, ascending, in seconds from the file's first frame.
        stamps: the presentation stamp of each of ``times``; empty in a *counted* GOP, whose
            packets have none that can be trusted: there the k-th of ``times`` belongs to the k-th
            frame that the decoder puts out.
        leading: (time, stamp) of frames shown before its keyframe: they need the GOP before it.
        end_sec: when its last frame leaves the screen, as far as its packets tell.
    """

    packets: list[Packet[VideoStream]]
    starts: bool = True
    ends: bool = True
    times: list[float] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    leading: list[tuple[float, int]] = field(default_factory=list)
    end_sec: float = 0.0

    @property
    def counted(self) -> bool:
        return bool(self.times) and not self.stamps

    @property
    def start_sec(self) -> float:
        return self.times[0] if self.times else self.end_sec


class GopReader:
    """Reads GOPs in file order, timed from the first frame that goes on screen."""

    def __init__(self, source: Source, *, split: bool = True, exact: bool = True) -> None:
        """``split=False`` takes all of the stream for one GOP: for files whose key flags lie.

        ``exact`` does the same where frames can only be told by counting them all; without it,
        each GOP is counted by itself, and may be a few frames off.
        """
        self._source = source
        counts = source.container.format.name in _COUNTING_FORMATS
        self._counts = counts and bool(source.stream.codec_context.has_b_frames)
        self._split = split and not (self._counts and exact)
        self.sample_aspect = sample_aspect(source.stream)
        self._tick = float(source.stream.time_base or 1)
        rate = source.stream.average_rate or source.stream.guessed_rate
        frame_sec = float(1 / rate) if rate else 0.0
        self._frame_sec = frame_sec if 0 < frame_sec < MAX_HOLE_SEC else 0.04
        self._origin: float | None = None  # the stamp of the first frame on screen
        self._shift_sec = 0.0  # what restarts of the clock have added so far
        self._last: Gop | None = None
        self._deadline = 0.0
        self._gops = self._read()
        self.error = ""  # why reading ended before the end of the file
        self.still_alive()

    def still_alive(self) -> None:
        """Start the stall clock anew."""
        self._deadline = time.monotonic() + STALL_SEC

    def next(self) -> Gop | None:
        """Return the next GOP that shows anything, or None at the end of the file."""
        for gop in self._gops:
            self._stamp(gop)
            self._last = gop
            if gop.times or not gop.ends:
                return gop
        return None

    def seek(self, sec: float) -> Gop | None:
        """Jump to the GOP that holds ``sec``, or to one before it; None if nothing was moved."""
        from av.error import FFmpegError

        if self._shift_sec or self._origin is None or (self._last and self._last.counted):
            return None
        landed: Gop | None = None
        for back in (0.0, 10.0, 60.0, sec):
            stamp = self._origin + max(0.0, sec - back) / self._tick
            try:
                self._source.container.seek(int(stamp), stream=self._source.stream)
            except (FFmpegError, OverflowError):
                continue
            self._gops, self._last = self._read(), None
            landed = self.next()
            if landed is not None and landed.start_sec <= sec:
                break
        return landed

    def _read(self) -> Iterator[Gop]:
        """Group the packets; what lies before the first keyframe cannot be decoded: drop it."""
        packets: list[Packet[VideoStream]] = []
        starts, size, headless = True, 0, False
        for packet in self._packets():
            if not packets and starts:
                headless = not packet.is_keyframe
            if packet.is_keyframe and packets and self._split:
                if not headless:
                    yield Gop(packets, starts)
                packets, starts, size, headless = [], True, 0, False
            elif len(packets) >= MAX_PART_PACKETS or size > MAX_PART_BYTES:
                yield Gop(packets, starts, ends=False)
                packets, starts, size, headless = [], False, 0, False
            packets.append(packet)
            size += packet.size
        if packets:
            yield Gop(packets, starts)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        packets = read_packets(self._source)
        while True:
            if time.monotonic() > self._deadline:
                raise MediaError(
                    f"{self._source.path}: given up after {STALL_SEC:.0f} s without a frame"
                )
            try:
                yield next(packets)
            except StopIteration:
                return
            except MediaError as exc:
                self.error = str(exc).removeprefix(f"{self._source.path}: ")
                return

    def _stamp(self, gop: Gop) -> None:
        """Work out when the frames of a GOP are shown, and in what order."""
        shown = [packet for packet in gop.packets if not packet.is_discard]
        stamps = [packet.pts for packet in shown if packet.pts is not None]
        ordered = sorted(stamps)
        if self._counts or len(set(stamps)) < len(shown):
            self._count(gop, shown)
        elif shown:
            self._place(gop, ordered)
        if gop.times:
            tail = (shown[-1].duration or 0) * self._tick
            gop.end_sec = gop.times[-1] + (tail if 0 < tail < MAX_HOLE_SEC else self._frame_sec)
        elif self._last is not None:
            gop.end_sec = self._last.end_sec

    def _place(self, gop: Gop, ordered: list[int]) -> None:
        """Time a stamped GOP. Frames stamped before their keyframe are leading ones."""
        key = gop.packets[0]
        first = ordered[0]
        if gop.starts and not key.is_discard and key.pts is not None:
            first = key.pts
        if self._origin is None:
            self._origin = first
        start = (first - self._origin) * self._tick + self._shift_sec
        if gop.starts and self._last is not None and start < self._last.start_sec:
            self._shift_sec += self._last.end_sec - start  # the clock was set back: go on
        before = self._last.end_sec - self._frame_sec if self._last is not None else 0.0
        for stamp in ordered:
            sec = (stamp - self._origin) * self._tick + self._shift_sec
            if stamp < first:
                gop.leading.append((sec, stamp))
                continue
            if sec - before > MAX_HOLE_SEC and (self._last is not None or gop.times):
                self._shift_sec -= sec - before - self._frame_sec  # close the hole
                sec = before + self._frame_sec
            before = sec
            gop.times.append(sec)
            gop.stamps.append(stamp)

    def _count(self, gop: Gop, shown: list[Packet[VideoStream]]) -> None:
        """Time a counted GOP: the decoder's k-th frame has the k-th decoding stamp."""
        stamps = sorted(packet.dts for packet in shown if packet.dts is not None)
        after = self._last.end_sec if self._last else 0.0
        if len(stamps) < len(shown) or self._shift_sec:
            gop.times = [after + k * self._frame_sec for k in range(len(shown))]
            return
        if self._origin is None:
            self._origin = stamps[0]
        gop.times = [(stamp - self._origin) * self._tick for stamp in stamps]
        back = self._last is not None and gop.times[0] < self._last.start_sec
        if back or gop.times[-1] - after > MAX_HOLE_SEC + len(shown):
            gop.times = [after + k * self._frame_sec for k in range(len(shown))]
