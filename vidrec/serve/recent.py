"""Recent: pages of the list as they were a moment ago, for all who turn to them meanwhile."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

MOST_BYTES = 4_000_000


@dataclass
class Recent:
    """Keeps what was made for some seconds, as long as what it was made from has its version."""

    seconds: float
    most: int = MOST_BYTES  # bytes
    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[Hashable, tuple[float, object, bytes]] = field(default_factory=OrderedDict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Hashable, version: object, make: Callable[[], bytes]) -> bytes:
        """Return what is kept under a key, or make it. Threads may share it."""
        now = self.clock()
        with self._mutex:
            found = self._kept.get(key)
        if found is not None and found[1] == version and now - found[0] <= self.seconds:
            return found[2]
        made = make()
        with self._mutex:
            self._kept.pop(key, None)
            self._kept[key] = (now, version, made)
            while sum(len(one[2]) for one in self._kept.values()) > self.most:
                self._kept.popitem(last=False)
        return made
