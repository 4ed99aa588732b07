"""Frames for the models: evenly spaced over clips, or at chosen times.

Embedding, training and evaluation all sample here, by one rule: the frame at a time is the one on
screen then, by the clock of a player (see ``media.picking``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vidrec.media.clips import split_clips
from vidrec.media.easel import Easel
from vidrec.media.gops import GopReader
from vidrec.media.picking import Pick, Report, pick_frames, pick_from
from vidrec.media.picture import Fit, Painter
from vidrec.media.probe import describe, header_end, measure_duration
from vidrec.media.source import Source, has_index, never, open_video, undecodable
from vidrec.types import Clip, VideoInfo

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from vidrec.types import Frames

# Footage of at least this length may be sampled sparingly: at half as many instants, and at
# keyframes within half an instant's share of the clip, but no further away than this. On captioned
# clips that costs no retrieval quality; two or three seconds do.
SPARING_MIN_SEC = 60.0
SPARING_REACH_SEC = 1.25


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """The frames of one clip.

    Attributes:
        clip: what of the video it is.
        frames: ``(u, h, w, 3)`` uint8 RGB, the distinct frames in order.
        times: ``(u,)`` when each goes on screen, in seconds from the video's first frame.
        counts: ``(u,)`` for how many of the evenly spaced instants each frame stands; a mean over
            the instants is a mean over frames weighted by these.
        later: ``(h, w, 3)`` what is on screen ``lag_sec`` after some of the frames, by their place.
    """

    clip: Clip
    frames: Frames
    times: tuple[float, ...]
    counts: tuple[int, ...]
    later: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one file is sampled, and what is found wrong with it meanwhile."""

    path: Path
    clip_sec: float
    n_frames: int
    size: tuple[int, int]
    fit: Fit
    reach_sec: float
    lag_sec: float
    threads: int
    cancelled: Callable[[], bool]
    notes: list[str]
    reports: list[Report] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Film:
    """An open video that is about to be sampled.

    Attributes:
        clips: as its header has it; what is there may be less or more.
        end_sec: when it ends by its header.
    """

    source: Source
    clips: list[Clip]
    end_sec: float
    _plan: _Plan
    _reader: GopReader
    _tell: Callable[[VideoInfo], None] | None

    @property
    def can_be_parted(self) -> bool:
        """Whether sampling several stretches at once gives the same frames, sooner."""
        return self._plan.reach_sec > 0 and self._reader.can_seek and has_index(self.source)

    def sample(
        self,
        first: int = 0,
        stop: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[ClipFrames]:
        """Yield the frames of some of the clips, and of those that come after the last.

        The stretch from clip 0 on can be sampled once, as it reads on where the file was opened;
        the others open it anew, and may be sampled by other threads meanwhile.
        """
        plan = replace(self._plan, cancelled=cancelled) if cancelled else self._plan
        stop = len(self.clips) if stop is None else stop
        with ExitStack() as kept:
            source, reader = self.source, self._reader
            if first:
                source = kept.enter_context(open_video(plan.path, plan.cancelled))
                reader = GopReader(source, exact=False)
            easel = kept.enter_context(closing(Easel(Painter(plan.size, plan.fit), source)))
            tell = None if first else self._tell
            for sample in _sample(plan, easel, reader, self.clips, first, stop, self.end_sec):
                if tell is not None and easel.shown is not None:
                    tell(describe(self.source, easel.shown, self.end_sec))
                    tell = None
                yield sample

    def conclude(self, found: bool) -> None:
        """Note what was wrong with the file, now that it was sampled.

        Raises:
            MediaError: nothing was ``found``.
        """
        if not found:
            raise undecodable(self.source)
        _remark(self._plan.reports, self.end_sec, self._plan.notes)


@contextmanager
def open_film(
    path: Path,
    clip_sec: float,
    n_frames: int,
    size: tuple[int, int],
    *,
    fit: Fit = "squash",
    sparing: Literal["auto", "never"] = "auto",
    lag_sec: float = 0.0,
    threads: int = 1,
    info: VideoInfo | None = None,
    tell: Callable[[VideoInfo], None] | None = None,
    warnings: list[str] | None = None,
    cancelled: Callable[[], bool] = never,
) -> Iterator[Film]:
    """Open a video of which ``n_frames`` evenly spaced frames of each clip are to be sampled.

    The instants are the middles of ``n_frames`` equal parts of the clip. Clips are those of
    ``split_clips`` over the time that the picture is there; the packets are believed before the
    header: a picture that ends early or goes on for longer changes the last clips. A clip of which
    nothing can be decoded is left out. Clips in a row that show one still share one array.

    Args:
        path: a video file.
        clip_sec: the wished length of a clip.
        n_frames: instants in each clip.
        size: (h, w) of the frames.
        fit: how a frame comes to that size; see ``media.picture.fit_box``.
        sparing: ``auto`` takes half as many instants in a video of a minute or more, and lets
            keyframes stand for what is near them; ``never`` is always exact.
        lag_sec: half of the frames (a quarter in sparing) come with what follows so much later.
        threads: of the decoder; 1 is best where several videos are decoded at once.
        info: the result of ``probe``, if known, to spare finding out the length.
        tell: is called with what ``probe`` would return, before the first clip: so a file need not
            be opened twice.
        warnings: takes one-line remarks on what was wrong with the file.
        cancelled: true once this is to end.

    Raises:
        MediaError: the file is no video.
        TransientError: it cannot be read now.
        Cancelled: ``cancelled`` said so.
    """
    if n_frames < 1:
        raise ValueError(f"n_frames must be positive. Received: n_frames={n_frames}")
    notes = warnings if warnings is not None else []
    with open_video(path, cancelled) as source:
        end_sec = info.duration_sec if info else None
        if end_sec is None and header_end(source, 0.0) is None:
            end_sec = measure_duration(path, cancelled)
        reach_sec = 0.0
        if sparing == "auto" and (end_sec or header_end(source, 0.0) or 0) >= SPARING_MIN_SEC:
            n_frames = (n_frames + 1) // 2
            reach_sec = min(SPARING_REACH_SEC, clip_sec / n_frames / 2)
        reader = GopReader(source, exact=reach_sec <= 0)
        start_sec = reader.start_sec
        end_sec = end_sec or header_end(source, start_sec) or measure_duration(path, cancelled)
        end_sec = max(end_sec, start_sec + 0.001)
        plan = _Plan(
            path, clip_sec, n_frames, size, fit, reach_sec, lag_sec, threads, cancelled, notes
        )
        clips = split_clips(end_sec - start_sec, clip_sec, start_sec)
        yield Film(source, clips, end_sec, plan, reader, tell)


def iter_clip_frames(
    path: Path, clip_sec: float, n_frames: int, size: tuple[int, int], **options: Any
) -> Iterator[ClipFrames]:
    """Yield the frames of each clip, one after the other; all arguments are ``open_film``'s.

    Raises:
        MediaError: the file is no video, or not a single frame can be decoded.
        TransientError: it cannot be read now.
        Cancelled: ``cancelled`` said so.
    """
    with open_film(path, clip_sec, n_frames, size, **options) as film:
        found = False
        for sample in film.sample():
            found = True
            yield sample
        film.conclude(found)


def clips_of(path: Path, clip_sec: float, info: VideoInfo | None = None) -> list[Clip]:
    """Return the clips of a video as its header has them, from when its picture begins.

    Raises:
        MediaError: the file is no video.
        TransientError: it cannot be read now.
    """
    with open_film(path, clip_sec, 1, (1, 1), sparing="never", info=info) as film:
        return film.clips


def _sample(
    plan: _Plan,
    easel: Easel,
    reader: GopReader,
    clips: list[Clip],
    first: int,
    stop: int,
    end_sec: float,
) -> Iterator[ClipFrames]:
    """Sample the clips from ``first`` up to ``stop``, and those after them if the video goes on.

    Wanted are the instants of all clips that come, so that a GOP is decoded in the same way where
    a stretch ends in its middle.
    """
    beyond_sec = end_sec + max(1.0, 0.05 * end_sec)
    wanted = (t for clip in clips[first:] for t in _instants(clip, plan.n_frames))
    report = Report()
    plan.reports.append(report)
    picks = pick_from(
        reader, chain(wanted, [beyond_sec]), reach_sec=plan.reach_sec, lag_sec=plan.lag_sec,
        threads=plan.threads, report=report,
    )  # fmt: skip
    last: ClipFrames | None = None
    for number, of_clip in groupby(picks, lambda pick: first + pick.index // plan.n_frames):
        if last is not None:
            yield last
        last = None
        if number >= stop < len(clips):
            return
        if number == len(clips):  # there is a frame beyond the end that the header tells
            yield from _sample_rest(plan, easel, end_sec)
            return
        last = _paint(easel, clips[number], of_clip)
    last = _mend_tail(plan, easel, last, report, clips[first].start_sec)
    if last is not None:
        yield last


def _sample_rest(plan: _Plan, easel: Easel, end_sec: float) -> Iterator[ClipFrames]:
    """Sample what comes after the end that the header tells."""
    real_sec = measure_duration(plan.path, plan.cancelled)
    plan.notes.append(f"lasts {real_sec:.1f} s, not {end_sec:.1f} s as its header says")
    with open_video(plan.path, plan.cancelled) as source:
        reader = GopReader(source, exact=plan.reach_sec <= 0)
        clips = split_clips(real_sec - end_sec, plan.clip_sec, end_sec)
        yield from _sample(plan, easel, reader, clips, 0, len(clips), real_sec)


def _mend_tail(
    plan: _Plan, easel: Easel, last: ClipFrames | None, report: Report, start_sec: float
) -> ClipFrames | None:
    """Sample the last clip anew over what there is of it, if the video ends within it."""
    clip = last.clip if last is not None else Clip(start_sec, math.inf)
    complete = last is not None and sum(last.counts) == plan.n_frames
    if complete or not report.finished or not clip.start_sec < report.end_sec < clip.end_sec:
        return last
    clip = Clip(clip.start_sec, report.end_sec)
    picks = pick_frames(
        plan.path, _instants(clip, plan.n_frames), lag_sec=plan.lag_sec,
        threads=plan.threads, cancelled=plan.cancelled,
    )  # fmt: skip
    return _paint(easel, clip, picks) or last


def _instants(clip: Clip, n_frames: int) -> Iterator[float]:
    step = (clip.end_sec - clip.start_sec) / n_frames
    return (clip.start_sec + (i + 0.5) * step for i in range(n_frames))


def _paint(easel: Easel, clip: Clip, picks: Iterable[Pick]) -> ClipFrames | None:
    """Collect a clip's frames; those picked several times in a row are kept once."""
    pictures: list[NDArray[np.uint8]] = []
    times: list[float] = []
    counts: list[int] = []
    later: dict[int, NDArray[np.uint8]] = {}
    shown: VideoFrame | None = None
    for pick in picks:
        if pick.later:
            if pictures and pick.frame is not shown:
                later[len(pictures) - 1] = easel.paint(pick)
        elif pick.frame is shown:
            counts[-1] += 1
        else:
            shown = pick.frame
            pictures.append(easel.paint(pick))
            times.append(pick.sec)
            counts.append(1)
    if not pictures:
        return None
    return ClipFrames(clip, easel.stack(pictures), tuple(times), tuple(counts), later)


def _remark(reports: list[Report], end_sec: float, notes: list[str]) -> None:
    real_sec = max(report.end_sec for report in reports)
    finished = any(report.finished for report in reports)
    if finished and real_sec < end_sec - max(1.0, 0.05 * end_sec):
        notes.append(f"the picture ends at {real_sec:.1f} s of {end_sec:.1f} s")
    notes.extend(dict.fromkeys(report.error for report in reports if report.error))
    if skipped_sec := max(report.skipped_sec for report in reports):
        notes.append(f"its clock jumps by {skipped_sec / 3600:.1f} h, which is left out")
    if damaged := sum(report.damaged for report in reports):
        notes.append(f"damaged in {damaged} places")


def frames_at(
    path: Path,
    times: Sequence[float],
    size: tuple[int, int],
    *,
    fit: Fit = "pad",
    threads: int = 1,
    cancelled: Callable[[], bool] = never,
) -> tuple[Frames, NDArray[np.bool_]]:
    """Return the frames on screen at ``times``: ``(t, h, w, 3)`` uint8 RGB, and ``(t,)`` bool.

    ``times`` are seconds as a player counts them, in any order. Where one lies before the first
    frame or after the last one's end, the picture is black and the second array False.

    Raises:
        MediaError: the file is no video, or not a single frame can be decoded.
        TransientError: it cannot be read now.
        Cancelled: ``cancelled`` said so.
    """
    frames = np.zeros((len(times), *size, 3), np.uint8)
    there = np.zeros(len(times), np.bool_)
    report = Report()
    with (
        open_video(path, cancelled) as source,
        closing(Easel(Painter(size, fit), source)) as easel,
    ):
        reader = GopReader(source)
        start_sec = reader.start_sec
        order = sorted((sec, i) for i, sec in enumerate(times) if sec >= start_sec)
        wanted = [sec for sec, _ in order]
        for pick in pick_from(reader, wanted, threads=threads, report=report):
            place = order[pick.index][1]
            frames[place], there[place] = easel.paint(pick), True
        if order and not there.any() and (order[0][0] < report.end_sec or not report.end_sec):
            raise undecodable(source)
    return frames, there
