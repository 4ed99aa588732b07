"""How far the clock of a recording jumps ahead where it starts anew.

A hole between the stamps of two frames is footage, a slide or a step of a time-lapse, unless
recordings were joined there: then it is the difference of their clocks, and nothing was ever shown
for so long. Only the bytes between the two frames tell. Where a transport stream is joined, it
declares its clock discontinuous, or its packets are counted anew from a table on; a program stream
begins with a header of the whole system, ends with a code of its own, and the time codes of its
groups of pictures go back; an FLV file begins with its own header. What the clocks of all that lies
there (picture, sound, multiplex) jump by at that place is no footage. Packets that were lost on
the way are no joint: the clock of the broadcast ran on meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vidrec.media.flv import joints

# MPEG counts 90,000 a second in 33 bits, then from 0 again.
_RATE = 90_000
_WRAP = 1 << 33
# The clocks of picture, sound and multiplex are not so far apart.
_APART = 10 * _RATE
# A larger hole around the moment of counting from 0 again: the clock was set back.
_MAX_WRAPPED_SEC = 600.0
# What lies before a joint is read from so many bytes on, to know how packets are counted.
_LEAD_BYTES = 1 << 20
_BLOCK_BYTES = 4 << 20

_SYNC = b"\x47"
_PACKET = 188
# The length of a packet with what is added to it, and where in that it begins: as broadcast, as
# in M2TS (a time code), with check bytes.
_LAYOUTS = ((_PACKET, 0), (192, 4), (204, 0))
_TABLES = range(32)  # identifiers of packets that hold tables; programs have others
_NULL = 0x1FFF

# Of a program stream (MPEG-1, MPEG-2): a pack, its clock, and the system's header after it; the end
# of a stream; a group of pictures, its time code.
_MARK = re.compile(
    rb"\x00\x00\x01(?:\xba(?:([\x21-\x2f].{4}).{3}|([\x44-\x7f].{4}).{5}\xff*)"
    rb"(\x00\x00\x01\xbb)?|(\xb9)|\xb8(.{4}))",
    re.DOTALL,
)
_MAX_MARK = 32
_FIRST_GROUP = 1 << 12  # bytes from a packet of the picture on, in which its group begins


def jumped_sec(path: Path, kind: str, hole_sec: float, stamp: int, span: tuple[int, int]) -> float:
    """Return how much of the hole between two frames is a jump of the clock, in seconds.

    Args:
        kind: the name of the container's format.
        stamp: of the frame after the hole, in the container's ticks.
        span: where in the file the frames lie, in bytes.

    Raises:
        OSError: the file cannot be read.
    """
    if kind in ("flv", "live_flv", "kux"):
        return hole_sec if any(span[0] < at <= span[1] for at in joints(path)) else 0.0
    if kind not in ("mpegts", "mpeg"):
        return 0.0
    wrapped = stamp // _WRAP != (stamp - round(hole_sec * _RATE)) // _WRAP
    if wrapped and hole_sec > _MAX_WRAPPED_SEC:
        return hole_sec
    jumps = _transport_jumps if kind == "mpegts" else _program_jumps
    return min(hole_sec, sum(jumps(path, *span)) / _RATE)


def _jump(before: int, after: int) -> int:
    """Return how many ticks a clock jumps ahead; 0 where it goes on, or stays."""
    ahead = (after - before) % _WRAP
    return ahead if _APART < ahead < _WRAP - _APART else 0


def _transport_jumps(path: Path, first: int, last: int) -> Iterator[int]:
    """Yield the jumps at the joints of a transport stream."""
    counts: dict[int, int] = {}
    clock: int | None = None
    joined = False
    for at, packet in _packets(path, first, last):
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        flags = packet[5] if packet[3] & 0x20 and packet[4] else 0
        declared = bool(flags & 0x80)
        if packet[3] & 0x10 and pid != _NULL:
            count = packet[3] & 0x0F
            known = counts.get(pid, count)
            counts[pid] = count
            if not declared and count not in (known, (known + 1) % 16):
                counts = {pid: count}  # all of them have changed, told once
                joined = pid in _TABLES
        joined = joined or (declared and bool(flags & 0x10))
        now = _transport_clock(packet, flags)
        if now is not None:
            if joined and clock is not None and at > first:
                yield _jump(clock, now)
            clock, joined = now, False


def _packets(path: Path, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Yield (place, packet) of a transport stream, from some before ``first`` up to ``last``."""
    with path.open("rb") as file:
        file.seek(first)
        size, start = _layout(file.read(4 * max(_LAYOUTS)[0]))
        file.seek(first - min(first, _LEAD_BYTES) // size * size)
        while (at := file.tell()) <= last and len(unit := file.read(size)) == size:
            if unit[start : start + 1] == _SYNC:
                yield at, unit[start : start + _PACKET]
                continue
            # A recording that was cut off in mid-packet ends here: find where the next begins.
            unit += file.read(3 * size)
            steps = (step for step in range(1, size) if _in_step(unit[step:], size, start))
            file.seek(at + next(steps, size))


def _layout(head: bytes) -> tuple[int, int]:
    return next((layout for layout in _LAYOUTS if _in_step(head, *layout)), _LAYOUTS[0])


def _in_step(data: bytes, size: int, start: int) -> bool:
    """Whether packets of a size follow on each other."""
    signs = data[start::size][:3]
    return signs == len(signs) * _SYNC and len(signs) > 1


def _transport_clock(packet: bytes, flags: int) -> int | None:
    """Return what a packet says of the time: the multiplex's, or a stamp of picture or sound."""
    if flags & 0x10:
        return int.from_bytes(packet[6:11], "big") >> 7
    at = 5 + packet[4] if packet[3] & 0x20 else 4
    stamped = len(packet) >= at + 14 and packet[at : at + 3] == b"\0\0\1" and packet[at + 7] & 0x80
    return _bits(packet[at + 9 : at + 14]) if stamped and packet[1] & 0x40 else None


def _bits(stamp: bytes, spare: int = 1) -> int:
    """Return the 33 bits of a stamp: 3, 15 and 15 with a marker between, before some spare ones."""
    value = int.from_bytes(stamp, "big") >> spare
    return (value >> 32 & 7) << 30 | (value >> 16 & 0x7FFF) << 15 | value & 0x7FFF


def _program_jumps(path: Path, first: int, last: int) -> Iterator[int]:
    """Yield the jumps at the joints of a program stream."""
    clock: int | None = None
    code = 0  # the time code of the last group of pictures
    jump, joined = 0, False
    for at, mark in _marks(path, max(0, first - _LEAD_BYTES), last + _FIRST_GROUP):
        if mark[4]:
            joined = True
        elif mark[5]:
            before, code = code, int.from_bytes(mark[5], "big") >> 7  # hours, minutes, …
            if code < before:
                yield jump
            jump = 0
        else:
            now = _bits(mark[1]) if mark[1] else _bits(mark[2], spare=3)
            ahead = _jump(clock, now) if clock is not None and at > first else 0
            if mark[3] or joined:
                yield ahead
            elif ahead:
                jump = ahead
            clock, joined = now, False


def _marks(path: Path, first: int, last: int) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Yield (place, what it is) of the marks in a program stream."""
    with path.open("rb") as file:
        for at in range(first, last, _BLOCK_BYTES):
            file.seek(at)
            block = file.read(min(_BLOCK_BYTES, last - at) + _MAX_MARK)
            yield from ((at + mark.start(), mark) for mark in _MARK.finditer(block))
