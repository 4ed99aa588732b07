"""Videos of the library, and the files in which they were seen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from vidrec.errors import UsageError
from vidrec.files import exists
from vidrec.library.catalog import Catalog
from vidrec.types import SPLIT_NAMES, Video, VideoInfo

if TYPE_CHECKING:
    import sqlite3

    # id, file name, path, URL, label, group, duration (seconds)
    VideoRow: TypeAlias = tuple[
        str, str, str | None, str | None, str | None, str | None, float | None
    ]


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells cheaply whether a file is the one seen before."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns)


class Videos(Catalog):
    """What is known of each video."""

    def known_id(self, path: Path, stamp: FileStamp) -> str | None:
        """Return the id of a file that has not changed since it was hashed, else None."""
        rows = self.read(
            "SELECT video_id FROM files WHERE path = ? AND size = ? AND mtime_ns = ?",
            str(path), stamp.size, stamp.mtime_ns,
        )  # fmt: skip
        return str(rows[0][0]) if rows else None

    def seen_at(self, video_id: str) -> list[str]:
        """Return all places where a video was seen."""
        return [row[0] for row in self.read("SELECT path FROM files WHERE video_id = ?", video_id)]

    def add_video(
        self, video: Video, stamp: FileStamp | None = None, seen_at: Path | None = None
    ) -> None:
        """Add a video or refresh what is known of it; what is None keeps its old value.

        With a ``stamp`` the file at ``seen_at`` (by default the video's path) is known from now.
        What lay there before lies there no longer.
        """
        info = video.info
        with self.transaction() as db:
            found = db.execute(
                f"SELECT {VIDEO_COLUMNS} FROM videos WHERE id = ?", (video.id,)
            ).fetchone()
            row = [
                video.id, video.filename, str(video.path) if video.path else None, video.url,
                video.size, video.label, video.group,
                *((info.duration_sec, info.width, info.height, info.fps, info.codec,
                   info.rotation) if info else (None,) * 6),
            ]  # fmt: skip
            if found:
                row = [old if new is None else new for new, old in zip(row, found, strict=True)]
            if not found or tuple(row) != tuple(found):
                _next_revision(db)
                db.execute(
                    f"INSERT OR REPLACE INTO videos ({VIDEO_COLUMNS}, added_at, revision) VALUES "
                    f"({', '.join('?' * len(row))}, "
                    "coalesce((SELECT added_at FROM videos WHERE id = ?), ?), "
                    "(SELECT value FROM counters WHERE name = 'revision'))",
                    (*row, video.id, time.time()),
                )
                if side := split_of(row[2] or row[3], video.label):
                    db.execute(
                        "INSERT OR REPLACE INTO fields VALUES (?, 'split', ?)", (row[0], side)
                    )
            seen_at = seen_at or video.path
            if seen_at is not None and stamp is not None:
                _leave_place(db, str(seen_at), video)
                db.execute(
                    "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                    (str(seen_at), stamp.size, stamp.mtime_ns, video.id),
                )

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

    def set_label(self, video_id: str, label: str | None) -> None:
        """Give a video a label, or none; each store that shows the video has to follow."""
        with self.transaction() as db:
            _next_revision(db)
            db.execute(
                "UPDATE videos SET label = ?, revision = "
                "(SELECT value FROM counters WHERE name = 'revision') WHERE id = ?",
                (label, video_id),
            )

    def ids_of(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the ids of all videos that have such a file name, path, URL or whole id, by it."""
        found: dict[str, list[str]] = {}
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            marks = ", ".join("?" * len(some))
            for key in ("id", "filename", "path", "url"):
                rows = self.read(f"SELECT {key}, id FROM videos WHERE {key} IN ({marks})", *some)
                for name, video_id in rows:
                    found.setdefault(name, []).append(video_id)
        return found

    def other_ids(self, ids: set[str]) -> frozenset[str]:
        """Return the ids of all videos that are not among some."""
        return frozenset(row[0] for row in self.read("SELECT id FROM videos")) - ids

    def videos(self) -> Iterator[Video]:
        """Iterate over all videos by file name, then id."""
        for row in self.read(f"SELECT {VIDEO_COLUMNS} FROM videos ORDER BY filename, id"):
            yield video_of(row)

    def video_rows(self, ids: Sequence[str]) -> dict[str, VideoRow]:
        """Return what an index shows of those of some videos that exist, by id."""
        found: dict[str, VideoRow] = {}
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            marks = ", ".join("?" * len(some))
            rows = self.read(
                "SELECT id, filename, nullif(path, ''), url, label, grp, duration_sec FROM videos "
                f"WHERE id IN ({marks})", *some,
            )  # fmt: skip
            found.update((row[0], row) for row in rows)
        return found

    def changed_videos(self, revision: int) -> set[str]:
        """Return the ids of videos that changed after a revision."""
        return {row[0] for row in self.read("SELECT id FROM videos WHERE revision > ?", revision)}

    def removed_videos(self, revision: int) -> set[str]:
        """Return the ids of videos that were removed after a revision, also if they came back."""
        rows = self.read("SELECT video_id FROM removed WHERE revision > ?", revision)
        return {row[0] for row in rows}

    def remove_video(self, video_id: str) -> None:
        """Forget a video, its embeddings, jobs and uploads. The file itself stays.

        That is a revision, as a change is: each store that shows the video has to follow.
        """
        with self.transaction() as db:
            _next_revision(db)
            db.execute(
                "INSERT OR REPLACE INTO removed SELECT ?, value FROM counters "
                "WHERE name = 'revision'", (video_id,),
            )  # fmt: skip
            for table in ("embeddings", "embedded", "jobs", "uploads", "files", "fields"):
                db.execute(f"DELETE FROM {table} WHERE video_id = ?", (video_id,))
            db.execute("DELETE FROM videos WHERE id = ?", (video_id,))


def is_gone(video: Video) -> bool:
    """Whether the video had a file on this machine, which is there no more; a URL is a place."""
    if video.url is not None:
        return False
    if video.path is None:
        return video.size > 0  # what was only imported never had one
    return not exists(video.path)


def _next_revision(db: sqlite3.Connection) -> None:
    db.execute("UPDATE counters SET value = value + 1 WHERE name = 'revision'")


def _leave_place(db: sqlite3.Connection, seen_at: str, video: Video) -> None:
    """Note that another video is no longer where this one is; forget one nothing was kept of."""
    known = db.execute("SELECT video_id FROM files WHERE path = ?", (seen_at,)).fetchone()
    if known is None or known[0] == video.id:
        return
    old_id = known[0]
    kept = any(
        db.execute(f"SELECT 1 FROM {table} WHERE video_id = ?", (old_id,)).fetchone()
        for table in ("embedded", "jobs", "uploads")
    )
    places = (old_id, seen_at, video.url)
    there = "id = ? AND (path = ? OR url = ?)"
    if not kept:
        db.execute(f"DELETE FROM videos WHERE {there}", places)
        return
    _next_revision(db)
    db.execute(
        "UPDATE videos SET path = nullif(path, ?), url = nullif(url, ?), "
        f"revision = (SELECT value FROM counters WHERE name = 'revision') WHERE {there}",
        (seen_at, video.url, *places),
    )


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
