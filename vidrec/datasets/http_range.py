"""Parts of a remote file by HTTP range requests, through drops and throttling."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import requests
import urllib3
from remotezip import PartialBuffer, RemoteZip

from vidrec.errors import DatasetError
from vidrec.reach import reach
from vidrec.urls import asked_wait, stable_url

_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two packets
_BLOCK = 1 << 16
_TRIES = 6  # in a row without a single byte
_WAIT_MAX = 30.0
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
# The records that end a zip without a comment, zip64's included (PKZIP APPNOTE 4.3.14 to 4.3.16).
# remotezip asks for the last 64 kB by default, with clips' bytes among them; zipfile reads only
# these, and then exactly the directory.
_END_RECORDS = 56 + 20 + 22


class _TryAgain(Exception):
    """The server asks for patience, or the connection was cut. `wait`: seconds it asked for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class RemoteFile:
    """A remote file, read in ranges; safe to share between threads."""

    def __init__(
        self,
        url: str,
        *,
        retry_seconds: float = 1.0,
        stop: threading.Event | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """
        Args:
            retry_seconds: the first wait after a failure; each further one is twice as long.
            stop: when set, streams are given up, waiting ones too.
            say: is told of waits.
        """
        self.url = url
        try:
            self.name = stable_url(url)
        except ValueError as exc:
            raise DatasetError(f"{url} is no URL: {exc}") from exc
        self._retry_seconds = retry_seconds
        self._stop, self._say = stop or threading.Event(), say
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._tail = b""  # the last bytes of the file, as far as they are known

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def zip_directory(self) -> tuple[list[zipfile.ZipInfo], int]:
        """The members of the zip that the file is, and the offset where its directory starts."""

        def fetcher(*args: Any, **kwargs: Any) -> RemoteFile:
            return self

        with RemoteZip(self.url, initial_buffer_size=_END_RECORDS, fetcher=fetcher) as archive:
            return archive.infolist(), archive.start_dir

    def fetch(self, data_range: tuple[int, int | None], stream: bool = False) -> PartialBuffer:
        """Bytes `first` to `last` inclusive, or `(-n, None)` for the last n; RemoteZip calls this.

        The directory ends the file and is read backwards, piece by piece: no byte travels twice.
        """
        first, last = data_range
        size = self._size
        if last is None:
            first, last = max(0, size + first), size - 1
        known = size - len(self._tail)
        data = b"".join(self.stream(first, min(last + 1, known)))
        if last + 1 >= known:
            data += self._tail[max(0, first - known) : last + 1 - known]
            self._tail = data[: known - first] + self._tail if first < known else self._tail
        return PartialBuffer(io.BytesIO(data), first, len(data), False)

    @cached_property
    def _size(self) -> int:
        """The file's size in bytes: by HEAD, or where that is refused by a range of one byte."""
        try:
            if self.url.startswith(("http://", "https://")):
                reach(self.url)  # a mistyped address is told at once
        except (OSError, ValueError) as exc:
            raise DatasetError(
                f"cannot reach {self.name} ({exc}): check the network and --url"
            ) from exc
        for method, headers in (("HEAD", {}), ("GET", {"Range": "bytes=0-0"})):
            failures = 0
            while True:
                try:
                    with self._send(method, headers) as response:
                        total = response.headers.get("Content-Range", "").rpartition("/")[2]
                        if method == "HEAD" and response.ok:
                            total = response.headers.get("Content-Length", "")
                        if total.isdigit():
                            return int(total)
                        if method == "GET":
                            raise self._refusal(response)
                        break
                except _TryAgain as exc:
                    failures = self._wait(failures, exc)
        raise AssertionError("the second method returns or raises")

    def stream(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to `end` (exclusive), each once, however often it is cut.

        Raises:
            DatasetError: refused, no ranges served, or six failures in a row without a byte.
        """
        at, failures = start, 0
        while at < end:
            try:
                with self._send("GET", {"Range": f"bytes={at}-{end - 1}"}) as response:
                    if response.status_code != 206 or not response.headers.get(
                        "Content-Range", ""
                    ).startswith(f"bytes {at}-"):
                        raise self._refusal(response)
                    for block in self._blocks(response, end - at):
                        at, failures = at + len(block), 0
                        yield block
                if at < end:
                    raise _TryAgain("the connection was cut")
            except _TryAgain as exc:
                failures = self._wait(failures, exc)

    def _send(self, method: str, headers: dict[str, str]) -> requests.Response:
        """A response whose body is still to be read; _TryAgain if the server is not up to it."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._sessions.append(self._local.session)
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            response: requests.Response = self._local.session.request(
                method,
                self.url,
                headers=headers,
                stream=True,
                timeout=_TIMEOUT,
                allow_redirects=True,
            )
        except (requests.ConnectionError, requests.Timeout) as exc:
            raise _TryAgain(_reason(exc)) from exc
        except (requests.RequestException, ValueError) as exc:
            raise DatasetError(
                f"cannot read {self.name}: {_reason(exc).replace(self.url, self.name)}"
            ) from exc
        if response.status_code in _LATER:
            response.close()
            wait = asked_wait(response.headers.get("Retry-After"), time.time())
            raise _TryAgain(f"HTTP {response.status_code} {response.reason}", wait)
        return response

    def _blocks(self, response: requests.Response, left: int) -> Iterator[bytes]:
        while left > 0:
            if self._stop.is_set():
                raise DatasetError("stopped")
            try:
                block = response.raw.read(min(_BLOCK, left))
            except (urllib3.exceptions.HTTPError, OSError) as exc:
                raise _TryAgain(_reason(exc)) from exc
            if not block:
                return
            left -= len(block)
            yield block

    def _wait(self, failures: int, exc: _TryAgain) -> int:
        """Waits after the n-th failure in a row; returns their new number."""
        if failures + 1 >= _TRIES:
            raise DatasetError(
                f"{self.name} gives nothing after {_TRIES} tries ({exc}): try again later"
            ) from exc
        wait = exc.wait if exc.wait is not None else self._retry_seconds * 2**failures
        wait = min(wait, _WAIT_MAX)
        if wait >= 2:
            self._say(f"{self.name}: {exc}; trying again in {wait:.0f} s")
        if self._stop.wait(wait):
            raise DatasetError("stopped") from exc
        return failures + 1

    def _refusal(self, response: requests.Response) -> DatasetError:
        status = response.status_code
        if status in (401, 403):
            reason = "the server refuses access: check the link, or who may read it"
        elif status in (404, 410):
            reason = "there is no such file: check --url"
        elif response.ok:
            reason = (
                "the server does not serve byte ranges: use another, or a local copy of the file"
            )
        else:
            reason = f"the server answers HTTP {status} {response.reason}"
        return DatasetError(f"cannot read {self.name}: {reason}")


def _reason(exc: BaseException) -> str:
    """The cause at the bottom of a chain of wrapped network errors, in a few words."""
    while exc.args and isinstance(exc.args[-1], BaseException):
        exc = exc.args[-1]
    inner = getattr(exc, "reason", None)
    return _reason(inner) if isinstance(inner, BaseException) else str(exc) or type(exc).__name__
