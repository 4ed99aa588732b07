"""Tone: what pictures say of themselves, whatever it is that they show.

Five quantities, each a mean over a clip's frames. All are of pictures squashed to one small size,
so that 320x240 and 4K compare; bars of letterbox and pillarbox are left out. Lighting
key, colour variance and motion, with the length of shots, tell comedy, drama, action and horror
apart (Rasheed, Sheikh and Shah 2005, "On the use of computable features for film classification"),
and light, colour and motion recommend films better than genres do (Deldjoo et al. 2016,
"Content-based video recommendation system based on stylistic visual features").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.types import Frames

    Floats = NDArray[Any]

LAG_SEC = 0.1  # between the two frames of a pair that tells of motion
GRID = 56  # rows and columns that a picture is looked at by
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R BT.601
_BAR_LEVEL, _BAR_SHARE = 16, 0.97  # a row is of a bar if so many of its pixels are no brighter
_MAX_BAR = 0.4  # of the height or width, at each side
_STILL = 0.2  # grey levels; less is noise
_COMMONEST = 5
_LEAST = 8  # rows and columns to look for a shift by


@dataclass(frozen=True, slots=True)
class Tone:
    """The tone of a clip or a picture.

    Attributes:
        light: mean luma, 0 to 1.
        colour: colourfulness M of Hasler and Süsstrunk (2003, "Measuring colourfulness in natural
            images"): 0 is grey, larger is more colourful; the reference clips have 37 on average.
        warmth: mean of their two opponent axes together, red − green plus yellow − blue, in grey
            levels; negative is cold.
        motion: mean of ln(0.2 + difference) over pairs of frames 0.1 s apart, the difference in
            mean grey levels of a 56x56 picture after the camera's shift was taken out; None where
            nothing tells.
        drawn: share of pixels that have one of the five commonest of 4,096 colours; high in
            drawings, titles and screens.
    """

    light: float
    colour: float
    warmth: float
    motion: float | None
    drawn: float


def measure(
    frames: Frames,
    counts: Sequence[int] | None = None,
    later: Mapping[int, NDArray[np.uint8]] | None = None,
) -> Tone:
    """Return the tone of a clip.

    Args:
        frames: ``(t, h, w, 3)`` RGB bytes, at least 56 on a side for full precision.
        counts: ``(t,)`` how much each frame counts; all the same by default.
        later: ``(h, w, 3)`` what was on screen ``LAG_SEC`` after some of them, by their place.
    """
    points = _points(frames)  # t y x 3
    inside = _picture(points)
    points = points[:, inside[0], inside[1]]
    drawn = np.average(_commonest(points), weights=counts)
    points = points.astype(np.float32)
    red_green = points[..., 0] - points[..., 1]
    yellow_blue = (points[..., 0] + points[..., 1]) / 2 - points[..., 2]
    spread = np.hypot(red_green.std(axis=(1, 2)), yellow_blue.std(axis=(1, 2)))
    mean = red_green.mean(axis=(1, 2)), yellow_blue.mean(axis=(1, 2))
    colour = spread + 0.3 * np.hypot(*mean)
    pairs = [(frames[place], picture) for place, picture in (later or {}).items()]
    moved = [_difference(_grey(before)[inside], _grey(after)[inside]) for before, after in pairs]
    return Tone(
        light=float(np.average((points @ _LUMA).mean(axis=(1, 2)), weights=counts)) / 255,
        colour=float(np.average(colour, weights=counts)),
        warmth=float(np.average(mean[0] + mean[1], weights=counts)),
        motion=float(np.log(_STILL + np.array(moved)).mean()) if moved else None,
        drawn=float(drawn),
    )


def _points(frames: Frames) -> Frames:
    """Return every n-th pixel of every n-th row, about 56 by 56 of them."""
    down, across = _steps(frames.shape[1:3])
    # What follows reads them many times: with gaps between them that takes longer.
    return np.ascontiguousarray(frames[:, down // 2 :: down, across // 2 :: across])


def _steps(size: tuple[int, ...]) -> tuple[int, int]:
    return max(1, size[0] // GRID), max(1, size[1] // GRID)


def _picture(points: Frames) -> tuple[slice, slice]:
    """Return the rows and the columns that are of no bar in some frame."""
    red, green, blue = np.moveaxis(points.max(axis=0), -1, 0)
    lit = np.maximum(np.maximum(red, green), blue) > _BAR_LEVEL  # y x
    rows, columns = lit.mean(axis=1), lit.mean(axis=0)
    return _within(rows > 1 - _BAR_SHARE), _within(columns > 1 - _BAR_SHARE)


def _within(lit: NDArray[np.bool_]) -> slice:
    if not lit.any():
        return slice(None)
    most = int(_MAX_BAR * len(lit))
    before, after = int(lit.argmax()), int(lit[::-1].argmax())
    return slice(min(before, most), len(lit) - min(after, most))


def _commonest(points: Frames) -> list[float]:
    """Return which share of each picture's pixels has one of its commonest colours."""
    red, green, blue = (points[..., channel] >> 4 for channel in range(3))
    colours = (red.astype(np.uint16) << 8) + (green << 4) + blue
    shares = []
    for picture in colours:
        counts = np.bincount(picture.ravel())
        counts = np.sort(counts[counts > 0])  # most of the 4,096 are not there
        shares.append(float(counts[-_COMMONEST:].sum() / picture.size))
    return shares


def _grey(frame: NDArray[np.uint8]) -> Floats:
    """Return the green of ``(h, w, 3)``, averaged over as many areas as there are points."""
    down, across = _steps(frame.shape[:2])
    rows, columns = frame.shape[0] // down, frame.shape[1] // across
    # Copied out first, and one axis after the other: half of the time.
    green = np.ascontiguousarray(frame[: rows * down, : columns * across, 1])
    sums = green.reshape(rows, down, -1).sum(axis=1, dtype=np.uint16)
    grey: Floats = sums[:, ::across].astype(np.float32)
    for offset in range(1, across):
        grey += sums[:, offset::across]
    grey /= down * across
    return grey


def _difference(before: Floats, after: Floats) -> float:
    """Return how far two pictures differ in the mean, shifted to where they fit best."""
    h, w = (length // 4 * 4 for length in before.shape)  # Fourier transforms dread primes
    best = float(np.abs(before - after).mean())
    if min(h, w) < _LEAST:
        return best
    before, after = before[:h, :w], after[:h, :w]
    y, x = _shift(before, after)
    if max(abs(y) / h, abs(x) / w) > 0.25:  # a cut, or chance
        return best
    shifted = np.abs(_cut(before, y, x) - _cut(after, -y, -x))
    return min(best, float(shifted.mean()))


def _cut(picture: Floats, y: int, x: int) -> Floats:
    """Leave out as many first rows and columns; last ones where negative."""
    h, w = picture.shape
    return picture[max(0, y) : h + min(0, y), max(0, x) : w + min(0, x)]


def _shift(before: Floats, after: Floats) -> tuple[int, int]:
    """Return by how many rows and columns ``after`` is shifted: where they correlate most."""
    window = _window(before.shape)
    spectra = [np.fft.rfft2((grey - grey.mean()) * window) for grey in (before, after)]
    correlation = np.fft.irfft2(spectra[0] * np.conj(spectra[1]), before.shape)
    found = np.unravel_index(int(correlation.argmax()), before.shape)
    y, x = (
        int(at) - n if at > n // 2 else int(at) for at, n in zip(found, before.shape, strict=True)
    )
    return y, x


@lru_cache(maxsize=8)
def _window(size: tuple[int, ...]) -> Floats:
    """Return what fades a picture out towards its edges, which do not move with it."""
    return np.outer(*(np.hanning(length) for length in size))
