"""What the catalog keeps of paid work: jobs, what they cost, and what was uploaded where.

A job is written down before anything depends on it, so that a run that was cut off is taken up
again and nothing is paid for twice. Who wants to pay takes the job in hand first (a claim), then
has its minutes counted; both are rows of the catalog, which every process of the library sees.
Answers are kept compressed until their embeddings are stored.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Collection
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from datetime import datetime, timezone
from typing import Any

from vidrec.errors import LibraryError, OverCapError, TransientError
from vidrec.library import Library
from vidrec.library.claims import living, own_sign

_ROUNDING = 1e-9
_THIS = "video_id = ? AND fingerprint = ?"
_RESERVED = f"SELECT max(id) FROM paid WHERE job_id IS NULL AND {_THIS}"


@dataclass(frozen=True, slots=True)
class Job:
    """A provider's paid job for one video, as the catalog keeps it.

    ``state`` is ``creating`` (asked for, id not yet known), ``running``, ``done`` (``result``
    holds the provider's answer), ``closed`` (its embeddings are stored) or ``failed``.
    ``fingerprint`` names the request (embedder:model:…), ``minutes`` what it is billed by,
    ``source`` what the provider reads: a URL without its signature, or a file's name there.
    Times are Unix seconds.
    """

    video_id: str
    fingerprint: str
    state: str
    job_id: str | None = None
    detail: str = ""
    result: bytes | None = None
    created_at: float = 0.0
    minutes: float = 0.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a file that a provider may still hold; ``asset_id`` is empty until it is told."""

    name: str
    asset_id: str
    video_id: str
    fingerprint: str
    sent_at: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one run may pay for, in minutes of footage; ``month_minutes`` is the library's.

    A month is one of the calendar, in UTC. None is without limit.
    """

    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    run_minutes: float | None = None
    month_minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """Jobs and their minutes of footage. Of ``unclear`` ones no answer said whether they exist."""

    jobs: int = 0
    minutes: float = 0.0
    unclear: int = 0


@dataclass(frozen=True, slots=True)
class Spending:
    """What was paid for under one model: whole-video jobs and texts.

    Of ``unclear`` jobs no answer said whether they exist; their minutes are counted. Costs are in
    US dollars, None where no price is known.
    """

    embedder: str
    model: str
    jobs: int
    minutes: float
    unclear: int
    texts: int
    first: float | None
    last: float | None
    video_cost: float | None = None
    text_cost: float | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """Where a video's bytes lie; ``checksum`` is their SHA-256."""

    video_id: str
    url: str
    size: int
    checksum: str
    uploaded_at: float


class CatalogJobs:
    """The job log of a library, as one run uses it. Safe to share between threads."""

    def __init__(self, library: Library, allowance: Allowance | None = None) -> None:
        self._library = library
        self._allowance = allowance or Allowance()
        self._tokens: dict[tuple[str, str], str] = {}

    def get(self, video_id: str, fingerprint: str) -> Job | None:
        """Return the latest job of a video under a request, if any."""
        rows = self._library.read(
            "SELECT state, job_id, detail, result, created_at, minutes, source FROM jobs "
            f"WHERE {_THIS}", video_id, fingerprint,
        )  # fmt: skip
        if not rows:
            return None
        state, job_id, detail, result, *rest = rows[0]
        raw = zlib.decompress(result) if result is not None else None
        return Job(video_id, fingerprint, state, job_id, detail, raw, *rest)

    def put(self, job: Job) -> None:
        """Write a job down, on disk when this returns; an id counts as paid for."""
        with self._library.transaction():
            self._write(job)
            if job.job_id:
                self._bill(job)

    def _bill(self, job: Job) -> None:
        """Count a job that has an id: under its reservation, as a rule."""
        write, minutes = self._library.write, job.minutes
        if write("UPDATE paid SET minutes = ? WHERE job_id = ?", minutes, job.job_id):
            return
        reserved = write(
            f"UPDATE paid SET job_id = ?, minutes = ? WHERE id = ({_RESERVED})",
            job.job_id, minutes, job.video_id, job.fingerprint,
        )  # fmt: skip
        if not reserved:
            self._count(job)

    def _count(self, job: Job) -> None:
        self._library.write(
            "INSERT INTO paid (job_id, video_id, fingerprint, run, minutes, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            job.job_id, job.video_id, job.fingerprint, self._allowance.run, job.minutes,
            job.created_at,
        )  # fmt: skip

    def _write(self, job: Job) -> None:
        packed = zlib.compress(job.result, 6) if job.result is not None else None
        self._library.put(
            "jobs", job.video_id, job.fingerprint, job.state, job.job_id, job.detail, packed,
            job.created_at, job.minutes, job.source,
        )  # fmt: skip

    def close(self, video_id: str, fingerprint: str) -> None:
        """Note that a job's embeddings are stored: its answer need not be kept."""
        done = f"UPDATE jobs SET state = 'closed', result = NULL WHERE state = 'done' AND {_THIS}"
        self._library.write(done, video_id, fingerprint)

    def knows(self, job_id: str) -> bool:
        """Whether a job of this id was ever written down here."""
        return self._library.has("SELECT 1 FROM paid WHERE job_id = ?", job_id)

    def asked_after(self, job: Job) -> set[str]:
        """Return the ids of the jobs, of whatever video, that were asked for after one."""
        select = "SELECT job_id FROM paid WHERE job_id IS NOT NULL AND created_at > ?"
        return {row[0] for row in self._library.read(select, job.created_at)}

    def rivals(self, job: Job) -> bool:
        """Whether another lost job reads the same source: which of two is found, none can tell."""
        lost = f"SELECT 1 FROM jobs WHERE source = ? AND state = 'creating' AND NOT ({_THIS})"
        return self._library.has(lost, job.source, job.video_id, job.fingerprint)

    # One run at a time

    def claim(self, video_id: str, fingerprint: str) -> str | None:
        """Take a job in hand; return None, or the number of the process that has it."""
        token, owner = uuid.uuid4().hex, own_sign(self._library.folder)
        with self._library.transaction():
            select = f"SELECT owner FROM claims WHERE {_THIS}"
            claimed = self._library.value(select, video_id, fingerprint)
            if claimed and (holder := living(self._library.folder, claimed)):
                return holder
            self._library.put("claims", video_id, fingerprint, owner, token)
        self._tokens[video_id, fingerprint] = token
        return None

    def release(self, video_id: str, fingerprint: str) -> None:
        """Let a job go. Where that cannot be written, the process's end does it."""
        token = self._tokens.pop((video_id, fingerprint), "")
        with suppress(LibraryError):
            mine = f"DELETE FROM claims WHERE {_THIS} AND token = ?"
            self._library.write(mine, video_id, fingerprint, token)

    # What may be paid

    def reserve(self, job: Job) -> None:
        """Write down that a job is asked for now, and count its minutes.

        Raises:
            OverCapError: the run, or the month, may not pay for it.
            TransientError: it is not in hand any more.
        """
        with self._library.transaction():
            key = (job.video_id, job.fingerprint)
            mine = f"SELECT 1 FROM claims WHERE {_THIS} AND token = ?"
            if not self._library.has(mine, *key, self._tokens.get(key, "")):
                raise TransientError("another run has taken it in hand")
            room = self.room(job.created_at)
            if room is not None and job.minutes > room + _ROUNDING:
                raise OverCapError(
                    f"{job.minutes:.2f} minutes of footage are more than the {max(room, 0):.2f} "
                    "that may still be paid for"
                )
            self._count(job)
            self._write(job)

    def unmade(self, job: Job) -> None:
        """Note that a reserved job does not exist, for sure."""
        key = (job.video_id, job.fingerprint)
        with self._library.transaction():
            # Of older ones, that were given up, nobody knows.
            self._library.write(f"DELETE FROM paid WHERE id = ({_RESERVED})", *key)
            self._library.write(f"DELETE FROM jobs WHERE state = 'creating' AND {_THIS}", *key)

    def room(self, now: float) -> float | None:
        """Return how many minutes may still be paid for; None where nothing limits them."""
        limits = (
            (self._allowance.run_minutes, self.bill().minutes),
            (self._allowance.month_minutes, month_minutes(self._library, now)),
        )
        room = [limit - spent for limit, spent in limits if limit is not None]
        return min(room) if room else None

    def bill(self) -> Bill:
        """Return what this run asked for, as far as it was not refused."""
        row = self._library.read(
            "SELECT count(job_id), total(minutes), count(*) FROM paid WHERE run = ?",
            self._allowance.run,
        )[0]
        return Bill(row[0], row[1], row[2] - row[0])

    def has_asked(self, video_id: str) -> bool:
        """Whether this run has asked to pay for a video."""
        select = "SELECT 1 FROM paid WHERE run = ? AND video_id = ?"
        return self._library.has(select, self._allowance.run, video_id)

    def is_lost(self, video_id: str) -> bool:
        """Whether no answer said if a video's job was made; its minutes are counted."""
        select = "SELECT 1 FROM jobs WHERE video_id = ? AND state = 'creating'"
        return self._library.has(select, video_id)

    # Copies at the provider

    def add_copy(self, copy: Copy) -> None:
        """Note a copy: before it is sent, and again when its id is known."""
        row = (copy.name, copy.asset_id, copy.video_id, copy.fingerprint, copy.sent_at)
        self._library.put("sent", *row)

    def forget_copy(self, name: str) -> None:
        """Note that a copy is not there any more."""
        self._library.write("DELETE FROM sent WHERE name = ?", name)

    def copies(self) -> list[Copy]:
        """Return the copies that a provider may still hold, the oldest first."""
        rows = self._library.read(
            "SELECT name, coalesce(asset_id, ''), video_id, fingerprint, sent_at FROM sent "
            "ORDER BY sent_at"
        )
        return [Copy(*row) for row in rows]


def month_minutes(library: Library, now: float) -> float:
    """Return the minutes that were asked for in the calendar month (UTC) of a moment."""
    begin = datetime.fromtimestamp(now, timezone.utc)
    begin = begin.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    select = "SELECT total(minutes) FROM paid WHERE created_at >= ?"
    return float(library.value(select, begin.timestamp()))


def spendings(library: Library, paid: Collection[str]) -> list[Spending]:
    """Sum up what was paid for, by embedder and model. A cached text was asked once.

    ``paid`` names the embedders whose texts cost something, too.
    """
    rows = library.read(
        "SELECT fingerprint, count(job_id), sum(minutes), count(*) - count(job_id), 0, "
        "min(created_at), max(created_at) FROM paid GROUP BY fingerprint"
    )
    paying = {row[0].partition(":")[0] for row in rows} | set(paid)
    texts = library.read(
        "SELECT fingerprint, 0, 0.0, 0, count(*), NULL, NULL FROM queries GROUP BY fingerprint"
    )
    models: dict[tuple[str, str], list[Any]] = {}
    for fingerprint, *row in rows + [row for row in texts if row[0].partition(":")[0] in paying]:
        embedder, model = fingerprint.split(":")[:2]
        models.setdefault((embedder, model), []).append(row)
    found = []
    for (embedder, model), parts in sorted(models.items()):
        *counts, firsts, lasts = zip(*parts, strict=True)
        jobs, minutes, unclear, asked = map(sum, counts)
        first = min((time for time in firsts if time is not None), default=None)
        last = max((time for time in lasts if time is not None), default=None)
        found.append(Spending(embedder, model, jobs, minutes, unclear, asked, first, last))
    return found


def add_upload(library: Library, upload: Upload) -> None:
    """Note where a video was uploaded to."""
    library.put("uploads", *astuple(upload))


def upload_of(library: Library, video_id: str) -> Upload | None:
    """Return where a video was uploaded to, if it was."""
    rows = library.read("SELECT * FROM uploads WHERE video_id = ?", video_id)
    return Upload(*rows[0]) if rows else None
