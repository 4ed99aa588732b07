"""Thrift: a server gives memory and processors back as soon as it does not need them.

glibc gives each thread a heap of its own, and once a large array was freed it takes the next ones
from these heaps, where holes of megabytes stay behind: with sixteen threads that scan a large
index, more than all the rest of the server. OpenBLAS keeps the threads of a product turning for
some 30 ms after it, on processors that the answer's other parts and the clients want.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

ARENA_MAX, MMAP_THRESHOLD = -8, -3  # of malloc.h
MOST_HEAPS = 2
OWN_MAPPING = 1 << 18  # bytes from which on an array is a mapping of its own, unmapped when freed
SOONEST = "4"  # two to the power of that many cycles


def keep_little() -> None:
    """Have this process keep little of what it frees; nothing, where its C library is no glibc."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # musl has no mallopt, and keeps nothing
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(ARENA_MAX, MOST_HEAPS)
        mallopt(MMAP_THRESHOLD, OWN_MAPPING)


def rest_soon() -> None:
    """Have OpenBLAS's threads rest at once. It is told before NumPy is imported, or never."""
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", SOONEST)
