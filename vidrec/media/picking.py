"""Picking the frames on screen at given times, decoding no more than that takes.

The frame at a time is the one a player shows then: the last whose presentation time is not later
(before the first frame, the first). Three things spare decoding, and none changes a picked frame:
GOPs without a picked frame are never decoded, of the others nothing after the last picked frame
is, and frames that no other refers to are skipped unless picked. Letting keyframes stand in for
frames near them spares more, at the price of frames that are somewhat early or late.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.media.decoding import Decoder, KeyFlagsLieError, Wanted
from vidrec.media.gops import Gop, GopReader
from vidrec.media.source import never, open_video, sample_aspect

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# Containers round times to milliseconds: a frame this little late is on screen already.
_TOLERANCE_SEC = 0.001
# Reading over this much footage costs more than seeking.
_SEEK_SEC = 20.0


@dataclass(slots=True)
class Pick:
    """A decoded frame.

    Attributes:
        index: which wanted time it is for.
        sec: when it goes on screen.
        sample_aspect: the width of a pixel over its height.
        later: whether it is not the wanted one but that which follows some time after it.
    """

    index: int
    sec: float
    frame: VideoFrame
    sample_aspect: float
    later: bool = False


@dataclass(slots=True)
class Report:
    """What became of a file while it was read.

    Attributes:
        end_sec: when the last frame seen so far leaves the screen.
        finished: whether the end of the file was reached.
        error: why reading ended early, if it did.
        damaged: how many packets and frames the decoder refused or marked as damaged.
        skipped_sec: the longest jump of the file's clock that was taken out.
    """

    end_sec: float = 0.0
    finished: bool = False
    error: str = ""
    damaged: int = 0
    skipped_sec: float = 0.0


class _Targets:
    """The wanted times, ascending, each with its index; what was taken can be put back."""

    def __init__(self, times: Iterable[float]) -> None:
        self._rest = enumerate(times)
        self._queue: deque[tuple[int, float]] = deque()

    def head(self) -> tuple[int, float] | None:
        if not self._queue:
            self._queue.extend([t for t in [next(self._rest, None)] if t is not None])
        return self._queue[0] if self._queue else None

    def take_before(self, sec: float) -> list[tuple[int, float]]:
        taken = []
        while (head := self.head()) is not None and head[1] + _TOLERANCE_SEC < sec:
            taken.append(self._queue.popleft())
        return taken

    def put_back(self, taken: Iterable[tuple[int, float]]) -> None:
        self._queue = deque([*taken, *self._queue])


def pick_frames(
    path: Path,
    times: Iterable[float],
    *,
    reach_sec: float = 0.0,
    lag_sec: float = 0.0,
    threads: int = 1,
    report: Report | None = None,
    cancelled: Callable[[], bool] = never,
) -> Iterator[Pick]:
    """Yield the frame on screen at each of the ascending ``times``, seconds as a player counts.

    Times after the end of the video, and those whose frames are damaged beyond decoding, are left
    out. Several times may share one frame (the same object).

    With ``reach_sec`` keyframes stand in for frames near them: a wanted time is served by the next
    keyframe if that is no further ahead (and nearer than the last one), and a GOP whose other
    wanted times are no further behind its keyframe is represented by the keyframe.

    With ``lag_sec`` the frames of every other time (with ``reach_sec``, of every fourth) are each
    followed by what is on screen that much later, where that is another frame of the same GOP and
    comes before the next wanted one. Of codecs whose frames are all keyframes, none is.

    Raises:
        MediaError: the file cannot be opened as a video.
        TransientError: it cannot be read now, or reading it stalls.
        Cancelled: whoever asks is to give up.
    """
    with open_video(path, cancelled) as source:
        reader = GopReader(source, exact=reach_sec <= 0)
        yield from pick_from(
            reader, times, reach_sec=reach_sec, lag_sec=lag_sec, threads=threads, report=report
        )


def pick_from(
    reader: GopReader,
    times: Iterable[float],
    *,
    reach_sec: float = 0.0,
    lag_sec: float = 0.0,
    threads: int = 1,
    report: Report | None = None,
) -> Iterator[Pick]:
    """Do what ``pick_frames`` does in a file that is open and has not been read any further."""
    report = report if report is not None else Report()
    targets = _Targets(times)
    with ExitStack() as kept:
        for trust_keys in (True, False):
            if not trust_keys:  # take the whole file for one GOP
                again = open_video(reader.source.path, reader.source.cancelled)
                source = kept.enter_context(again)
                reader = GopReader(source, split=False, exact=reach_sec <= 0)
            decoder = Decoder(reader.source, threads, check_keys=trust_keys)
            try:
                yield from _picked(reader, decoder, targets, reach_sec, lag_sec, report)
                return
            except KeyFlagsLieError:
                pass
            finally:
                report.damaged += decoder.damaged


def _picked(
    reader: GopReader,
    decoder: Decoder,
    targets: _Targets,
    reach_sec: float,
    lag_sec: float,
    report: Report,
) -> Iterator[Pick]:
    aspect = sample_aspect(reader.source.stream)
    gop = reader.next()
    seeks = True
    while gop is not None and (targets.head() is not None or decoder.pending):
        head = targets.head()
        far = head is not None and head[1] > max(gop.start_sec + _SEEK_SEC, gop.end_sec)
        if far and head is not None and seeks and gop.ends:
            landed = reader.seek(head[1])
            # Where a jump leads no further, read on: jumping again would lead there again.
            seeks = landed is None or landed.start_sec > gop.start_sec
            gop = landed or gop
        following = reader.next()
        report.end_sec = max(report.end_sec, gop.end_sec)
        named, end_sec = _on_screen(gop, following)
        until_sec = end_sec
        if gop.ends and following is not None:  # leave the last times to the next keyframe
            until_sec -= min(reach_sec, (until_sec - gop.start_sec) / 2)
        taken = targets.take_before(until_sec)
        wanted = _assign(gop, named, taken, reach_sec)
        if lag_sec > 0:
            wanted = _followed(wanted, named, lag_sec, end_sec, 4 if reach_sec > 0 else 2)
        done: set[int] = set()
        try:
            for found, frame in decoder.decode(gop, following, wanted):
                for index in found.indices:
                    done.add(index)
                    yield Pick(index, found.sec, frame, aspect, found.later)
                    reader.still_alive()
        except KeyFlagsLieError:
            targets.put_back(target for target in taken if target[0] not in done)
            raise
        gop = following
    report.finished = gop is None
    report.error = reader.error
    report.skipped_sec = reader.skipped_sec


def _on_screen(gop: Gop, following: Gop | None) -> tuple[list[tuple[float, int]], float]:
    """Return (time, name) of the frames to choose from, and until when they are on screen.

    Frames are named as in ``Wanted``. Some are only in the packets that follow: those that lead
    the next keyframe, and at the end of a part those that the decoder reorders.
    """
    named = list(zip(gop.times, gop.stamps or range(len(gop.times)), strict=True))
    if following is None:
        return named, gop.end_sec
    if gop.counted or following.counted or not named:
        return named, following.start_sec
    if gop.ends:
        return sorted(named + following.leading), following.start_sec
    named = sorted(named + list(zip(following.times, following.stamps, strict=True)))
    later = [sec for sec, _ in named if sec > gop.times[-1]]
    return named, later[0] if later else following.end_sec


def _assign(
    gop: Gop,
    named: list[tuple[float, int]],
    taken: list[tuple[int, float]],
    reach_sec: float,
) -> list[Wanted]:
    """Choose the frame for each time; ascending."""
    if not named or not taken:
        return []
    if gop.starts and gop.ends and taken[-1][1] - gop.start_sec <= reach_sec:
        named = named[:1]
    times = [sec for sec, _ in named]
    wanted: list[Wanted] = []
    for index, sec in taken:
        shown, name = named[max(0, bisect_right(times, sec + _TOLERANCE_SEC) - 1)]
        if not wanted or wanted[-1].name != name:
            wanted.append(Wanted(name, shown))
        wanted[-1].indices.append(index)
    return wanted


def _followed(
    wanted: list[Wanted],
    named: list[tuple[float, int]],
    lag_sec: float,
    end_sec: float,
    every: int,
) -> list[Wanted]:
    """Add what follows on every so many-th frame, if it is on screen before ``end_sec``."""
    times = [sec for sec, _ in named]
    both: list[Wanted] = []
    for at, found in enumerate(wanted, 1):
        both.append(found)
        later_sec = found.sec + lag_sec + _TOLERANCE_SEC
        sec, name = named[bisect_right(times, later_sec) - 1]
        chosen = [index for index in found.indices if index % every == 0]
        first = at == len(wanted) or name < wanted[at].name
        if chosen and first and name > found.name and later_sec < end_sec:
            both.append(Wanted(name, sec, chosen[:1], later=True))
    return both
