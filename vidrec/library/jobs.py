"""What the catalog keeps of paid work: jobs, what they cost, and what was uploaded where.

A job is written down before anything depends on it, so that a run that was cut off is taken up
again and nothing is paid for twice. Answers are kept compressed until their embeddings are stored.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass

from vidrec.library import Library
from vidrec.types import Job


@dataclass(frozen=True, slots=True)
class Spending:
    """What was paid for under one model: whole-video jobs and texts."""

    embedder: str
    model: str
    jobs: int
    minutes: float
    texts: int
    first: float | None
    last: float | None


@dataclass(frozen=True, slots=True)
class Upload:
    """Where a video's bytes lie; ``checksum`` is their SHA-256."""

    video_id: str
    url: str
    size: int
    checksum: str
    uploaded_at: float


class CatalogJobs:
    """The job log of a library."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def get(self, video_id: str, fingerprint: str) -> Job | None:
        """Return the latest job of a video under a request, if any."""
        rows = self._library.read(
            "SELECT state, job_id, detail, result, created_at, minutes FROM jobs "
            "WHERE video_id = ? AND fingerprint = ?",
            video_id, fingerprint,
        )  # fmt: skip
        if not rows:
            return None
        state, job_id, detail, result, created_at, minutes = rows[0]
        raw = zlib.decompress(result) if result is not None else None
        return Job(video_id, fingerprint, state, job_id, detail, raw, created_at, minutes)

    def put(self, job: Job) -> None:
        """Write a job down, on disk when this returns; an id counts as paid for."""
        packed = zlib.compress(job.result, 6) if job.result is not None else None
        with self._library.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (job.video_id, job.fingerprint, job.state, job.job_id, job.detail, packed,
                 job.created_at, job.minutes),
            )  # fmt: skip
            if job.job_id:
                embedder, model = job.fingerprint.split(":")[:2]
                db.execute(
                    "INSERT OR IGNORE INTO paid VALUES (?, ?, ?, ?, ?, ?)",
                    (job.job_id, job.video_id, embedder, model, job.minutes, job.created_at),
                )

    def close(self, video_id: str, fingerprint: str) -> None:
        """Note that a job's embeddings are stored: its answer need not be kept."""
        with self._library.transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'closed', result = NULL "
                "WHERE video_id = ? AND fingerprint = ? AND state = 'done'",
                (video_id, fingerprint),
            )

    def knows(self, job_id: str) -> bool:
        """Whether a job of this id was ever written down here."""
        return bool(self._library.read("SELECT 1 FROM paid WHERE job_id = ?", job_id))


def spendings(library: Library) -> list[Spending]:
    """Sum up what was paid for, by embedder and model. A cached text was asked once."""
    found: dict[tuple[str, str], Spending] = {}
    for row in library.read(
        "SELECT embedder, model, count(*), sum(minutes), min(created_at), max(created_at) "
        "FROM paid GROUP BY embedder, model"
    ):
        found[row[0], row[1]] = Spending(row[0], row[1], row[2], row[3], 0, row[4], row[5])
    paying = {key[0] for key in found} | {"marengo"}
    for fingerprint, texts in library.read(
        "SELECT fingerprint, count(*) FROM queries GROUP BY fingerprint"
    ):
        embedder, model = fingerprint.split(":")[:2]
        if embedder not in paying:
            continue
        old = found.get((embedder, model), Spending(embedder, model, 0, 0.0, 0, None, None))
        found[embedder, model] = Spending(
            embedder, model, old.jobs, old.minutes, old.texts + texts, old.first, old.last
        )
    return [found[key] for key in sorted(found)]


def add_upload(library: Library, upload: Upload) -> None:
    """Note where a video was uploaded to."""
    with library.transaction() as db:
        db.execute(
            "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?)",
            (upload.video_id, upload.url, upload.size, upload.checksum,
             upload.uploaded_at or time.time()),
        )  # fmt: skip


def upload_of(library: Library, video_id: str) -> Upload | None:
    """Return where a video was uploaded to, if it was."""
    rows = library.read(
        "SELECT video_id, url, size, checksum, uploaded_at FROM uploads WHERE video_id = ?",
        video_id,
    )
    return Upload(*rows[0]) if rows else None
