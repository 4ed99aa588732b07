"""The local engine: several tasks at once, one a thread.

Threads are enough: the decoder and ONNX Runtime let go of the interpreter while they work.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from vidrec.media.source import load_decoder

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
_LOOK_SECONDS = 0.1  # between two looks whether the run ends


def in_threads(
    tasks: Iterator[Task],
    work: Callable[[Task], Outcome | None],
    *,
    workers: int,
    may_begin: Callable[[int], bool] = lambda in_work: True,
    cancelled: Callable[[], bool] = lambda: False,
    patience_sec: float = 0.5,
    spare: int = 1,
) -> Iterator[Outcome]:
    """Yield each task's outcome as it is done.

    ``tasks`` is read in the caller's thread and only as far ahead as there are workers, with
    ``spare`` ones that wait, so that memory does not grow with their number. ``may_begin`` is
    asked before each, with the number in work. What a task raises ends the run, after the others
    in work were yielded. Once ``cancelled``, what is not done after ``patience_sec`` is left
    behind in its thread.
    """
    load_decoder()  # by one thread, before others need parts of it
    inbox: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    outbox: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
    for number in range(workers):
        threading.Thread(
            target=_serve, args=(inbox, outbox, work), name=f"work_{number}", daemon=True
        ).start()
    in_work, end = 0, 0.0
    error: BaseException | None = None
    try:
        while True:
            while in_work < workers + spare and not (error or cancelled()) and may_begin(in_work):
                task = next(tasks, None)
                if task is None:
                    break
                inbox.put(task)
                in_work += 1
            if not in_work or (end and time.monotonic() > end):
                break
            if cancelled():
                end = end or time.monotonic() + patience_sec
            try:
                done = outbox.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            in_work -= 1
            if isinstance(done, BaseException):
                error = error or done
            elif done is not None:
                yield done
    finally:
        for _ in range(workers):
            inbox.put(None)
    if error is not None:
        raise error


def _serve(
    inbox: queue.SimpleQueue[Task | None],
    outbox: queue.SimpleQueue[Outcome | BaseException | None],
    work: Callable[[Task], Outcome | None],
) -> None:
    while (task := inbox.get()) is not None:
        try:
            outbox.put(work(task))
        except BaseException as exc:  # the coordinator waits for an answer to each
            outbox.put(exc)
