"""Scan: from what the user named to the files and the videos that they are.

Files are identified by the SHA-256 of their bytes; a file whose path, size and modification time
are known is not read again.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from vidrec.errors import Cancelled, MediaError, UsageError
from vidrec.files import exists, expanded, is_folder, is_text
from vidrec.library import FileStamp, Library
from vidrec.media.extensions import is_video_file
from vidrec.types import Video, VideoInfo

NOT_THERE = "no such file or folder"
LabelFrom = Literal["auto", "folder", "none"]
# Where systems of storage and desktops keep previews, snapshots and what was thrown away.
_NOT_THE_USERS = frozenset(
    {"@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "~snapshot",
     "$recycle.bin", "recycler", "recycled", "network trash folder", "temporary items",
     "system volume information", "lost+found", "__macosx"}
)  # fmt: skip
_UCF101_GROUP = re.compile(r"(?i)^(v_.+_g\d+)_c\d+$")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to take up, or the reason why it cannot be.

    ``below`` is true for a file found below a folder that the user named, not directly in it.
    A remote one has a stable ``url``; ``path`` is then where it lies while it is in work, and
    ``address`` the URL as it was given, signature and all: it is used and never written down.
    """

    path: Path
    below: bool = False
    problem: str | None = None
    url: str | None = None
    address: str = field(default="", repr=False)
    stamp: FileStamp | None = None

    @property
    def name(self) -> str:
        """The source as the user knows it."""
        return self.url or str(self.path)

    @property
    def place(self) -> PurePath:
        """Where it is kept: its file name and folder say something of it."""
        return PurePosixPath(unquote(urlsplit(self.url).path)) if self.url else self.path


def find_sources(paths: Iterable[str | Path], exclude: Sequence[str] = ()) -> Iterator[Source]:
    """Yield the videos among files and folders, each path once, folders in sorted order.

    A file named by the user is taken whatever its extension; in folders only files with a video
    extension count. Left out there are hidden ones, the caches and bins of storage systems, and
    what ``exclude`` says (patterns of names, or of paths: below the folder, as named, or absolute).
    Folders that are links are followed, each folder once. What cannot be read is yielded with its
    problem.

    Raises:
        UsageError: a name is empty.
    """
    seen: set[Path] = set()
    for named in paths:
        if not str(named):
            raise UsageError("an empty name is no file or folder")
        path = expanded(named)
        found = _walk(path, exclude) if is_folder(path) else iter([_named_file(path)])
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
    except (OSError, ValueError) as exc:
        return Source(path, problem=getattr(exc, "strerror", None) or str(exc))
    return Source(path, problem=None if regular else "not a regular file")


def _walk(root: Path, exclude: Sequence[str]) -> Iterator[Source]:
    problems: list[OSError] = []
    seen: set[tuple[int, int]] = set()
    for folder, names, files in os.walk(root, onerror=problems.append, followlinks=True):
        here = Path(folder)
        if not _is_first(here, seen):
            names.clear()  # a link to a folder that was walked through before, or is in this one
            continue
        inside = here.relative_to(root)
        names[:] = sorted(n for n in names if not left_out(inside / n, exclude, here / n))
        for name in sorted(files):
            path = here / name
            if not left_out(inside / name, exclude, path) and is_video_file(path):
                yield Source(path, below=here != root)
        while problems:
            yield _unreadable(problems.pop())
    while problems:
        yield _unreadable(problems.pop())


def left_out(inside: PurePath, exclude: Sequence[str], path: Path | None = None) -> bool:
    """Whether a file or folder, by its path inside the folder named, is not to be looked at.

    ``path`` is the whole path, where it is one of this machine.
    """
    name = inside.name
    if name.startswith(".") or name.casefold() in _NOT_THE_USERS:
        return True
    if not exclude:
        return False
    names = [name, str(inside), f"/{inside}", *([str(path), str(path.absolute())] if path else ())]
    return any(fnmatch(one, glob) for glob in map(_glob, exclude) for one in names)


def _glob(pattern: str) -> str:
    """Return a pattern without what people put around it, as in ``./sub/``."""
    return os.path.expanduser(pattern.removeprefix("./").rstrip("/"))  # noqa: PTH111


def _is_first(folder: Path, seen: set[tuple[int, int]]) -> bool:
    try:
        status = folder.stat()
    except OSError:
        return True  # os.walk has told of it
    mark = (status.st_dev, status.st_ino)
    new = mark not in seen or not status.st_ino  # some file systems number nothing
    seen.add(mark)
    return new


def _unreadable(error: OSError) -> Source:
    return Source(Path(os.fsdecode(error.filename)), problem=error.strerror or "cannot be read")


def described(
    source: Source,
    video_id: str,
    stamp: FileStamp,
    label_from: LabelFrom,
    info: VideoInfo | None = None,
) -> Video:
    """Return the video that a source is, by what its name and folder say of it."""
    return Video(
        id=video_id,
        filename=source.place.name or video_id[:12],
        path=None if source.url else source.path,
        url=source.url,
        size=stamp.size,
        label=label_of(source, label_from),
        group=group_of(source.place),
        info=info,
    )


def note(source: Source, video: Video, stamp: FileStamp, library: Library) -> None:
    """Note in the library that a video was seen in a source, where that is news."""
    known = library.video(video.id)
    if _differs(video, known) or library.known_id(source.path, stamp) != video.id:
        library.add_video(video, stamp, source.path)


def _differs(video: Video, known: Video | None) -> bool:
    """Whether this sighting tells something new; another copy's path alone does not."""
    if known is None or (video.url is not None and video.url != known.url):
        return True
    if video.path is not None and (known.path is None or not exists(known.path)):
        return True
    return video.info != known.info or (video.label is not None and video.label != known.label)


def stamp_of_source(source: Source) -> FileStamp:
    """Return the size and time of a source's file, where it is one that may hold a video.

    Raises:
        MediaError: the file is empty or cannot be read.
    """
    if source.problem:
        raise MediaError(source.problem)
    stamp = stamp_of(source.path)
    if stamp.size == 0:
        raise MediaError("the file is empty")
    return stamp


def stamp_of(path: Path) -> FileStamp:
    """Return a file's size and modification time.

    Raises:
        MediaError: it cannot be looked at.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as exc:
        raise MediaError(getattr(exc, "strerror", None) or "cannot be read") from exc
    if not stat.S_ISREG(status.st_mode):
        raise MediaError("not a regular file")
    return FileStamp(status.st_size, status.st_mtime_ns)


def hash_file(path: Path, cancelled: Callable[[], bool] = lambda: False) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        MediaError: it cannot be read.
        Cancelled: the run ends.
    """
    digest = hashlib.sha256()
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(view[:count])
                if cancelled():
                    raise Cancelled(f"{path}: interrupted")
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
