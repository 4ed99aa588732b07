"""Rates: how often a client may ask."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from vidrec.serve.problems import Problem

MOST_CLIENTS = 10_000  # are remembered; of more the one that asked longest ago is forgotten


@dataclass(slots=True)
class Rates:
    """So many requests a minute from each client, as many at once; 0 for no limit."""

    a_minute: int
    clock: Callable[[], float] = time.monotonic
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, client: str) -> None:
        """Count a request.

        Raises:
            Problem: the client has to wait.
        """
        if not self.a_minute:
            return
        now, most = self.clock(), float(self.a_minute)
        left, at = self._left.pop(client, (most, now))
        left = min(most, left + (now - at) * most / 60)
        self._left[client] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        if left < 1:
            wait = math.ceil((1 - left) * 60 / most)
            raise Problem(
                429, "rate", f"too many requests: try again in {wait} s", {"Retry-After": str(wait)}
            )
