"""The packets of a passage, picture and sound, stamped by the clock of a player."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vidrec.errors import MediaError
from vidrec.media.gops import (
    COUNTING_FORMATS,
    MAX_PART_BYTES,
    PLACING_FORMATS,
    RESTARTING_FORMATS,
    GopReader,
)
from vidrec.media.source import Source, demux, frame_rate, open_rest, open_video, origin_of

if TYPE_CHECKING:
    from av.packet import Packet

MOST_EARLY_SEC = 15.0  # by which a copy may begin before the moment
_MOST_WAITING = 500  # packets until one of the picture tells when it is decoded
_BACK_SEC = 10.0  # where a jump leads beyond a moment: to so much before it, then to ever more
_LEAD_BYTES = 1 << 18  # sound lies at most so much before the picture that it belongs to


class _Group(NamedTuple):
    """A group of pictures: where it and the recording that holds it lie, when it is shown, and what
    its stamps lack for that.
    """

    place: int
    part: int
    start_sec: float
    shift_sec: float


@contextmanager
def open_passage(path: Path, start_sec: float) -> Iterator[Source]:
    """Open a video to read a passage of it; of joined recordings the one that holds its start.

    Raises:
        MediaError: it cannot be read.
        TransientError: it cannot be read now.
    """
    with open_video(path) as source:
        groups = _groups_of(source, start_sec)
        part = groups[_group_at(groups, start_sec)].part if groups else 0
        yield (open_rest(path, part) if part else None) or source


def passage(source: Source, start_sec: float, sounds: Iterable[Any]) -> Iterator[Packet[Any]]:
    """Yield packets, from those on that the picture at a moment needs, with times of decoding.

    Raises:
        MediaError: the file cannot be read.
        TransientError: it cannot be read now.
    """
    streams = [source.stream, *sounds]
    groups = _groups_of(source, start_sec)
    packets: Iterable[Packet[Any]]
    if groups:
        here = groups[_group_at(groups, start_sec)].part
        packets = chain(
            _placed(source, start_sec, streams, groups),
            *(_of_part(source, part, streams, groups) for part in _later(groups, here)),
        )
    else:
        first = next(demux(source, streams), None)  # it alone may tell of the colours
        packets = chain([first] if first else [], demux(source, streams))
        if first and first.dts is None and source.container.format.name in COUNTING_FORMATS:
            packets = _counted(source, start_sec, packets)
        elif start_sec > 0:
            packets = _sought(source, start_sec, streams)
    yield from _dated(packets, source)


def check_copy(source: Source, first: Packet[Any], start_sec: float) -> None:
    """Make sure that a passage, from its first picture on, can be copied packet by packet.

    Raises:
        MediaError: that picture is a still that has stood for long, or the decoder's header was
            another one before.
    """
    if source.header is not None or _at_sec(first, source) < start_sec - MOST_EARLY_SEC:
        raise MediaError(f"{source.path}: nothing can be copied at {start_sec:.2f} s")


def _sought(source: Source, start_sec: float, streams: list[Any]) -> Iterator[Packet[Any]]:
    import av

    packets: Iterable[Packet[Any]] = ()
    sec, back_sec = start_sec, 0.0
    while sec > 0:
        sec = max(0.0, start_sec - back_sec)
        source.container.seek(round((sec + origin_of(source)) * av.time_base), backward=True)
        begun: list[Packet[Any]] = []
        for packet in demux(source, streams):
            begun.append(packet)
            if _is_picture(packet, source):
                break
        packets = chain(begun, demux(source, streams))
        if begun and _is_picture(begun[-1], source) and _at_sec(begun[-1], source) <= start_sec:
            break
        back_sec = max(_BACK_SEC, 6 * back_sec)  # a still stands there
    yield from packets


def _counted(
    source: Source, start_sec: float, packets: Iterable[Packet[Any]]
) -> Iterator[Packet[Any]]:
    """Date packets that have no stamps (of a bare stream) by counting them."""
    begun: list[Packet[Any]] = []
    size = 0
    for number, packet in enumerate(packets):
        sec = number / (frame_rate(source.stream) or 25)
        if not packet.size:
            break  # the last one
        packet.dts = round(sec / packet.time_base)
        if packet.is_keyframe and sec <= start_sec:
            begun, size = [], 0
        begun.append(packet)
        size += packet.size
        if sec >= start_sec or size > MAX_PART_BYTES:
            yield from begun
            begun, size = [], 0
    yield from begun


def _placed(
    source: Source, start_sec: float, streams: list[Any], groups: list[_Group]
) -> Iterator[Packet[Any]]:
    """Find the packets by their place in the file, as stamps may come twice, and date them anew."""
    places = [group.place for group in groups]
    number = _group_at(groups, start_sec)
    if source.container.format.name == "mpeg":  # where not every packet tells its place
        number -= 1
    first = groups[max(0, number)]
    if source.container.format.name in PLACING_FORMATS:
        source.container.seek(max(0, first.place - _LEAD_BYTES), unsupported_byte_offset=True)
    place = 0
    decoded: dict[int, int] = {}  # when the last packet of each stream was
    for packet in demux(source, streams):
        place = packet.pos or place
        if place < first.place or packet.pts is None:
            continue
        group = groups[max(0, bisect_right(places, place) - 1)]
        shift = round(group.shift_sec / float(packet.time_base))
        packet.pts += shift
        if packet.dts is not None:  # at a joint it may be one of the clock before
            dts = min(packet.dts + shift, packet.pts)
            packet.dts = max(dts, decoded.get(packet.stream_index, dts - 1) + 1)
            packet.pts = max(packet.pts, packet.dts)
            decoded[packet.stream_index] = packet.dts
        yield packet


def _group_at(groups: list[_Group], sec: float) -> int:
    return max(0, bisect_right([group.start_sec for group in groups], sec) - 1)


def _groups_of(source: Source, start_sec: float) -> list[_Group]:
    name = source.container.format.name
    beyond = "matroska" in name and start_sec > (source.container.duration or math.inf) / 1_000_000
    if name not in RESTARTING_FORMATS and not beyond:  # beyond the first of several, joined
        return []
    return _groups(source.path, source.path.stat().st_mtime_ns)


def _later(groups: list[_Group], here: int) -> list[int]:
    return sorted({group.part for group in groups if group.part > here})


def _of_part(
    source: Source, part: int, streams: list[Any], groups: list[_Group]
) -> Iterator[Packet[Any]]:
    """Yield what follows in a recording of other streams as if it were in those of the source."""
    rest = open_rest(source.path, part)
    if rest is None or rest.stream.codec_context.name != source.stream.codec_context.name:
        return
    theirs = [rest.stream, *rest.container.streams.audio][: len(streams)]
    ours = {their.index: stream for their, stream in zip(theirs, streams, strict=False)}
    first = next(group for group in groups if group.part == part)
    for packet in _placed(rest, first.start_sec, theirs, groups):
        shift = round((origin_of(source) - origin_of(rest)) / float(packet.time_base))
        packet.pts = (packet.pts or 0) + shift
        packet.dts = None if packet.dts is None else packet.dts + shift
        packet.stream = ours[packet.stream_index]
        yield packet


@lru_cache(maxsize=64)
def _groups(path: Path, _changed: int) -> list[_Group]:
    """Return the groups of pictures of a file whose clock may start anew."""
    groups: list[_Group] = []
    with open_video(path) as source:
        reader = GopReader(source)
        while (gop := reader.next()) is not None:
            place = next((packet.pos for packet in gop.packets if packet.pos), None)
            if gop.stamps and place:
                stream = gop.packets[0].stream
                begun, part = next(one for one in reader.parts if one[1].stream is stream)
                stamped_sec = gop.stamps[0] * float(stream.time_base or 1)
                shift_sec = gop.times[0] + origin_of(part) - stamped_sec
                groups.append(_Group(place, begun, gop.times[0], shift_sec))
    return groups


def _at_sec(packet: Packet[Any], source: Source) -> float:
    return float((packet.pts or 0) * packet.time_base) - origin_of(source)


def _is_picture(packet: Packet[Any], source: Source) -> bool:
    return packet.stream.index == source.stream.index and packet.pts is not None


def _dated(packets: Iterable[Packet[Any]], source: Source) -> Iterator[Packet[Any]]:
    """Yield packets, those of the picture with a time of decoding.

    After a jump some containers (Matroska) do not tell that of the first ones, the keyframe among
    them; it is reckoned back from the first that is told.
    """
    waiting: list[Packet[Any]] = []
    for packet in packets:
        waiting.append(packet)
        pictures = [one for one in waiting if _is_picture(one, source)]
        if pictures and pictures[-1].dts is None and len(waiting) < _MOST_WAITING:
            continue
        _date(pictures, source)
        yield from waiting
        waiting = []
    _date([one for one in waiting if _is_picture(one, source)], source)
    yield from waiting


def _date(pictures: list[Packet[Any]], source: Source) -> None:
    if pictures and pictures[-1].dts is None:
        pictures[-1].dts = pictures[-1].pts
    rate = frame_rate(source.stream) or Fraction(25)
    for before, packet in enumerate(reversed(pictures)):
        last = pictures[-1].dts
        if packet.dts is None and last is not None:
            packet.dts = last - before * max(1, round(1 / rate / packet.time_base))
