"""The server: where it listens, how it ends, and what slow clients may cost.

A connection costs a descriptor and a few kilobytes, never a thread. One that is slow to ask, or
that takes nothing of its answer for minutes, is cut.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vidrec.config import Settings
from vidrec.errors import UsageError, VidrecError
from vidrec.sections import ServeSettings
from vidrec.serve.app import make_app
from vidrec.serve.guard import LOOPBACK
from vidrec.serve.served import Served, opened
from vidrec.serve.thrift import keep_little

HEADER_SECONDS = 10.0  # for a request to come whole
IDLE_SECONDS = 15  # between two requests of a connection
STALL_SECONDS = 180.0  # in which a client must take something of its answer
LAST_SECONDS = 0.4  # that answers have to end in: an interrupt is answered within a second
MOST_CONNECTIONS = 8192
UNSENT = 64 << 10  # bytes of answers that wait in the system until a client takes them
SPARE_FILES = 256  # descriptors for files, beside those of connections
LEAST_TOKEN = 16  # letters


class Patience(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with an end to patience."""

    _timer: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    most_connections = MOST_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()
            return
        self._timer = self.loop.call_later(HEADER_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        asking = self.cycle is None or self.cycle.response_complete
        if not asking and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        elif asking and self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self._late)

    def _late(self) -> None:
        """Cut a connection of which no request came in time; one may have come and gone since."""
        self._timer = None
        idle = self.timeout_keep_alive_task is not None
        if not idle and (self.cycle is None or self.cycle.response_complete):
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()


def serve(settings: Settings, ready: Callable[[str], None], paid: int = 0) -> None:
    """Serve until an interrupt.

    Args:
        settings: which library, embedder and store, and ``[serve]``.
        ready: called with the address, without the token, once questions are answered.
        paid: how many questions may be paid for.

    Raises:
        UsageError: the address needs a token, or the token is too short.
        VidrecError: the port is taken, or there is no library.
    """
    check_token(settings.serve)
    keep_little()
    with (
        listen(settings.serve.host, settings.serve.port) as heard,
        opened(settings, paid) as served,
    ):
        server = server_of(served)
        ready(address_of(settings.serve.host, heard))
        server.run([heard])


def check_token(serve: ServeSettings) -> None:
    """Refuse to listen to the world without a token.

    Raises:
        UsageError: the address needs one, or it is too short to be one.
    """
    if serve.token is None and serve.host.lower() not in LOOPBACK:
        raise UsageError(
            f"{serve.host} can be reached from elsewhere: give a token as VIDREC_SERVE_TOKEN "
            "or --token (--token new makes one), or listen on 127.0.0.1"
        )
    if serve.token is not None and len(serve.token.get_secret_value()) < LEAST_TOKEN:
        raise UsageError(f"a token has at least {LEAST_TOKEN} letters: --token new makes one")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        VidrecError: the port is taken, or there is no such address here.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio sends at once (TCP_NODELAY) only where a socket says that it speaks TCP; without
        # that the body of an answer waits 40 ms for the client's word that its head has come.
        heard = socket.socket(family, kind, protocol)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(AttributeError, OSError):  # who does not read is not worked for in advance
            heard.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        heard.bind(address)
        heard.listen(2048)
    except OSError as exc:
        reason = exc.strerror or exc
        raise VidrecError(f"cannot listen on {host}:{port}: {reason}; try --port 0") from exc
    return heard


def server_of(served: Served) -> uvicorn.Server:
    """Return the server of an application."""
    Patience.most_connections = _room()
    _hush()
    proxies = list(served.settings.serve.proxies)
    config = uvicorn.Config(
        make_app(served), http=Patience, ws="none", loop="asyncio", lifespan="off", log_config=None,
        access_log=False, server_header=False, timeout_keep_alive=IDLE_SECONDS,
        backlog=2048,
        proxy_headers=bool(proxies), forwarded_allow_ips=proxies or None,
        h11_max_incomplete_event_size=32 << 10,
    )  # fmt: skip
    config.timeout_graceful_shutdown = LAST_SECONDS  # type: ignore[assignment]
    return uvicorn.Server(config)


def address_of(host: str, heard: socket.socket) -> str:
    """Return the URL of the page."""
    host = "localhost" if host in ("127.0.0.1", "::1") else host
    host = socket.gethostname() if host in ("0.0.0.0", "::") else host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{heard.getsockname()[1]}/"


def _room() -> int:
    """Return how many connections there may be, after asking for as many descriptors as allowed."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted: Any = MOST_CONNECTIONS + SPARE_FILES
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        if soft != resource.RLIM_INFINITY:
            return max(64, min(MOST_CONNECTIONS, soft - SPARE_FILES))
    return MOST_CONNECTIONS


def _hush() -> None:
    """Keep uvicorn from writing of every broken request; what fails is logged by ourselves."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
