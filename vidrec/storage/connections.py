"""Connections to web servers, each with an end: to reach it, to be answered, to be sent bytes.

Redirects lead to no other scheme, and a password in a URL goes to no other server.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    InvalidURL,
)
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from vidrec.errors import StorageError
from vidrec.storage.resume import Passing
from vidrec.urls import asked_wait, stable_url

REACH_SEC, SILENT_SEC, ANSWER_SEC = 8, 30, 60
CHUNK = 1 << 16
PAGES = ("text/html", "application/xhtml+xml")
_PACKED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


@contextmanager
def opened(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """Open a URL; what is read of it comes by ``chunks``.

    Raises:
        Passing: a later try may do better.
        StorageError: it cannot be read, or is a web page.
    """
    name = stable_url(url)
    with _answer(url, name, method, headers or {}) as response:
        if response.headers.get_content_type() in PAGES:
            raise StorageError(f"{name} is a web page: give the direct URL of a video file")
        yield response


def _answer(url: str, name: str, method: str, headers: Mapping[str, str]) -> Any:
    try:
        return _opener().open(_request(url, method, headers), timeout=SILENT_SEC)
    except urllib.error.HTTPError as exc:
        exc.close()
        problem = f"{name} cannot be read: HTTP {exc.code} {exc.reason}".partition("\n")[0]
        if exc.code in BUSY:
            wait = asked_wait(exc.headers.get("Retry-After"), time.time())
            raise Passing(problem, code=str(exc.code), wait=wait) from exc
        raise StorageError(problem, code=str(exc.code)) from exc
    except urllib.error.URLError as exc:
        raise StorageError(f"{name} cannot be reached: {exc.reason}") from exc
    except InvalidURL as exc:
        raise StorageError(f"{name} is no URL: {exc}") from exc
    except (HTTPException, ConnectionError) as exc:
        raise Passing(f"{name} broke off: {exc or type(exc).__name__}") from exc
    except (OSError, ValueError) as exc:
        raise StorageError(f"{name} cannot be read: {exc or type(exc).__name__}") from exc


def chunks(response: Any, url: str) -> Iterator[bytes]:
    """Yield an answer's bytes as they come, so that a server that drips is seen to.

    What is packed on its way, though nobody asked for that, comes as it was before.

    Raises:
        Passing: the connection breaks.
    """
    unpack: Any = None
    if is_packed(response.headers):
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip, or zlib's own
    try:
        for number, chunk in enumerate(iter(partial(response.read1, CHUNK), b"")):
            if number == 0 and not chunk.startswith(_PACKED):
                unpack = None  # so the server says, only
            yield unpack.decompress(chunk) if unpack else chunk
        if unpack and not unpack.eof:
            raise ValueError("the end of what was packed is missing")
    except (HTTPException, OSError, ValueError, zlib.error) as exc:
        problem = " ".join(str(exc).split()) or type(exc).__name__
        raise Passing(f"{stable_url(url)} broke off: {problem}") from exc


def is_packed(headers: Any) -> bool:
    """Whether an answer says that it is packed: its length is not the file's."""
    return (headers.get("Content-Encoding") or "").strip().lower() in ("gzip", "x-gzip", "deflate")


def _request(url: str, method: str, headers: Mapping[str, str]) -> urllib.request.Request:
    """A request; a name and password in the URL go where they belong, and to no other server."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    bare = urlunsplit(parts._replace(netloc=host, fragment=""))
    request = urllib.request.Request(  # only http and https come here
        quote(bare, safe="%/:=&?~#+!$,;'@()*[]"),
        headers={"User-Agent": "vidrec", **headers}, method=method,
    )  # fmt: skip
    if login:
        code = b64encode(unquote(login).encode()).decode("ascii")
        request.add_unredirected_header("Authorization", f"Basic {code}")
    return request


@cache
def _opener() -> urllib.request.OpenerDirector:
    """What opens URLs: of all that urllib knows only http, https and the user's proxies."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), _Plain(), _Secure(), _Redirects(),
        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    def http_error_302(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any
    ) -> HTTPResponse | None:
        was = urlsplit(req.full_url).scheme
        leads = urlsplit(headers.get("Location") or "").scheme.lower()
        if leads not in ("", "https", was):
            where = stable_url(req.full_url)
            raise StorageError(f"{where} leads to a URL of another kind, {leads}: it is not taken")
        found: HTTPResponse | None = super().http_error_302(req, fp, code, msg, headers)
        return found

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Bounded(HTTPConnection):
    """Reached soon or not at all; and answered, also by a server that drips its headers."""

    def connect(self) -> None:
        self.timeout = REACH_SEC
        super().connect()
        self.sock.settimeout(SILENT_SEC)

    def getresponse(self) -> HTTPResponse:
        late = threading.Event()
        timer = threading.Timer(ANSWER_SEC, _shut, (self.sock, late))
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
        finally:
            timer.cancel()
        if late.is_set():  # headers that were cut off look like whole ones
            raise TimeoutError(f"no whole answer within {ANSWER_SEC} s")
        return response


class _BoundedTls(_Bounded, HTTPSConnection):
    """The same, encrypted."""


def _shut(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_Bounded, req)


class _Secure(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_BoundedTls, req, context=_tls())


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
