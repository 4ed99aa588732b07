"""Scan: from what the user named to the videos of the library.

Files are identified by the SHA-256 of their bytes; a file whose path, size and modification time
are known is not read again.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from vidrec.errors import MediaError, UsageError
from vidrec.files import exists, expanded, is_folder, is_text
from vidrec.library import FileStamp, Library
from vidrec.media.extensions import is_video_file
from vidrec.media.probe import probe
from vidrec.types import Video

NOT_THERE = "no such file or folder"
LabelFrom = Literal["auto", "folder", "none"]
_UCF101_GROUP = re.compile(r"(?i)^(v_.+_g\d+)_c\d+$")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to take up, or the reason why it cannot be.

    ``below`` is true for a file found below a folder that the user named, not directly in it.
    A remote one has a stable ``url``; ``path`` is then where it lies while it is in work.
    """

    path: Path
    below: bool = False
    problem: str | None = None
    url: str | None = None

    @property
    def name(self) -> str:
        """The source as the user knows it."""
        return self.url or str(self.path)

    @property
    def place(self) -> PurePath:
        """Where it is kept: its file name and folder say something of it."""
        return PurePosixPath(unquote(urlsplit(self.url).path)) if self.url else self.path


def find_sources(paths: Iterable[str | Path]) -> Iterator[Source]:
    """Yield the videos among files and folders, each path once, folders in sorted order.

    A file named by the user is taken whatever its extension; in folders only files with a video
    extension count, and hidden ones are left out. What cannot be read is yielded with its
    problem.

    Raises:
        UsageError: a name is empty.
    """
    seen: set[Path] = set()
    for named in paths:
        if not str(named):
            raise UsageError("an empty name is no file or folder")
        path = expanded(named)
        found = _walk(path) if is_folder(path) else iter([_named_file(path)])
        for source in found:
            absolute = source.path.absolute()
            if absolute not in seen:
                seen.add(absolute)
                problem = None if is_text(absolute) else "its name is not UTF-8: rename it"
                yield Source(absolute, source.below, source.problem or problem)


def _named_file(path: Path) -> Source:
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return Source(path, problem=NOT_THERE)
    except OSError as exc:
        return Source(path, problem=exc.strerror or "cannot be read")
    return Source(path, problem=None if regular else "not a regular file")


def _walk(root: Path) -> Iterator[Source]:
    problems: list[OSError] = []
    for folder, names, files in os.walk(root, onerror=problems.append):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if not name.startswith(".") and is_video_file(path):
                yield Source(path, below=Path(folder) != root)
        while problems:
            yield _unreadable(problems.pop())
    while problems:
        yield _unreadable(problems.pop())


def _unreadable(error: OSError) -> Source:
    return Source(Path(os.fsdecode(error.filename)), problem=error.strerror or "cannot be read")


def identify(source: Source, library: Library, label_from: LabelFrom) -> Video:
    """Return the video that a source is, and note in the library that it was seen there.

    A video that is new to the library is probed first: what is no video is never noted.

    Raises:
        MediaError: the file is empty, no video, or cannot be read.
    """
    video_id, stamp = peek(source, library)
    known = library.video(video_id)
    info = known.info if known else None
    video = Video(
        id=video_id,
        filename=source.place.name or video_id[:12],
        path=None if source.url else source.path,
        url=source.url,
        size=stamp.size,
        label=label_of(source, label_from),
        group=group_of(source.place),
        info=info or probe(source.path),
    )
    if _differs(video, known) or library.known_id(source.path, stamp) is None:
        library.add_video(video, stamp, source.path)
    return library.video(video_id) or video


def _differs(video: Video, known: Video | None) -> bool:
    """Whether this sighting tells something new; another copy's path alone does not."""
    if known is None or (video.url is not None and video.url != known.url):
        return True
    if video.path is not None and (known.path is None or not exists(known.path)):
        return True
    return video.info != known.info or (video.label is not None and video.label != known.label)


def peek(source: Source, library: Library) -> tuple[str, FileStamp]:
    """Return a source's video id and stamp, without noting anything.

    Raises:
        MediaError: the file is empty or cannot be read.
    """
    if source.problem:
        raise MediaError(source.problem)
    stamp = stamp_of(source.path)
    if stamp.size == 0:
        raise MediaError("the file is empty")
    return library.known_id(source.path, stamp) or hash_file(source.path), stamp


def stamp_of(path: Path) -> FileStamp:
    """Return a file's size and modification time.

    Raises:
        MediaError: it cannot be looked at.
    """
    try:
        return FileStamp.of(path)
    except OSError as exc:
        raise MediaError(exc.strerror or "cannot be read") from exc


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        MediaError: it cannot be read.
    """
    digest = hashlib.sha256()
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(view[:count])
    except OSError as exc:
        raise MediaError(exc.strerror or "cannot be read") from exc
    return digest.hexdigest()


def label_of(source: Source, label_from: LabelFrom) -> str | None:
    """Return the name of the folder that a file lies in, where that is meant as a label.

    ``auto`` takes it for files below a folder that the user named: ``embed films/`` labels
    ``films/Comedy/a.mp4`` but not ``films/b.mp4``. ``folder`` takes it always.
    """
    if label_from == "folder" or (label_from == "auto" and source.below):
        return source.place.parent.name or None
    return None


def group_of(path: PurePath) -> str | None:
    """Return the source video that UCF101's names carry: ``v_A_g01_c02`` → ``v_A_g01``."""
    found = _UCF101_GROUP.match(path.stem)
    return found.group(1) if found else None
