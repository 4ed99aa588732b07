"""Together: threads that ask at the same time are answered by one scan.

A scan takes as long as it takes to read the vectors from memory, by all cores. Two at a time only
get into each other's way; for many queries the vectors are read once, which costs little more than
for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


@dataclass(eq=False)
class _Wish:
    """What a thread waits for."""

    key: Hashable
    vectors: Matrix
    woken: threading.Event = field(default_factory=threading.Event)
    scores: Matrix | None = None
    error: BaseException | None = None


class Together:
    """Lets one thread scan at a time, for all that wait for the same kind of scan.

    Who is answered goes on at once; of those that are not, the first that waits scans next.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: list[_Wish] = []
        self._scanning = False

    def __call__(
        self, key: Hashable, vectors: Matrix, most: int, scan: Callable[[Matrix], Matrix]
    ) -> Matrix:
        """Return the scores ``(q, n)`` that ``scan`` gives to ``(q, dim)`` vectors.

        Scans of one key are alike; no more than ``most`` vectors are scanned together.
        """
        mine = _Wish(key, vectors)
        with self._mutex:
            self._waiting.append(mine)
            waits, self._scanning = self._scanning, True
        if waits:
            mine.woken.wait()
        if mine.scores is None and mine.error is None:
            self._answer(self._taken(mine, most), scan)
        if mine.error is not None:
            raise mine.error
        assert mine.scores is not None
        return mine.scores

    def _taken(self, mine: _Wish, most: int) -> list[_Wish]:
        """Return a thread's own wish and those that can be answered with it; they wait no more."""
        wishes, count = [mine], len(mine.vectors)
        with self._mutex:
            for wish in self._waiting:
                if wish.key == mine.key and wish is not mine and count + len(wish.vectors) <= most:
                    wishes.append(wish)
                    count += len(wish.vectors)
            self._waiting = [wish for wish in self._waiting if wish not in wishes]
        return wishes

    def _answer(self, wishes: list[_Wish], scan: Callable[[Matrix], Matrix]) -> None:
        try:
            scores = scan(np.concatenate([wish.vectors for wish in wishes]))
            start = 0
            for wish in wishes:
                wish.scores = scores[start : start + len(wish.vectors)]
                start += len(wish.vectors)
        except BaseException as exc:  # whoever waits is told, whatever it is
            for wish in wishes:
                wish.error = exc
        with self._mutex:
            self._scanning = bool(self._waiting)
            following = self._waiting[:1]
        for wish in (*wishes, *following):
            wish.woken.set()
