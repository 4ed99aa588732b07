"""Clips: the moments of an answer as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vidrec.errors import MediaError, StorageError, VidrecError
from vidrec.files import is_file
from vidrec.search.answers import Answer


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
