"""Together: threads that ask at the same time are answered by one scan.

A scan takes as long as it takes to read the vectors from memory, by all cores. Two at a time only
get into each other's way; for many queries the vectors are read once, which costs little more than
for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidrec.stores.base import Found

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 32  # queries of a scan, beyond those of one caller


@dataclass(eq=False)
class _Wish:
    """What a thread waits for."""

    key: Hashable
    vectors: NDArray[np.float32]
    found: Sequence[Found] | None = None
    error: Exception | None = None


class Together:
    """Lets one thread scan at a time, for all that wait for the same kind of scan."""

    def __init__(self) -> None:
        self._turn, self._mutex = threading.Lock(), threading.Lock()
        self._waiting: list[_Wish] = []

    def __call__(
        self,
        key: Hashable,
        vectors: NDArray[np.float32],
        scan: Callable[[NDArray[np.float32]], Sequence[Found]],
    ) -> list[Found]:
        """Return what ``scan`` finds for ``(q, dim)`` vectors; scans of one key are alike."""
        mine = _Wish(key, vectors)
        with self._mutex:
            self._waiting.append(mine)
        with self._turn:
            if mine.found is None and mine.error is None:
                self._answer(mine, scan)
        if mine.error is not None:
            raise mine.error
        assert mine.found is not None
        return list(mine.found)

    def _answer(self, mine: _Wish, scan: Callable[[NDArray[np.float32]], Sequence[Found]]) -> None:
        with self._mutex:
            others = [wish for wish in self._waiting if wish.key == mine.key and wish is not mine]
            wishes = [mine, *others[:MOST]]
            self._waiting = [wish for wish in self._waiting if wish not in wishes]
        try:
            found = scan(np.concatenate([wish.vectors for wish in wishes]))
        except Exception as exc:
            for wish in wishes:
                wish.error = exc
            return
        start = 0
        for wish in wishes:
            wish.found = found[start : start + len(wish.vectors)]
            start += len(wish.vectors)
