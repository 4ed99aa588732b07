"""Playable: results whose videos lie in object storage get URLs that a player can open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vidrec.config import Settings
from vidrec.errors import StorageError
from vidrec.files import exists
from vidrec.search.session import Answer
from vidrec.types import Recommendation

HOUR = 3600


def playable(settings: Settings, answer: Answer, seconds: int | None = None) -> Answer:
    """Presign the ``s3://`` URLs of an answer, for so many seconds.

    Without a number only the videos that are not on this machine are presigned, for an hour, and
    they keep their ``s3://`` URL where that cannot be done.

    Raises:
        UsageError: the time is out of range.
        StorageError: a number was given and there are no credentials to sign with.
    """
    wanted = [row for row in answer.results if _needs_url(row, seconds)]
    if not wanted:
        return answer
    from vidrec.storage.s3 import S3Storage

    storage = S3Storage(settings.s3)
    try:
        signed = {row.rank: storage.presign(row.url or "", seconds or HOUR) for row in wanted}
    except StorageError:
        if seconds is not None:
            raise
        return answer
    rows = [replace(row, url=signed.get(row.rank, row.url)) for row in answer.results]
    return replace(answer, results=rows)


def _needs_url(row: Recommendation, seconds: int | None) -> bool:
    if row.url is None or not row.url.startswith("s3://"):
        return False
    return seconds is not None or row.path is None or not exists(Path(row.path))
