"""FLV recordings joined end to end, with the header of each part still in its place.

FFmpeg takes an inner header for a tag of a few megabytes and loses what comes after it. Read
without these headers the file is whole.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

_HEADER = 13  # bytes of a header, with the length of the tag before it
_TAGS = frozenset({8, 9, 18})  # sound, picture, data


def joined_flv(path: Path) -> io.RawIOBase | None:
    """Return the file without its inner headers, or None where it is no FLV or has none.

    Raises:
        OSError: it cannot be read.
    """
    starts = joints(path)
    return _Without(path, starts) if starts else None


def joints(path: Path) -> tuple[int, ...]:
    """Return where parts of an FLV begin, in the file without its inner headers.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    return _joints(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _joints(path: Path, _changed: int, _size: int) -> tuple[int, ...]:
    """Look at every tag: of two hours in 0.7 s, which a file that is opened often needs once."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
        if not _is_header(head):
            return ()
        found: list[int] = []
        at = _HEADER
        while len(tag := file.read(11)) == 11:
            if _is_header(tag):
                found.append(at - len(found) * _HEADER)
                at += _HEADER
            elif tag[0] & 0x1F in _TAGS:
                at += 11 + int.from_bytes(tag[1:4], "big") + 4
            else:
                break
            file.seek(at)
    return tuple(found)


def _is_header(data: bytes) -> bool:
    return data[:3] == b"FLV" and data[5:9] == b"\0\0\0\x09"


class _Without(io.RawIOBase):
    """A file in which headers at some places are left out."""

    def __init__(self, path: Path, starts: Sequence[int]) -> None:
        self._file = path.open("rb")
        self._starts = [0, *starts]  # of the stretches between headers
        self._size = path.stat().st_size - len(starts) * _HEADER
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        stretch = bisect_right(self._starts, self._at) - 1
        ends = [*self._starts[1:], self._size]
        room = max(0, ends[stretch] - self._at)
        self._file.seek(self._at + stretch * _HEADER)
        data = self._file.read(room if size < 0 else min(size, room))
        self._at += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()
