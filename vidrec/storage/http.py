"""Files behind http(s) URLs: what they are, and their bytes. Standard library only."""

from __future__ import annotations

import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from vidrec.errors import StorageError
from vidrec.urls import stable_url

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SEC = 30


def look(url: str) -> tuple[int, str]:
    """Return a file's size in bytes and a text that changes when it does; -1 if not said.

    Raises:
        StorageError: it cannot be reached, or is a web page.
    """
    try:
        with _open(url, "HEAD") as response:
            return _facts(response.headers)
    except StorageError as exc:
        # Not every server answers HEAD, and a presigned URL is signed for GET alone.
        if exc.code not in ("400", "403", "405", "501"):
            raise
    with _open(url) as response:
        return _facts(response.headers)


def _facts(headers: Any) -> tuple[int, str]:
    size = headers.get("Content-Length", "")
    mark = headers.get("ETag") or headers.get("Last-Modified") or ""
    return (int(size) if size.isdigit() else -1), mark


def read(url: str, take: Callable[[bytes], object]) -> None:
    """Hand a file's bytes on, a few at a time.

    Raises:
        StorageError: it cannot be read to its end.
    """
    with _open(url) as response:
        wanted, got = response.headers.get("Content-Length", ""), 0
        while chunk := response.read(1 << 20):
            got += len(chunk)
            take(chunk)
        if wanted.isdigit() and got != int(wanted):
            raise StorageError(f"{stable_url(url)} broke off after {got} of {wanted} bytes")


def _request(url: str, method: str) -> urllib.request.Request:
    """A request; a name and password in the URL go where they belong, and to no other server."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    bare = urlunsplit(parts._replace(netloc=host, fragment=""))
    request = urllib.request.Request(  # only http and https come here
        quote(bare, safe="%/:=&?~#+!$,;'@()*[]"), headers={"User-Agent": "vidrec"}, method=method
    )
    if login:
        code = b64encode(unquote(login).encode()).decode("ascii")
        request.add_unredirected_header("Authorization", f"Basic {code}")
    return request


@contextmanager
def _open(url: str, method: str = "GET") -> Iterator[Any]:
    name = stable_url(url)
    try:
        request = _request(url, method)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SEC) as response:
            kind = response.headers.get_content_type()
            if kind in ("text/html", "application/xhtml+xml"):
                raise StorageError(f"{name} is a web page: give the direct URL of a video file")
            yield response
    except urllib.error.HTTPError as exc:
        raise StorageError(
            f"{name} cannot be read: HTTP {exc.code} {exc.reason}", code=str(exc.code)
        ) from exc
    except urllib.error.URLError as exc:
        raise StorageError(f"{name} cannot be reached: {exc.reason}") from exc
    except (HTTPException, OSError, ValueError) as exc:
        raise StorageError(f"{name} cannot be read: {exc or type(exc).__name__}") from exc
