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
from itertools import pairwise
from typing import TYPE_CHECKING

from vidrec.errors import MediaError, TransientError
from vidrec.media import limits
from vidrec.media.restarts import jumped_sec
from vidrec.media.source import Source, frame_rate, open_rest, read_packets

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# A longer GOP is handed on in parts, so that memory stays bounded.
MAX_PART_PACKETS = 1200
MAX_PART_BYTES = 48 << 20
# No frame of a rate that can be believed is shown for longer.
_MAX_FRAME_SEC = 600.0
# A frame that is shown for longer is a still: a slide, a step of a time-lapse.
_STILL_SEC = 10.0
# A picture that begins so much later than the sound begins with it: players differ by as much.
_LEAD_SEC = 0.5
# Where in the file a frame lies that does not tell it: within so much after the one before it.
_NEAR_BYTES = 1 << 20
# In these any place can be begun at.
PLACING_FORMATS = frozenset({"mpegts", "mpeg"})
# What follows on the picture is much: recordings of other streams were joined, or sound goes on.
_REST_BYTES, _REST_SHARE = 1 << 16, 0.2
# Containers that count frames instead of stamping them: where frames are reordered, what stamps
# they seem to have are guesses, and only the order in which the decoder puts frames out is right.
COUNTING_FORMATS = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo", "vc1", "obu", "ivf"})
# Containers that can be joined end to end, each part with the stamps of its own.
RESTARTING_FORMATS = frozenset(
    {"mpegts", "mpeg", "wtv", "pva", "ty", "flv", "live_flv", "kux", "ogg"}
)


