"""Files behind http(s) URLs: what they are, and their bytes. Standard library only."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from vidrec.errors import StorageError
from vidrec.storage.connections import chunks, is_packed, opened
from vidrec.storage.resume import Passing, Patience, Stream, download
from vidrec.urls import stable_url

SAMPLE = 1 << 16  # bytes of the beginning and the end of a file whose server says nothing of it


def look(url: str, patience: Patience | None = None) -> tuple[int, str]:
    """Return a file's size in bytes and a text that changes when it does; -1 if not said.

    Where a server tells neither an ETag nor a date, the beginning and the end of the file are
    looked at; where it does not even tell the size, nothing shows that the file is unchanged.

    Raises:
        StorageError: it cannot be reached, or is a web page.
    """
    patience = patience or Patience()
    try:
        with opened(url, "HEAD") as response:
            size, mark = _facts(response.headers)
    except StorageError as exc:
        # Not every server answers HEAD, and a presigned URL is signed for GET alone.
        if not (exc.code or isinstance(exc, Passing)):
            raise
        size, mark = 0, ""
    if size <= 0 or not mark:
        return patience(lambda: _looked_into(url))
    return size, mark


def _looked_into(url: str) -> tuple[int, str]:
    with opened(url) as response:
        size, mark = _facts(response.headers)
        if mark:
            return size, mark
        digest = hashlib.sha256(_sample(response, url))
    if size < 0:
        return -1, uuid.uuid4().hex
    if size > SAMPLE:
        with opened(url, headers={"Range": f"bytes={size - SAMPLE}-{size - 1}"}) as response:
            if response.status == 206:
                digest.update(_sample(response, url))
    return size, digest.hexdigest()


def _sample(response: Any, url: str) -> bytes:
    sample = b""
    for chunk in chunks(response, url):
        sample += chunk
        if len(sample) >= SAMPLE:
            break
    return sample[:SAMPLE]


def _facts(headers: Any) -> tuple[int, str]:
    size = headers.get("Content-Length") or ""
    mark = headers.get("ETag") or headers.get("Last-Modified") or ""
    told = re.fullmatch(r"[0-9]{1,18}", size) and not is_packed(headers)
    return (int(size) if told else -1), mark


def read(
    url: str, file: BinaryIO, guard: Callable[[int], None], patience: Patience | None = None
) -> None:
    """Write a file's bytes into another, going on where the connection breaks.

    ``guard`` is told how many there are by now, and may raise.

    Raises:
        StorageError: it cannot be read to its end.
        Cancelled: the run ends.
    """
    same = ""  # tells the server which version of the file the first bytes are of

    @contextmanager
    def open_at(start: int) -> Iterator[Stream]:
        nonlocal same
        ranged = {"Range": f"bytes={start}-", "If-Range": same} if start and same else {}
        with opened(url, headers=ranged) as response:
            size, _ = _facts(response.headers)
            goes_on = re.match(rf"bytes {start}-", response.headers.get("Content-Range") or "")
            first = start if ranged and response.status == 206 and goes_on else 0
            if not first:
                same = "" if is_packed(response.headers) else _validator(response.headers)
            yield Stream(first, size + first if size >= 0 else -1, chunks(response, url))

    download(stable_url(url), open_at, file, guard, patience or Patience())


def _validator(headers: Any) -> str:
    """What ``If-Range`` may name: a strong ETag, or a date."""
    etag = headers.get("ETag") or ""
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified") or ""
