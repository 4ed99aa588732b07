"""Arrays of one shape and type, several a clip, in one memory-mapped file.

So the grids of clips are decoded once and read every epoch.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidrec.errors import MediaError, TrainingError
from vidrec.models.artifacts import prepared

_INDEX = "index.json"
_DATA = "data.bin"

Produce = Callable[[Path], NDArray[Any]]


def build_clip_cache(
    folder: Path,
    clips: Sequence[Path],
    produce: Produce,
    *,
    workers: int = 2,
    on_clip: Callable[[Path, str | None], None] = lambda path, problem: None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[list[NDArray[Any]], dict[int, str]]:
    """The arrays of all clips, and the reason for each that is unreadable: its array is empty.

    They lie in `folder`, where they are made first if they are not there whole.

    Args:
        folder: named after all that its content depends on.
        produce: makes a clip's array; several run at once.
        on_clip: called after each clip, with the reason if it could not be read.
        stopped: asks whether to give up.

    Raises:
        EmbedderError: the disk is full or not writable.
        TrainingError: no clip can be read, or it was stopped.
    """

    def build(draft: Path) -> None:
        # Plain writes, not a writable map: a map on a full disk kills the process.
        offsets, unreadable, kind = [0], {}, None
        rest = iter(clips)
        with (draft / _DATA).open("wb") as file, ThreadPoolExecutor(workers) as pool:
            ahead = deque(pool.submit(produce, path) for path in islice(rest, 2 * workers))
            for number, path in enumerate(clips):
                if stopped():
                    pool.shutdown(cancel_futures=True)
                    raise TrainingError("interrupted before the clips were read")
                count, problem = 0, None
                try:
                    array = ahead.popleft().result()
                    kind = kind or (array.shape[1:], array.dtype)
                    file.write(np.ascontiguousarray(array).data)
                    count = len(array)
                except MediaError as exc:
                    problem = unreadable[number] = str(exc)
                ahead.extend(pool.submit(produce, following) for following in islice(rest, 1))
                offsets.append(offsets[-1] + count)
                on_clip(path, problem)
        if kind is None:
            raise TrainingError(f"none of the {len(clips)} clips can be read")
        index = {
            "shape": kind[0], "dtype": str(kind[1]), "offsets": offsets, "unreadable": unreadable
        }  # fmt: skip
        (draft / _INDEX).write_text(json.dumps(index), "utf-8")

    prepared(folder.parent, folder.name, build)
    index = json.loads((folder / _INDEX).read_text("utf-8"))
    data = np.memmap(folder / _DATA, index["dtype"], "r").reshape(-1, *index["shape"])
    unreadable = {int(clip): reason for clip, reason in index["unreadable"].items()}
    return np.split(data, index["offsets"][1:-1]), unreadable