@dataclass(slots=True)
class Gop:
    """A GOP, or a part of a very long one.

    Attributes:
        packets: in decoding order.
        starts: whether it begins with a keyframe (or with the file).
        ends: whether a keyframe (or the end of the file) follows.
        times: when its frames go on screen, ascending, in seconds from where the file begins.
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


def counts_frames(source: Source) -> bool:
    """Whether only the order in which the decoder puts frames out tells when they are shown."""
    counts = source.container.format.name in COUNTING_FORMATS
    return counts and bool(source.stream.codec_context.has_b_frames)


class GopReader:
    """Reads GOPs in file order, timed as a player does: from where picture or sound begins."""

    def __init__(self, source: Source, *, split: bool = True, exact: bool = True) -> None:
        """``split=False`` takes all of the stream for one GOP: for files whose key flags lie.

        ``exact`` does the same where frames can only be told by counting them all; without it,
        each GOP is counted by itself, and may be a few frames off.
        """
        self.source = source
        self.parts = [(0, source)]  # where recordings that were joined begin, with other streams
        self._counts = counts_frames(source)
        self._split = split and not (self._counts and exact)
        self._tick = float(source.stream.time_base or 1)
        rate = frame_rate(source.stream)
        frame_sec = float(1 / rate) if rate else 0.0
        self._frame_sec = frame_sec if 0 < frame_sec < _MAX_FRAME_SEC else 0.04
        self._longest_sec = limits.in_force().still_hours * 3600
        kind = source.container.format.name
        self._restarts = kind in RESTARTING_FORMATS  # what was joined cannot be sought in
        self._origin: float | None = None  # the stamp at which the file begins to play
        self._reached = 0  # where in the file the last packet lies, as far as that is told
        self._read_to = 0  # where in the file the last packet whose place is told lies
        self._shift_sec = 0.0  # what restarts of the clock have added so far
        self._stood_sec = 0.0  # how long stills have stood so far
        self._stood_until = 0.0
        self._last: Gop | None = None
        self._ahead: Gop | None = None  # read, but not handed out yet
        self._deadline = 0.0
        self._gops = self._read()
        self.error = ""  # why reading ended before the end of the file
        self.skipped_sec = 0.0  # the longest jump of the clock that was taken out
        self.still_alive()

    @property
    def start_sec(self) -> float:
        """When the first frame goes on screen; reads as far as that."""
        if self._ahead is None and self._last is None:
            self._ahead = self.next()
        first = self._ahead or self._last
        return first.start_sec if first is not None else 0.0

    def still_alive(self) -> None:
        """Start the stall clock anew."""
        self._deadline = time.monotonic() + limits.in_force().stall_sec

    def next(self) -> Gop | None:
        """Return the next GOP that shows anything, or None at the end of the file.

        Raises:
            MediaError: its frames stand still for longer than the limit, all together.
            TransientError: the file cannot be read now.
        """
        if self._ahead is not None:
            gop, self._ahead = self._ahead, None
            return gop
        for gop in self._gops:
            self._stamp(gop)
            self._last = gop
            if gop.times or not gop.ends:
                return gop
        return None

    @property
    def can_seek(self) -> bool:
        """Whether stamps tell places: neither counted nor made up, nor used twice."""
        return not (self._restarts or self._shift_sec or self._counts)

    def seek(self, sec: float) -> Gop | None:
        """Jump to the GOP that holds ``sec``, or to one before it; None if nothing was moved."""
        from av.error import FFmpegError

        counted = self._last is not None and self._last.counted
        if not self.can_seek or self._origin is None or counted:
            return None
        landed: Gop | None = None
        for back in (0.0, 10.0, 60.0, sec):
            stamp = self._origin + max(0.0, sec - back) / self._tick
            try:
                self.source.container.seek(int(stamp), stream=self.source.stream)
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
            if not packet.size:
                _show_again(packets[-1:], packet)
                continue
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
        packets = read_packets(self.source)
        while True:
            if time.monotonic() > self._deadline:
                stall_sec = limits.in_force().stall_sec
                raise TransientError(
                    f"{self.source.path}: given up after {stall_sec:g} s without a frame"
                )
            try:
                packet = next(packets)
            except StopIteration:
                self.error = self._left_out()
                if not self._begin_rest():
                    return
                packets = read_packets(self.parts[-1][1])
                continue
            except MediaError as exc:
                reason = str(exc).removeprefix(f"{self.source.path}: ")
                self.error = f"cannot be read to its end ({reason})"
                return
            self._reached = packet.pos or self._reached
            yield packet

    def _begin_rest(self) -> bool:
        """Begin with what comes after the picture, where that goes on in another stream."""
        kind, place = self.source.container.format.name, self._reached + 1
        if not self.error or kind not in PLACING_FORMATS or place <= self.parts[-1][0]:
            return False
        rest = open_rest(self.source.path, place, self.source.cancelled)
        if rest is None or rest.stream.time_base != self.source.stream.time_base:
            return False
        self.parts.append((place, rest))
        return True

    def _left_out(self) -> str:
        """Say so where much of a file follows on its picture: it may go on in another stream."""
        size = self.source.path.stat().st_size if self._restarts and self._reached else 0
        rest = size - self._reached
        if rest < max(_REST_BYTES, _REST_SHARE * size):
            return ""
        return f"the picture ends after {100 * self._reached / size:.0f} % of the file"

    def _stamp(self, gop: Gop) -> None:
        """Work out when the frames of a GOP are shown, and in what order."""
        shown = [packet for packet in gop.packets if not packet.is_discard]
        lost = [one for one in shown if one.pts is None and one.dts is None]
        if not self._counts and 2 * len(lost) < len(shown):  # FFmpeg drops what looks absurd in FLV
            shown = [one for one in shown if one.pts is not None or one.dts is not None]
        stamps = [packet.pts for packet in shown if packet.pts is not None]
        ordered = sorted(stamps)
        if self._counts or len(set(stamps)) < len(shown):
            self._count(gop, shown)
        elif shown:
            self._place(gop, ordered)
        if gop.times:
            tail = (shown[-1].duration or 0) * self._tick
            gop.end_sec = gop.times[-1] + (
                tail if 0 < tail < self._longest_sec else self._frame_sec
            )
            self._add_stills(gop)
        elif self._last is not None:
            gop.end_sec = self._last.end_sec

    def _add_stills(self, gop: Gop) -> None:
        """Count how long frames stand still: a few bytes could otherwise last for weeks."""
        if gop.end_sec <= self._stood_until:
            return  # read once more after a jump
        edges = [*gop.times, gop.end_sec]
        if self._last is not None:
            edges.insert(0, self._last.end_sec)
        stood = (after - before for before, after in pairwise(edges))
        self._stood_sec += sum(sec for sec in stood if sec > _STILL_SEC)
        self._stood_until = gop.end_sec
        if self._stood_sec > self._longest_sec:
            raise MediaError(
                f"{self.source.path}: its frames stand still for {self._stood_sec / 3600:.1f} h or "
                f"more, {self._longest_sec / 3600:g} h are allowed (setting [media] still_hours)"
            )

    def _place(self, gop: Gop, ordered: list[int]) -> None:
        """Time a stamped GOP. Frames stamped before their keyframe are leading ones."""
        key = gop.packets[0]
        first = ordered[0]
        if gop.starts and not key.is_discard and key.pts is not None:
            first = key.pts
        if self._origin is None:
            self._origin = first - self._lead_sec(first) / self._tick
        start = (first - self._origin) * self._tick + self._shift_sec
        if gop.starts and self._last is not None and self._was_set_back(start):
            self._shift_sec += self._last.end_sec - start  # go on from there
        before = self._last.end_sec - self._frame_sec if self._last is not None else 0.0
        for stamp in ordered:
            sec = (stamp - self._origin) * self._tick + self._shift_sec
            if stamp < first:
                gop.leading.append((sec, stamp))
                continue
            if sec - before > _STILL_SEC and (self._last is not None or gop.times):
                jumped = self._jumped_sec(gop, sec - before, stamp)
                self.skipped_sec = max(self.skipped_sec, jumped)
                self._shift_sec -= jumped
                sec -= jumped
            before = sec
            gop.times.append(sec)
            gop.stamps.append(stamp)
        places = (packet.pos for packet in reversed(gop.packets))
        self._read_to = next(filter(None, places), self._read_to)

    def _jumped_sec(self, gop: Gop, hole_sec: float, stamp: int) -> float:
        """Return how much of the hole before a frame is a jump of the clock."""
        if hole_sec > self._longest_sec:
            return hole_sec - self._frame_sec
        if not self._restarts:
            return 0.0
        at = next(i for i, packet in enumerate(gop.packets) if packet.pts == stamp)
        places = [packet.pos for packet in gop.packets]
        before = next(filter(None, reversed(places[:at])), self._read_to)
        after = next(filter(None, places[at:]), before + _NEAR_BYTES)
        kind = self.source.container.format.name
        try:
            jumped = jumped_sec(self.source.path, kind, hole_sec, stamp, (before, after))
        except OSError as exc:
            raise TransientError(f"{self.source.path}: cannot be read ({exc.strerror})") from exc
        footage = hole_sec - jumped > _STILL_SEC  # else picture or sound ended a little early
        return jumped if footage else hole_sec - self._frame_sec

    def _was_set_back(self, start_sec: float) -> bool:
        """Whether the clock was: no keyframe is shown before the frames of the GOP before it."""
        last = self._last
        return last is not None and bool(last.times) and start_sec <= last.times[-1]

    def _lead_sec(self, first: int) -> float:
        """Return how much later than all else (the sound) the picture begins, 0 if hardly so."""
        begin = self.source.container.start_time
        if begin is None:
            return 0.0
        lead_sec = first * self._tick - begin / 1_000_000
        return lead_sec if _LEAD_SEC < lead_sec < self._longest_sec else 0.0

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
        if back or gop.times[-1] - after > _MAX_FRAME_SEC + len(shown):
            gop.times = [after + k * self._frame_sec for k in range(len(shown))]


def _show_again(last: list[Packet[VideoStream]], empty: Packet[VideoStream]) -> None:
    """Let the last packet be shown until an empty one (Theora, AVI) ends."""
    for packet in last:
        if packet.dts is not None and empty.dts is not None:
            packet.duration = empty.dts + (empty.duration or 0) - packet.dts
