"""The heap: what was asked with is given back to the system, so that a server's memory stays flat.

glibc gives each thread a heap of its own, and once a large array was freed it takes the next ones
from these heaps, where holes of megabytes stay behind: with sixteen threads that scan a large
index, more than all the rest of the server.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

ARENA_MAX, MMAP_THRESHOLD = -8, -3  # of malloc.h
MOST_HEAPS = 2
OWN_MAPPING = 1 << 20  # bytes from which on an array is a mapping of its own, unmapped when freed


def keep_little() -> None:
    """Have this process keep little of what it frees; nothing, where its C library is no glibc."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # musl has no mallopt, and keeps nothing
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(ARENA_MAX, MOST_HEAPS)
        mallopt(MMAP_THRESHOLD, OWN_MAPPING)
