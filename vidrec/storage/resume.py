"""Downloads that go on where they broke off, whoever sends the bytes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from vidrec.errors import Cancelled, StorageError

TRIES = 5  # without a further megabyte in between
PROGRESS = 1 << 20
LONGEST_WAIT = 300.0  # seconds that a server may ask for
SLOW_SECONDS, SLOW_BYTES = 20.0, 20_000  # less than that in so long is no sending


class Passing(StorageError):
    """What a later try may not meet; ``wait`` is how long the server asks to wait, if it does."""

    def __init__(self, message: str, *, code: str = "", wait: float | None = None) -> None:
        super().__init__(message, code=code)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Stream:
    """An open download: from which byte it comes, how many there are in all (-1: not said)."""

    start: int
    total: int
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries again what may pass, says so, and stops where the run ends."""

    say: Callable[[str], None] = lambda line: None
    cancelled: Callable[[], bool] = lambda: False

    def wait(self, error: StorageError, tries: int) -> None:
        """Wait before one more try.

        Raises:
            StorageError: the error itself, where there is to be none.
            Cancelled: the run ends.
        """
        if not isinstance(error, Passing) or tries >= TRIES:
            raise error
        seconds = error.wait
        if seconds is None:
            seconds = random.uniform(0.5, 1.0) * 2 ** (tries - 1)
        if seconds > LONGEST_WAIT:
            raise StorageError(f"{error}: it asks to wait {seconds / 60:.0f} minutes") from error
        if seconds >= 2 or tries > 2:
            self.say(f"{error}; trying again in {seconds:.0f} s ({tries} of {TRIES - 1})")
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, 0.2))

    def check(self) -> None:
        """Raise ``Cancelled`` where the run ends."""
        if self.cancelled():
            raise Cancelled("interrupted")

    def __call__(self, ask: Callable[[], tuple[int, str]]) -> tuple[int, str]:
        """Ask until there is an answer."""
        for tries in range(1, TRIES + 1):
            try:
                return ask()
            except StorageError as exc:
                self.wait(exc, tries)
        raise AssertionError  # the last wait raises


Open: TypeAlias = "Callable[[int], AbstractContextManager[Stream]]"


def download(
    name: str,
    open_at: Open,
    file: BinaryIO,
    guard: Callable[[int], None],
    patience: Patience,
) -> None:
    """Write a download into a file, from its first byte to its last.

    Args:
        name: what is downloaded, for messages.
        open_at: opens it from a byte on; it may come from the first one all the same.
        file: is emptied where a download begins anew.
        guard: is told how many bytes there are by now, and may raise.

    Raises:
        StorageError: it cannot be read to its end.
        Cancelled: the run ends.
    """
    got = mark = 0
    tries = 0
    while True:
        try:
            with open_at(got) as stream:
                if stream.start != got:
                    got = mark = 0
                    file.seek(0)
                    file.truncate()
                for chunk in _fast_enough(name, stream.chunks, patience):
                    file.write(chunk)
                    got += len(chunk)
                    guard(got)
                if stream.total in (-1, got):
                    return
                raise Passing(f"{name} broke off after {got} of {stream.total} bytes")
        except StorageError as exc:
            tries = 1 if got - mark >= PROGRESS else tries + 1
            mark = got
            patience.wait(exc, tries)


def _fast_enough(name: str, chunks: Iterator[bytes], patience: Patience) -> Iterator[bytes]:
    """Pass chunks on.

    Raises:
        StorageError: they come so slowly that the file would never be there.
    """
    since, count = time.monotonic(), 0
    for chunk in chunks:
        patience.check()
        yield chunk
        count += len(chunk)
        now = time.monotonic()
        if now - since >= SLOW_SECONDS:
            if count < SLOW_BYTES:
                raise StorageError(
                    f"{name} sends no more than {count} bytes in {now - since:.0f} s"
                )
            since, count = now, 0
