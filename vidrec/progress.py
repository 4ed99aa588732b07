"""How a long stage tells what it does, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """A listener, which may be called from any thread; this one ignores everything."""

    def start(self, task: str, total: int | None, unit: str) -> None:
        """A task begins; ``total`` counts units ("video", "B"), None where it is not known."""

    def step(self, count: int = 1, detail: str = "") -> None:
        """So many more units are done; ``detail`` is a few words about the last one."""

    def part(self, detail: str, share: float) -> None:
        """Of one long unit in work such a share, 0 to 1, is done."""

    def warn(self, message: str) -> None:
        """Something the user should know, in one line; the task goes on."""

    def finish(self) -> None:
        """The task is over."""


Silent = Progress


@contextmanager
def finishing(progress: Progress) -> Iterator[None]:
    """A task that is over when the block is left, also by an error."""
    try:
        yield
    finally:
        progress.finish()
