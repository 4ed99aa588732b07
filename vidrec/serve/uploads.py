"""Uploads: what is asked with, on the disk as long as the question takes and no longer.

Whatever it is called, it is looked at: a file that is neither a picture nor a video is refused.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from vidrec.errors import MediaError, VidrecError
from vidrec.media.extensions import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from vidrec.search.query import Part
from vidrec.serve.problems import Problem

MOST_MINUTES = 10.0  # of a clip
MOST_FILES = 8


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent, under a name of our own; ``name`` is only ever shown."""

    path: Path
    name: str
    image: bool = False
    minutes: float = 0.0

    def part(self) -> Part:
        return Part("image" if self.image else "video", str(self.path))


@contextmanager
def kept(folder: Path, sent: list[tuple[str, BinaryIO]]) -> Iterator[list[Upload]]:
    """Write what was sent into a folder of its own for the time of the block; look at each.

    Raises:
        Problem: one is no picture and no video, or a clip is too long.
    """
    if not sent:
        yield []
        return
    own = folder / uuid.uuid4().hex
    try:
        yield [_looked_at(upload) for upload in _written(own, sent)]
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _written(own: Path, sent: list[tuple[str, BinaryIO]]) -> list[Upload]:
    uploads = []
    try:
        own.mkdir(parents=True)
        for number, (name, file) in enumerate(sent):
            path = own / f"{number}{_ending(name)}"
            with path.open("wb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
            uploads.append(Upload(path, _plain(name) or f"upload {number}"))
    except OSError as exc:
        raise Problem(503, "busy", "the server has no room for uploads now") from exc
    return uploads


def _looked_at(upload: Upload) -> Upload:
    from vidrec.media.image import read_image
    from vidrec.media.probe import probe

    refused = Problem(
        415, "usage", f"{upload.name}: neither a picture nor a video that can be read"
    )
    image = upload.path.suffix in IMAGE_EXTENSIONS
    for try_image in (image, not image):
        try:
            if try_image:
                read_image(upload.path, (16, 16))
                return replace(upload, image=True)
            minutes = probe(upload.path).duration_sec / 60
        except MediaError:
            continue
        except VidrecError as exc:
            raise refused from exc
        if minutes > MOST_MINUTES:
            raise Problem(
                413, "too_large",
                f"{upload.name} lasts {minutes:.0f} minutes: a clip to ask with has at most "
                f"{MOST_MINUTES:g}",
            )  # fmt: skip
        return replace(upload, minutes=minutes)
    raise refused


def _ending(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return suffix if suffix in VIDEO_EXTENSIONS | IMAGE_EXTENSIONS else ""


def _plain(name: str) -> str:
    """Return the name of a sent file, to be shown: no folders, one line, not long."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:100]
