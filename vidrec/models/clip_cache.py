"""The grids of many clips in one memory-mapped file, decoded once and read every epoch."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidrec.errors import MediaError, TrainingError
from vidrec.files import parsed_json

__all__ = ["ClipCache", "build_clip_cache"]

_INDEX = "index.json"
_DATA = "data.bin"

Produce = Callable[[Path], NDArray[Any]]


@dataclass(frozen=True)
class ClipCache:
    """Arrays of one shape and type, several a clip.

    Attributes:
        data: `(n, …)`, all clips one after the other.
        offsets: clip `i` is `data[offsets[i]:offsets[i + 1]]`; an unreadable one is empty.
        unreadable: clip to reason.
    """

    data: NDArray[Any]
    offsets: tuple[int, ...]
    unreadable: dict[int, str]

    def __getitem__(self, clip: int) -> NDArray[Any]:
        return self.data[self.offsets[clip] : self.offsets[clip + 1]]

    def __len__(self) -> int:
        return len(self.offsets) - 1


def build_clip_cache(
    folder: Path,
    clips: Sequence[Path],
    produce: Produce,
    *,
    workers: int = 2,
    on_clip: Callable[[Path, str | None], None] = lambda path, problem: None,
    stopped: Callable[[], bool] = lambda: False,
) -> ClipCache:
    """The cache in `folder`, made there first if it is not there whole.

    Args:
        folder: named after all that its content depends on.
        produce: makes a clip's array; several run at once.
        on_clip: called after each clip, with the reason if it could not be read.
        stopped: asks whether to give up.

    Raises:
        TrainingError: the disk is full or not writable, no clip can be read, or it was stopped.
    """
    if (cache := _open(folder)) is not None:
        return cache
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        _write(partial, clips, produce, workers, on_clip, stopped)
        if not folder.exists():
            partial.rename(folder)
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        raise TrainingError(
            f"{folder.parent} is full: make room there or name another folder with `cache`"
            if full
            else f"cannot write into {folder.parent}: {exc.strerror}"
        ) from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    cache = _open(folder)
    if cache is None:
        raise TrainingError(f"the cache {folder} is damaged: delete it and run again")
    return cache


def _open(folder: Path) -> ClipCache | None:
    try:
        index = parsed_json((folder / _INDEX).read_text("utf-8"))
        shape, dtype = (index["offsets"][-1], *index["shape"]), np.dtype(index["dtype"])
        if (folder / _DATA).stat().st_size != int(np.prod(shape)) * dtype.itemsize:
            return None
        data = np.memmap(folder / _DATA, dtype, "r", shape=shape)
    except (OSError, ValueError, LookupError):
        return None
    unreadable = {int(clip): reason for clip, reason in index["unreadable"].items()}
    return ClipCache(data, tuple(index["offsets"]), unreadable)


def _write(
    folder: Path,
    clips: Sequence[Path],
    produce: Produce,
    workers: int,
    on_clip: Callable[[Path, str | None], None],
    stopped: Callable[[], bool],
) -> None:
    # Plain writes, not a writable map: a map on a full disk kills the process.
    offsets, unreadable, kind = [0], {}, None
    with (folder / _DATA).open("wb") as file:
        for number, (path, outcome) in enumerate(_in_order(clips, produce, workers)):
            if stopped():
                raise TrainingError("interrupted before the clips were read")
            count, problem = 0, None
            try:
                array = outcome.result()
                kind = kind or (array.shape[1:], array.dtype)
                file.write(np.ascontiguousarray(array).data)
                count = len(array)
            except MediaError as exc:
                problem = unreadable[number] = str(exc)
            offsets.append(offsets[-1] + count)
            on_clip(path, problem)
    if kind is None:
        raise TrainingError(f"none of the {len(clips)} clips can be read")
    index = {
        "shape": kind[0], "dtype": str(kind[1]), "offsets": offsets, "unreadable": unreadable
    }  # fmt: skip
    (folder / _INDEX).write_text(json.dumps(index), "utf-8")


def _in_order(
    clips: Iterable[Path], produce: Produce, workers: int
) -> Iterator[tuple[Path, Future[NDArray[Any]]]]:
    """Works on a few clips ahead and yields them in order."""
    rest = iter(clips)
    with ThreadPoolExecutor(workers) as pool:
        ahead = [(path, pool.submit(produce, path)) for path in islice(rest, 2 * workers)]
        try:
            while ahead:
                yield ahead.pop(0)
                ahead += [(path, pool.submit(produce, path)) for path in islice(rest, 1)]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
