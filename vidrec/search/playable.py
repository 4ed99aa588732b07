"""Playable: results as URLs of object storage that a player can open, and as files of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.config import Settings
from vidrec.errors import MediaError, StorageError, VidrecError
from vidrec.files import exists, is_file
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


def save_clips(
    answer: Answer, folder: Path, *, exact: bool = False
) -> Iterator[Path | VidrecError]:
    """Cut each result's moment into a folder; yield the file of each, or why there is none.

    Raises:
        StorageError: the folder cannot be made.
    """
    from vidrec.media.cut import cut

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StorageError(f"cannot make the folder {folder}: {exc.strerror}") from exc
    for row in answer.results:
        name = f"{row.rank:03} {Path(row.filename).stem[:100]} {row.start_sec:.1f}s"
        try:
            if row.path is None or not is_file(Path(row.path)):
                raise MediaError(f"{row.filename}: its file is not on this machine")
            yield cut(Path(row.path), row.start_sec, row.end_sec, folder / name, exact=exact)
        except OSError as exc:
            yield StorageError(f"cannot write to {folder}: {exc.strerror or exc}")
        except VidrecError as exc:
            yield exc
