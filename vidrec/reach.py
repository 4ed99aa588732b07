"""Whether anything answers at an address: told in seconds, before a client tries for minutes."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

REACH_SECONDS = 8.0


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
