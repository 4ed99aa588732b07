"""Time as the client sees it, and the pace of its requests, which the processes of a library share.

The next free place, and until when the service wants to hear nothing, stand in a small file of
the library; where there is none, or it may not be written, the process keeps them to itself.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_BOTH = struct.Struct("<dd")
GROWTH, LONGEST = 1.4, 6.0  # of the waits between two looks, by the first
_BETWEEN = 0.002  # seconds between two tries to lock the file
# No place is further away than this: the clock began anew, with the machine.
_FURTHEST = 24 * 3600.0


class Stopped(Exception):
    """The run is to end; nothing is wrong."""


@dataclass(slots=True)
class Clock:
    """Time as the client sees it; tests hand in another.

    ``now`` is written down and compared with the service's; it jumps when somebody sets the
    clock. What is waited for is measured by ``steady``, which never does.
    """

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    stopped: Callable[[], bool] = lambda: False
    steady: Callable[[], float] = time.monotonic

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than the run goes on.

        Raises:
            Stopped: the run is to end.
        """
        until = self.steady() + seconds
        while not self.stopped():
            left = until - self.steady()
            if left <= 0:
                return
            self.sleep(min(left, 0.25))
        raise Stopped

    def looks(self, seconds: float, gap: float) -> Iterator[None]:
        """Yield now and after each wait for so long; the waits grow.

        Raises:
            Stopped: the run is to end.
        """
        until, longest = self.steady() + seconds, LONGEST * gap
        while True:
            yield
            if self.steady() >= until:
                return
            self.wait(gap)
            gap = min(gap * GROWTH, longest)


@dataclass(slots=True)
class _Places:
    """By the steady clock: the next free place, and until when nobody may ask."""

    next: float = 0.0
    held: float = 0.0


class Pace:
    """Spaces requests evenly, so that no minute sees more than ``rpm`` of them."""

    def __init__(self, rpm: int, clock: Clock, file: Path | None = None) -> None:
        # A little wider: requests that were held up on their way must not crowd a minute.
        self._gap = 1.02 * 60.0 / rpm
        self._clock = clock
        self._file = file
        self._own = _Places()
        self._turn = threading.Lock()

    def wait(self, tell: Callable[[float], None] = lambda seconds: None) -> None:
        """Wait for the next free place; ``tell`` hears how far away it is.

        Raises:
            Stopped: the run is to end.
        """
        while True:
            with self._places() as places:
                place = max(places.next, places.held, self._clock.steady())
                places.next = place + self._gap
            while (early := place - self._clock.steady()) > 0:
                tell(early)
                self._clock.wait(early)
            with self._places() as places:
                if places.held <= self._clock.steady():
                    return

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so long, those who wait included: the service has had enough."""
        with self._places() as places:
            places.held = max(places.held, self._clock.steady() + seconds)

    @contextmanager
    def _places(self) -> Iterator[_Places]:
        """The places, to be read and changed while no other thread or process does."""
        with self._turn:
            if self._file is None or not self._file.parent.is_dir():
                yield self._own
                return
            from filelock import FileLock

            lock = FileLock(f"{self._file}.lock")
            try:
                lock.acquire(poll_interval=_BETWEEN)
            except (OSError, NotImplementedError):  # no folder, or not to be written
                self._file = None
                yield self._own
                return
            try:
                places = self._read(self._file)
                before = (places.next, places.held)
                yield places
                if before != (places.next, places.held):
                    self._file.write_bytes(_BOTH.pack(places.next, places.held))
            except OSError:  # a full disk
                self._file = None
            finally:
                lock.release()

    def _read(self, file: Path) -> _Places:
        try:
            places = _Places(*_BOTH.unpack(file.read_bytes()))
        except (FileNotFoundError, struct.error):
            return _Places()
        last = self._clock.steady() + _FURTHEST
        return places if max(places.next, places.held) <= last else _Places()
