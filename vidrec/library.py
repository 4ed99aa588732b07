"""The library: a folder whose ``catalog.sqlite3`` is the source of truth.

It holds videos, embeddings, provider jobs, uploads, failures and the vectors of texts asked
before; every store can be rebuilt from it without a model. Transactions are short, so that one
process may embed while others recommend (SQLite in WAL mode).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vidrec.calibration import Calibration
from vidrec.catalog import Catalog
from vidrec.errors import LibraryError, UsageError
from vidrec.types import Embedding, Fingerprint, Modality, Scalar, Scope, Video, VideoInfo

if TYPE_CHECKING:
    import sqlite3

    from vidrec.types import Vector

    # id, file name, path, URL, label, group, duration (seconds)
    VideoRow: TypeAlias = tuple[
        str, str, str | None, str | None, str | None, str | None, float | None
    ]
    # number, video id, scope, start, end (seconds), vector, extra
    EmbeddingRow: TypeAlias = tuple[int, str, Scope, float, float, Vector, dict[str, Scalar]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be taken up, and why; ``below``: found below a named folder."""

    stage: str
    source: str
    reason: str
    permanent: bool
    failed_at: float
    below: bool = False


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells cheaply whether a file is the one seen before."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns)


class Library(Catalog):
    """An open library. Use as a context manager; safe to share between threads."""

    # Videos

    def known_id(self, path: Path, stamp: FileStamp) -> str | None:
        """Return the id of a file that has not changed since it was hashed, else None."""
        rows = self.read(
            "SELECT video_id FROM files WHERE path = ? AND size = ? AND mtime_ns = ?",
            str(path), stamp.size, stamp.mtime_ns,
        )  # fmt: skip
        return str(rows[0][0]) if rows else None

    def add_video(
        self, video: Video, stamp: FileStamp | None = None, seen_at: Path | None = None
    ) -> None:
        """Add a video or refresh what is known of it; what is None keeps its old value.

        With a ``stamp`` the file at ``seen_at`` (by default the video's path) is known from now.
        What lay there before lies there no longer.
        """
        info = video.info
        with self.transaction() as db:
            found = db.execute(f"SELECT {_VIDEO} FROM videos WHERE id = ?", (video.id,)).fetchone()
            row = [
                video.id, video.filename, str(video.path) if video.path else None, video.url,
                video.size, video.label, video.group,
                *((info.duration_sec, info.width, info.height, info.fps, info.codec,
                   info.rotation) if info else (None,) * 6),
            ]  # fmt: skip
            if found:
                row = [old if new is None else new for new, old in zip(row, found, strict=True)]
            if not found or tuple(row) != tuple(found):
                db.execute("UPDATE counters SET value = value + 1 WHERE name = 'revision'")
                db.execute(
                    f"INSERT OR REPLACE INTO videos ({_VIDEO}, added_at, revision) VALUES "
                    f"({', '.join('?' * len(row))}, "
                    "coalesce((SELECT added_at FROM videos WHERE id = ?), ?), "
                    "(SELECT value FROM counters WHERE name = 'revision'))",
                    (*row, video.id, time.time()),
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
        rows = self.read(f"SELECT {_VIDEO} FROM videos WHERE id = ?", video_id)
        return _video(rows[0]) if rows else None

    def find_video(self, prefix: str) -> Video:
        """Return the one video whose id begins so.

        Raises:
            UsageError: none or several do.
        """
        clean = "".join(c for c in prefix.lower() if c in "0123456789abcdef")
        if not clean or clean != prefix.lower():
            raise UsageError(f"{prefix!r} is no video id: `vidrec list` shows them")
        rows = self.read(f"SELECT {_VIDEO} FROM videos WHERE id GLOB ? LIMIT 2", f"{clean}*")
        if len(rows) != 1:
            what = (
                "several videos have ids that begin" if rows else "no video has an id that begins"
            )
            raise UsageError(f"{what} with {prefix}: `vidrec list` shows them")
        return _video(rows[0])

    def videos(self) -> Iterator[Video]:
        """Iterate over all videos by file name, then id."""
        for row in self.read(f"SELECT {_VIDEO} FROM videos ORDER BY filename, id"):
            yield _video(row)

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

    def remove_video(self, video_id: str) -> None:
        """Forget a video, its embeddings, jobs and uploads. The file itself stays."""
        with self.transaction() as db:
            for table in ("embeddings", "embedded", "jobs", "uploads", "files"):
                db.execute(f"DELETE FROM {table} WHERE video_id = ?", (video_id,))
            db.execute("DELETE FROM videos WHERE id = ?", (video_id,))

    # Embeddings

    def register(self, fingerprint: Fingerprint) -> int:
        """Return the catalog's number for a fingerprint, adding it when new."""
        found = self._fingerprint_id(str(fingerprint))
        if found is not None:
            return found
        with self.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO fingerprints"
                "(fingerprint, embedder, model, dim, options, created_at)"
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    str(fingerprint), fingerprint.embedder, fingerprint.model, fingerprint.dim,
                    json.dumps(dict(fingerprint.options), sort_keys=True), time.time(),
                ),
            )  # fmt: skip
        number = self._fingerprint_id(str(fingerprint))
        assert number is not None
        return number

    def fingerprints(self) -> list[Fingerprint]:
        """Return all fingerprints that the library has seen, oldest first."""
        rows = self.read("SELECT embedder, model, dim, options FROM fingerprints ORDER BY id")
        return [Fingerprint(row[0], row[1], row[2], json.loads(row[3])) for row in rows]

    def clip_seconds(self, fingerprint: str) -> dict[str, float]:
        """Return the clip length that each finished video was cut by, by video id."""
        rows = self.read(
            "SELECT video_id, clip_seconds FROM embedded WHERE fingerprint_id = ?",
            self._fingerprint_id(fingerprint),
        )
        return {row[0]: float(row[1]) for row in rows}

    def is_embedded(self, video_id: str, fingerprint: str, clip_seconds: float) -> bool:
        """Tell whether a video is finished under a fingerprint and clip length."""
        rows = self.read(
            "SELECT 1 FROM embedded JOIN fingerprints f ON f.id = fingerprint_id "
            "WHERE video_id = ? AND f.fingerprint = ? AND clip_seconds = ?",
            video_id, fingerprint, clip_seconds,
        )  # fmt: skip
        return bool(rows)

    def save_embeddings(
        self, video_id: str, embeddings: Sequence[Embedding], clip_seconds: float
    ) -> None:
        """Store a finished video's embeddings in one transaction, replacing earlier ones.

        Embeddings of several fingerprints may come together; each must be registered.
        """
        numbers = {}
        for fingerprint in {embedding.fingerprint for embedding in embeddings}:
            number = self._fingerprint_id(fingerprint)
            if number is None:
                raise LibraryError(f"fingerprint {fingerprint} is not registered")
            numbers[fingerprint] = number
        with self.transaction() as db:
            for number in numbers.values():
                db.execute(
                    "DELETE FROM embeddings WHERE video_id = ? AND fingerprint_id = ?",
                    (video_id, number),
                )
                db.execute(
                    "INSERT OR REPLACE INTO embedded VALUES (?, ?, ?, ?)",
                    (video_id, number, clip_seconds, time.time()),
                )
            db.executemany(
                "INSERT INTO embeddings"
                "(video_id, fingerprint_id, scope, start_sec, end_sec, vector, extra)"
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (video_id, numbers[e.fingerprint], e.scope, e.start_sec, e.end_sec,
                     e.vector.astype("<f4").tobytes(),
                     json.dumps(dict(e.extra), ensure_ascii=False) if e.extra else None)
                    for e in embeddings
                ],
            )  # fmt: skip

    def embeddings(
        self, fingerprint: str, *, after: int = 0, batch: int = 1024
    ) -> Iterator[tuple[int, Embedding]]:
        """Iterate over (number, embedding) in the order they were stored, in bounded memory.

        Numbers only grow, also when a video is embedded again; ``after`` skips up to one.
        """
        for rows in self.embedding_rows(fingerprint, after=after, batch=batch):
            for number, video_id, scope, start, end, vector, extra in rows:
                yield number, Embedding(video_id, fingerprint, scope, start, end, vector, extra)

    def embedding_rows(
        self, fingerprint: str, *, after: int = 0, batch: int = 1024
    ) -> Iterator[list[EmbeddingRow]]:
        """Iterate over what ``embeddings`` does, in batches and without its objects."""
        number = self._fingerprint_id(fingerprint)
        while number is not None:
            rows = self.read(
                "SELECT id, video_id, scope, start_sec, end_sec, vector, extra FROM embeddings "
                "WHERE fingerprint_id = ? AND id > ? ORDER BY id LIMIT ?",
                number, after, batch,
            )  # fmt: skip
            yield [(*row[:5], _vector(row[5]), _extra(row[6])) for row in rows]
            if len(rows) < batch:
                return
            after = rows[-1][0]

    def embedded_after(self, fingerprint: str, last: int) -> set[str]:
        """Return the ids of videos with embeddings that were stored after a number."""
        rows = self.read(
            "SELECT DISTINCT video_id FROM embeddings WHERE fingerprint_id = ? AND id > ?",
            self._fingerprint_id(fingerprint), last,
        )  # fmt: skip
        return {row[0] for row in rows}

    def count_up_to(self, fingerprint: str, last: int) -> int:
        """Return how many embeddings are stored under a fingerprint up to a number."""
        rows = self.read(
            "SELECT count(*) FROM embeddings WHERE fingerprint_id = ? AND id <= ?",
            self._fingerprint_id(fingerprint), last,
        )  # fmt: skip
        return int(rows[0][0])

    def video_embeddings(
        self, video_id: str, fingerprint: str, scope: Scope | None = None
    ) -> list[Embedding]:
        """Return one video's embeddings, by start."""
        rows = self.read(
            "SELECT video_id, scope, start_sec, end_sec, vector, extra FROM embeddings "
            "WHERE video_id = ? AND fingerprint_id = ? AND (? IS NULL OR scope = ?) "
            "ORDER BY scope, start_sec, end_sec",
            video_id, self._fingerprint_id(fingerprint), scope, scope,
        )  # fmt: skip
        return [_embedding(fingerprint, *row) for row in rows]

    def count_embeddings(self, fingerprint: str) -> tuple[int, int]:
        """Return (videos, embeddings) stored under a fingerprint."""
        number = self._fingerprint_id(fingerprint)
        videos = self.read("SELECT count(*) FROM embedded WHERE fingerprint_id = ?", number)
        rows = self.read("SELECT count(*) FROM embeddings WHERE fingerprint_id = ?", number)
        return int(videos[0][0]), int(rows[0][0])

    # How far the stores have followed

    def position(self, fingerprint: str) -> tuple[int, int]:
        """Return the latest (revision of videos, number of an embedding under a fingerprint)."""
        revision = self.read("SELECT value FROM counters WHERE name = 'revision'")[0][0]
        rows = self.read(
            "SELECT max(id) FROM embeddings WHERE fingerprint_id = ?",
            self._fingerprint_id(fingerprint),
        )
        return int(revision), int(rows[0][0] or 0)

    def indexed_position(self, target: str, fingerprint: str) -> tuple[int, int]:
        """Return the position that a collection has followed to; (0, 0) if never."""
        rows = self.read(
            "SELECT revision, last_id FROM indexed WHERE target = ? AND fingerprint = ?",
            target, fingerprint,
        )  # fmt: skip
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)

    def set_indexed_position(
        self, target: str, fingerprint: str, position: tuple[int, int]
    ) -> None:
        """Note that a collection has followed to a position."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO indexed VALUES (?, ?, ?, ?)",
                (target, fingerprint, *position),
            )

    def embedders_by_video(self) -> dict[str, list[str]]:
        """Return the names of the embedders that finished each video, by video id."""
        names: dict[str, list[str]] = {}
        rows = self.read(
            "SELECT DISTINCT video_id, embedder FROM embedded "
            "JOIN fingerprints f ON f.id = fingerprint_id ORDER BY video_id, embedder"
        )
        for video_id, embedder in rows:
            names.setdefault(video_id, []).append(embedder)
        return names

    def _fingerprint_id(self, fingerprint: str) -> int | None:
        rows = self.read("SELECT id FROM fingerprints WHERE fingerprint = ?", fingerprint)
        return int(rows[0][0]) if rows else None

    # Failures

    def record_failure(
        self,
        stage: str,
        source: str,
        reason: str,
        *,
        permanent: bool = True,
        stamp: FileStamp | None = None,
        below: bool = False,
    ) -> None:
        """Write down that a source failed in a stage; a later failure replaces it."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (stage, source, reason, permanent, stamp.size if stamp else None,
                 stamp.mtime_ns if stamp else None, time.time(), below),
            )  # fmt: skip

    def failed_before(self, stage: str, source: str, stamp: FileStamp) -> str | None:
        """Return why this very file failed for good before, or None."""
        rows = self.read(
            "SELECT reason FROM failures WHERE stage = ? AND source = ? AND permanent "
            "AND size = ? AND mtime_ns = ?",
            stage, source, stamp.size, stamp.mtime_ns,
        )  # fmt: skip
        return str(rows[0][0]) if rows else None

    def clear_failure(self, stage: str, source: str) -> None:
        """Forget a failure, if there is one."""
        if self.read("SELECT 1 FROM failures WHERE stage = ? AND source = ?", stage, source):
            with self.transaction() as db:
                db.execute("DELETE FROM failures WHERE stage = ? AND source = ?", (stage, source))

    def failures(self) -> list[Failure]:
        """Return all recorded failures, by stage and source."""
        rows = self.read(
            "SELECT stage, source, reason, permanent, failed_at, below FROM failures "
            "ORDER BY stage, source"
        )
        return [Failure(row[0], row[1], row[2], bool(row[3]), row[4], bool(row[5])) for row in rows]

    # Texts asked before

    def cached_query(self, text: str, fingerprint: str) -> tuple[Vector, float] | None:
        """Return the vector of a text that was asked before and how far it was understood."""
        rows = self.read(
            "SELECT vector, understood FROM queries WHERE text = ? AND fingerprint = ?",
            text, fingerprint,
        )  # fmt: skip
        return (_vector(rows[0][0]), float(rows[0][1])) if rows else None

    def cache_query(
        self, text: str, fingerprint: str, vector: Vector, understood: float = 1.0
    ) -> None:
        """Keep the vector of a text and how far it was understood, where that can be written."""
        if self.read_only:
            return
        with contextlib.suppress(LibraryError), self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO queries VALUES (?, ?, ?, ?)",
                (text, fingerprint, vector.astype("<f4").tobytes(), understood),
            )

    # What scores mean on these videos

    def calibration(self, fingerprint: str, kind: Modality) -> Calibration | None:
        """Return what was measured here for a fingerprint and kind of query, or None."""
        rows = self.read(
            "SELECT slope, offset FROM calibrations WHERE fingerprint = ? AND kind = ?",
            fingerprint, kind,
        )  # fmt: skip
        return Calibration(*rows[0]) if rows else None

    def set_calibration(
        self, fingerprint: str, kind: Modality, calibration: Calibration | None
    ) -> None:
        """Keep what was measured here; None forgets it."""
        with self.transaction() as db:
            db.execute(
                "DELETE FROM calibrations WHERE fingerprint = ? AND kind = ?", (fingerprint, kind)
            )
            if calibration is not None:
                db.execute(
                    "INSERT INTO calibrations VALUES (?, ?, ?, ?)",
                    (fingerprint, kind, calibration.slope, calibration.offset),
                )


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
    db.execute("UPDATE counters SET value = value + 1 WHERE name = 'revision'")
    db.execute(
        "UPDATE videos SET path = nullif(path, ?), url = nullif(url, ?), "
        f"revision = (SELECT value FROM counters WHERE name = 'revision') WHERE {there}",
        (seen_at, video.url, *places),
    )


_VIDEO = (
    "id, filename, path, url, size, label, grp, duration_sec, width, height, fps, codec, rotation"
)


def _video(row: Sequence[Any]) -> Video:
    info = None
    if row[7] is not None:
        info = VideoInfo(row[7], row[8], row[9], row[10], row[11] or "", row[12] or 0)
    path = Path(row[2]) if row[2] else None
    return Video(row[0], row[1], path, row[3], row[4], row[5], row[6], info)


def _vector(blob: bytes) -> Vector:
    import numpy as np

    return np.frombuffer(blob, dtype="<f4")


def _extra(text: str | None) -> dict[str, Scalar]:
    return json.loads(text) if text else {}


def _embedding(
    fingerprint: str, video_id: str, scope: Scope, start: float, end: float, blob: bytes,
    extra: str | None,
) -> Embedding:  # fmt: skip
    return Embedding(video_id, fingerprint, scope, start, end, _vector(blob), _extra(extra))
