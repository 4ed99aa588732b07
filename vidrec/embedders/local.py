"""What embedders share that read files on this machine."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

from vidrec.errors import MediaError
from vidrec.types import Video

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield what ``items`` yields, while another thread already makes the next.

    So one long video keeps two cores busy: one decodes, the other embeds.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield cast("T", item)


def require_path(video: Video) -> Path:
    """Return where the video lies on this machine.

    Raises:
        MediaError: it lies nowhere.
    """
    if video.path is None:
        raise MediaError(f"{video.filename}: its file is not on this machine")
    return video.path
