"""The jobs of a library as a person sees them: what each costs, how old it is, who is at it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vidrec.errors import LockedError, UsageError
from vidrec.library import Library
from vidrec.library.claims import living

OPEN = ("creating", "running")
SHORTEST = 6  # letters of an id that may stand for it
STUCK_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. ``process`` is the number of the one that works on it now, if any.

    ``file`` is a copy of the video that the provider may still hold. ``problem`` says what was
    wrong with its answer, if anything; ``stuck`` that nothing will come of it by itself.
    """

    job_id: str | None
    video_id: str
    filename: str | None
    embedder: str
    model: str
    state: str
    minutes: float
    created_at: float
    age_sec: float
    process: str | None
    stuck: bool
    problem: str
    file: str | None


def job_rows(library: Library, now: float, *, closed: bool = False) -> list[JobRow]:
    """Return the library's jobs, the newest first; those that are stored only if wished."""
    rows = []
    for row in library.read(
        "SELECT jobs.job_id, jobs.video_id, videos.filename, jobs.fingerprint, jobs.state, "
        "jobs.minutes, jobs.created_at, jobs.detail, claims.owner, "
        "(SELECT max(sent.name) FROM sent WHERE sent.video_id = jobs.video_id AND "
        "sent.fingerprint = jobs.fingerprint) "
        "FROM jobs LEFT JOIN videos ON videos.id = jobs.video_id "
        "LEFT JOIN claims ON (claims.video_id, claims.fingerprint) = "
        "(jobs.video_id, jobs.fingerprint) "
        "WHERE jobs.state != 'closed' OR ? ORDER BY jobs.created_at DESC",
        closed,
    ):
        job_id, video_id, filename, fingerprint, state, minutes, made, detail, owner, file = row
        embedder, model = fingerprint.split(":")[:2]
        process = living(library.folder, owner) if owner else None
        age = max(0.0, now - made)
        stuck = state in OPEN and process is None and (bool(detail) or age > STUCK_SECONDS)
        rows.append(JobRow(job_id, video_id, filename, embedder, model, state, minutes, made, age,
                           process, stuck, detail, file))  # fmt: skip
    return rows


def give_up(library: Library, name: str, now: float) -> JobRow:
    """Have done with a job: the next run makes, and pays for, a new one.

    Args:
        name: the job's id or the video's, or their beginning.

    Raises:
        UsageError: no job, or several, or one whose embeddings are stored.
        LockedError: a process works on it.
    """
    with library.transaction() as db:
        found = [
            row
            for row in job_rows(library, now, closed=True)
            if name in (row.job_id, row.video_id)
            or (len(name) >= SHORTEST and (row.job_id or "").startswith(name))
            or (len(name) >= SHORTEST and row.video_id.startswith(name))
        ]
        going = [row for row in found if row.state != "closed"]
        if len(going) != 1:
            several = "several jobs are called so: give more of the id" if going else None
            stored = "its embeddings are stored: there is nothing to give up" if found else None
            raise UsageError(f"{name}: {several or stored or 'no such job'}; see `vidrec jobs`")
        (row,) = going
        if row.process is not None:
            raise LockedError(f"process {row.process} works on the job of {name}: end it first")
        db.execute(
            "UPDATE jobs SET state = 'failed', detail = 'given up', result = NULL "
            "WHERE video_id = ? AND created_at = ? AND state = ?",
            (row.video_id, row.created_at, row.state),
        )
    return replace(row, state="failed", problem="given up", stuck=False)
