"""Which frames of a clip a trained network sees: the one sampling of training and embedding.

A clip is reduced to a *grid* of evenly spaced frames, `frame_step` frames of 25 a second apart
whatever its own rate; a *window* is `n_frames` neighbours on the grid, the network's input. A clip
too short for one window gets a denser grid instead of black frames, so that motion is still seen.
With several `phases` the grid is that many times finer, and a window takes every so many-th frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

if TYPE_CHECKING:
    from pathlib import Path

    from vidrec.types import Frames

Count = Annotated[int, Field(gt=0, lt=1 << 16)]
STEP_FPS = 25.0  # UCF101's rate, at which `frame_step` counts


@dataclass(frozen=True, slots=True)
class Sampling:
    """How clips become inputs `(n_frames, size, size, 3)`."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # where a checkpoint is read

    n_frames: Count = 10
    frame_step: Count = 15  # frames at 25 a second
    size: Count = 224
    fit: Literal["pad", "squash"] = "pad"
    phases: Count = 1

    def grid_times(self, start_sec: float, end_sec: float) -> list[float]:
        """The grid's instants in seconds, centred between `start_sec` and `end_sec`."""
        length = max(end_sec - start_sec, 0.0)
        wish = min(self.frame_step / STEP_FPS, length / self.n_frames)
        step = wish / self.phases
        count = self.n_frames * self.phases
        if step > 0:
            count = max(count, int(length / step + 1e-6))
        first = start_sec + (length - (count - 1) * step) / 2
        return [first + i * step for i in range(count)]

    def n_starts(self, n_grid: int) -> int:
        """How many windows there are on a grid of so many frames."""
        return n_grid - (self.n_frames - 1) * self.phases

    def window(self, grid: NDArray[np.generic], start: int) -> NDArray[np.generic]:
        """The window at a start: `(g, …) → (n_frames, …)`."""
        return grid[start : start + (self.n_frames - 1) * self.phases + 1 : self.phases]

    def spread(self, n_grid: int, n_windows: int) -> list[int]:
        """Starts of `n_windows` windows spread evenly over a grid, fewer where they coincide."""
        last = self.n_starts(n_grid) - 1
        if n_windows == 1:
            return [last // 2]
        return sorted({round(last * i / (n_windows - 1)) for i in range(n_windows)})


def read_grid(path: Path, times: Sequence[float], sampling: Sampling) -> tuple[Frames, int]:
    """The frames on screen at `times`, `(g, size, size, 3)` uint8 RGB, and how many there are.

    Where a file is damaged or ends earlier than its header says, the nearest frame before stands
    in; where nothing is left, all is black and the count 0.

    Raises:
        MediaError: the file is no video, or not a single frame can be decoded.
    """
    from vidrec.media.sampling import frames_at

    size = (sampling.size, sampling.size)
    frames, there = frames_at(path, times, size, fit=sampling.fit)
    n_seen = int(there.sum())
    return (frames[_filled(there)] if n_seen else frames), n_seen


def _filled(there: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For each place the last one before it that is there, or the first that is."""
    found = np.flatnonzero(there)
    last = np.searchsorted(found, np.arange(len(there)), side="right") - 1
    at: NDArray[np.intp] = found[np.maximum(last, 0)]
    return at
