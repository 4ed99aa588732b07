"""Interrupts: Ctrl-C and SIGTERM are answered within a second, whatever is going on.

Python tells a program of a signal only between two of its own steps; a model that is prepared, or
a decoder, may keep it from that for seconds. So a thread of its own listens, too.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from vidrec.files import drop_drafts

EXIT_CODE = 130
ANSWER_SECONDS = 0.9
_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})
_orderly = False  # an interrupt was heard by what ends in its own time


def watch() -> None:
    """End the process soon after an interrupt, unless it ends by itself before, or is about to.

    For the main thread of the command line, once.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)
    signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(ear, mouth), name="interrupts", daemon=True).start()


def _listen(ear: socket.socket, mouth: socket.socket) -> None:
    while numbers := ear.recv(64):
        if _SIGNALS.isdisjoint(numbers):
            continue
        time.sleep(ANSWER_SECONDS)
        if not _orderly:
            end(b"interrupted\n")


def end(last_words: bytes = b"") -> None:
    """End the process at once: no thread is waited for, and no draft is left lying."""
    drop_drafts()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    with suppress(OSError):
        os.write(2, last_words)
    os._exit(EXIT_CODE)


@contextmanager
def first_interrupt(cancel: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) ask for an end, so that work in hand is kept.

    A second one interrupts as usual. Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: object) -> None:
        global _orderly
        _orderly = not cancel.is_set()
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
