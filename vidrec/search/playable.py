"""Playable: results whose videos lie in object storage get URLs that a player can open."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.config import Settings
from vidrec.errors import StorageError
from vidrec.files import exists
from vidrec.search.answers import Answer
from vidrec.types import Recommendation

if TYPE_CHECKING:
    from vidrec.storage.s3 import S3Storage

HOUR = 3600


class Player:
    """Gives the ``s3://`` URLs of answers signatures, for so many seconds.

    Without a number only the videos that are not on this machine are presigned, for an hour, and
    they keep their ``s3://`` URL where that cannot be done.
    """

    def __init__(self, settings: Settings, seconds: int | None = None) -> None:
        self._settings, self._seconds = settings, seconds

    def playable(self, answer: Answer) -> Answer:
        """Presign the URLs of an answer.

        Raises:
            UsageError: the time is out of range.
            StorageError: a number was given and there are no credentials to sign with.
        """
        wanted = [row for row in answer.results if _needs_url(row, self._seconds)]
        if not wanted:
            return answer
        try:
            signed = {
                row.rank: self._storage.presign(row.url or "", self._seconds or HOUR)
                for row in wanted
            }
        except StorageError:
            if self._seconds is not None:
                raise
            return answer
        rows = [replace(row, url=signed.get(row.rank, row.url)) for row in answer.results]
        early = self._storage.shortened(self._seconds or HOUR) if self._seconds else ""
        return replace(answer, results=rows, notes=(*answer.notes, *([early] if early else ())))

    @cached_property
    def _storage(self) -> S3Storage:
        from vidrec.storage.s3 import S3Storage

        return S3Storage(self._settings.s3, self._settings.cache)


def _needs_url(row: Recommendation, seconds: int | None) -> bool:
    if row.url is None or not row.url.startswith("s3://"):
        return False
    return seconds is not None or row.path is None or not exists(Path(row.path))
