"""Whether anything answers: told in seconds, before a client tries or waits for minutes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

REACH_SECONDS = 8.0
SLOW_SECONDS = 3.0


@contextmanager
def waiting(say: Callable[[str], None], where: str) -> Iterator[None]:
    """A block that asks a service once: where that takes long, it is said what is waited for."""
    timer = threading.Timer(SLOW_SECONDS, say, (f"waiting for {where} to answer",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def reach(url: str) -> None:
    """Connect to a service once and hang up.

    Nothing is tried where a proxy stands between: it alone knows.

    Raises:
        OSError: nothing answers there.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    host = parts.hostname
    if not host or (parts.scheme in getproxies() and not proxy_bypass(host)):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((host, port), REACH_SECONDS).close()
