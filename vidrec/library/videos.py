"""Videos of the library, and the files in which they were seen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from vidrec.errors import UsageError
from vidrec.files import exists
from vidrec.library.catalog import Catalog
from vidrec.records import dataclass
from vidrec.types import Video, VideoInfo

if TYPE_CHECKING:
    # id, file name, path, URL, label, group, duration (seconds)
    VideoRow: TypeAlias = tuple[
        str, str, str | None, str | None, str | None, str | None, float | None
    ]

# Folders that are sides of a labelled data set, by their names.
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

# A change is a revision: the counter grows, and what has changed bears its number.
_GROW = "UPDATE counters SET value = value + 1 WHERE name = 'revision'"
_REVISION = "(SELECT value FROM counters WHERE name = 'revision')"


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells cheaply whether a file is the one seen before."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Listed:
    """A video and when it was added (Unix seconds)."""

    video: Video
    added: float


class Videos(Catalog):
    """What is known of each video."""

    def known_id(self, path: Path, stamp: FileStamp) -> str | None:
        """Return the id of a file that has not changed since it was hashed, else None."""
        found: str | None = self.value(
            "SELECT video_id FROM files WHERE path = ? AND size = ? AND mtime_ns = ?",
            str(path), stamp.size, stamp.mtime_ns,
        )  # fmt: skip
        return found

    def seen_at(self, video_id: str) -> list[str]:
        """Return all places where a video was seen."""
        return self.column("SELECT path FROM files WHERE video_id = ?", video_id)

    def add_video(
        self, video: Video, stamp: FileStamp | None = None, seen_at: Path | None = None
    ) -> None:
        """Add a video or refresh what is known of it; what is None keeps its old value.

        With a ``stamp`` the file at ``seen_at`` (by default the video's path) is known from now.
        What lay there before lies there no longer.
        """
        info = video.info
        with self.transaction() as db:
            found = self.read(f"SELECT {VIDEO_COLUMNS} FROM videos WHERE id = ?", video.id)
            row = [
                video.id, video.filename, str(video.path) if video.path else None, video.url,
                video.size, video.label, video.group,
                *((info.duration_sec, info.width, info.height, info.fps, info.codec,
                   info.rotation) if info else (None,) * 6),
            ]  # fmt: skip
            if found:
                row = [old if new is None else new for new, old in zip(row, found[0], strict=True)]
            if [tuple(row)] != found:
                db.execute(_GROW)
                db.execute(
                    f"INSERT OR REPLACE INTO videos ({VIDEO_COLUMNS}, added_at, revision) VALUES "
                    f"({', '.join('?' * len(row))}, "
                    f"coalesce((SELECT added_at FROM videos WHERE id = ?), ?), {_REVISION})",
                    (*row, video.id, time.time()),
                )
                if side := split_of(row[2] or row[3], video.label):
                    self.put("fields", video.id, "split", side)
            seen_at = seen_at or video.path
            if seen_at is not None and stamp is not None:
                self._leave_place(str(seen_at), video)
                self.put("files", str(seen_at), stamp.size, stamp.mtime_ns, video.id)

    def video(self, video_id: str) -> Video | None:
        """Return one video by its whole id."""
        rows = self.read(f"SELECT {VIDEO_COLUMNS} FROM videos WHERE id = ?", video_id)
        return video_of(rows[0]) if rows else None

    def find_video(self, prefix: str) -> Video:
        """Return the one video whose id begins so.

        Raises:
            UsageError: none or several do.
        """
        clean = "".join(c for c in prefix.lower() if c in "0123456789abcdef")
        if not clean or clean != prefix.lower():
            raise UsageError(f"{prefix!r} is no video id: `vidrec list` shows them")
        rows = self.read(f"SELECT {VIDEO_COLUMNS} FROM videos WHERE id GLOB ? LIMIT 2", f"{clean}*")
        if len(rows) != 1:
            what = (
                "several videos have ids that begin" if rows else "no video has an id that begins"
            )
            raise UsageError(f"{what} with {prefix}: `vidrec list` shows them")
        return video_of(rows[0])

    def set_label(self, video_id: str, label: str | None) -> bool:
        """Give a video a label, or none; each store that shows the video has to follow.

        Returns:
            Whether it had another one.
        """
        with self.transaction():
            other = "SELECT 1 FROM videos WHERE id = ? AND label IS NOT ?"
            if changes := bool(self.read(other, video_id, label)):
                self.write(_GROW)
                change = f"UPDATE videos SET label = ?, revision = {_REVISION} WHERE id = ?"
                self.write(change, label, video_id)
        return changes

    def ids_of(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the ids of all videos that have such a file name, path, URL or whole id, by it."""
        found: dict[str, list[str]] = {}
        for key in ("id", "filename", "path", "url"):
            rows = self.read_among(f"SELECT {key}, id FROM videos WHERE {key} IN", names)
            for name, video_id in rows:
                found.setdefault(name, []).append(video_id)
        return found

    def other_ids(self, ids: set[str]) -> frozenset[str]:
        """Return the ids of all videos that are not among some."""
        return frozenset(self.column("SELECT id FROM videos")) - ids

    def videos(self) -> Iterator[Video]:
        """Iterate over all videos by file name, then id."""
        yield from map(
            video_of, self.read(f"SELECT {VIDEO_COLUMNS} FROM videos ORDER BY filename, id")
        )

    def count_videos(self) -> int:
        """Return how many videos there are."""
        return int(self.value("SELECT count(*) FROM videos"))

    def page_of_videos(
        self, offset: int, limit: int, *, label: str | None = None, text: str = ""
    ) -> tuple[int, list[Listed]]:
        """Return how many videos have a label, and a text in their name; and some by name, id."""
        where = (
            "(? IS NULL OR label = ?) AND (? = '' OR instr(lower(filename), lower(?)) > 0 "
            "OR instr(lower(label), lower(?)) > 0)"
        )
        values = (label, label, text, text, text)
        total = self.value(f"SELECT count(*) FROM videos WHERE {where}", *values)
        rows = self.read(
            f"SELECT {VIDEO_COLUMNS}, added_at FROM videos WHERE {where} "
            "ORDER BY filename, id LIMIT ? OFFSET ?", *values, limit, offset,
        )  # fmt: skip
        return int(total), [Listed(video_of(row), float(row[-1])) for row in rows]

    def listed(self, ids: Sequence[str]) -> dict[str, Listed]:
        """Return those of some videos that exist, by id."""
        rows = self.read_among(f"SELECT {VIDEO_COLUMNS}, added_at FROM videos WHERE id IN", ids)
        return {row[0]: Listed(video_of(row), float(row[-1])) for row in rows}

    def label_counts(self) -> list[tuple[str, int]]:
        """Return each label and how many videos have it, the commonest first."""
        return self.read(
            "SELECT label, count(*) FROM videos WHERE label IS NOT NULL GROUP BY label "
            "ORDER BY 2 DESC, 1"
        )

    def video_rows(self, ids: Sequence[str]) -> dict[str, VideoRow]:
        """Return what an index shows of those of some videos that exist, by id."""
        rows = self.read_among(
            "SELECT id, filename, nullif(path, ''), url, label, grp, duration_sec FROM videos "
            "WHERE id IN", ids,
        )  # fmt: skip
        return {row[0]: row for row in rows}

    def changed_videos(self, revision: int) -> set[str]:
        """Return the ids of videos that changed after a revision."""
        return set(self.column("SELECT id FROM videos WHERE revision > ?", revision))

    def removed_videos(self, revision: int) -> set[str]:
        """Return the ids of videos that were removed after a revision, also if they came back."""
        return set(self.column("SELECT video_id FROM removed WHERE revision > ?", revision))

    def remove_video(self, video_id: str) -> None:
        """Forget a video, its embeddings, jobs and uploads. The file itself stays.

        That is a revision, as a change is: each store that shows the video has to follow.
        """
        with self.transaction():
            self.write(_GROW)
            self.write(f"INSERT OR REPLACE INTO removed VALUES (?, {_REVISION})", video_id)
            for table in ("embeddings", "embedded", "jobs", "uploads", "files", "fields"):
                self.write(f"DELETE FROM {table} WHERE video_id = ?", video_id)
            self.write("DELETE FROM videos WHERE id = ?", video_id)

    def _leave_place(self, seen_at: str, video: Video) -> None:
        """Note that another video is not where this one is now; forget it if nothing is kept."""
        old_id = self.value("SELECT video_id FROM files WHERE path = ?", seen_at)
        if old_id in (None, video.id):
            return
        places = (old_id, seen_at, video.url)
        there = "id = ? AND (path = ? OR url = ?)"
        if any(
            self.read(f"SELECT 1 FROM {table} WHERE video_id = ? LIMIT 1", old_id)
            for table in ("embedded", "jobs", "uploads")
        ):
            self.write(_GROW)
            self.write(
                "UPDATE videos SET path = nullif(path, ?), url = nullif(url, ?), "
                f"revision = {_REVISION} WHERE {there}", seen_at, video.url, *places,
            )  # fmt: skip
        else:
            self.write(f"DELETE FROM videos WHERE {there}", *places)


def is_gone(video: Video) -> bool:
    """Whether the video had a file on this machine, which is there no more; a URL is a place."""
    if video.url is not None:
        return False
    if video.path is None:
        return video.size > 0  # what was only imported never had one
    return not exists(video.path)


VIDEO_COLUMNS = (
    "id, filename, path, url, size, label, grp, duration_sec, width, height, fps, codec, rotation"
)


def video_of(row: Sequence[Any]) -> Video:
    info = None
    if row[7] is not None:
        info = VideoInfo(row[7], row[8], row[9], row[10], row[11] or "", row[12] or 0)
    path = Path(row[2]) if row[2] else None
    return Video(row[0], row[1], path, row[3], row[4], row[5], row[6], info)


def split_of(place: str | None, label: str | None) -> str | None:
    """Return the side of a labelled data set that a video lies on: ``…/test/Archery/a.avi``."""
    parts = PurePosixPath((place or "").replace("\\", "/")).parts[-3:-1]
    return SPLIT_NAMES.get(parts[0].lower()) if parts[1:] == (label,) else None
