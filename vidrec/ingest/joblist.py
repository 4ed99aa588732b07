"""Jobs: what was asked of paid providers, what is stuck, and what they still hold of ours."""

from __future__ import annotations

import time
from dataclasses import dataclass

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import EmbedContext
from vidrec.library import Library
from vidrec.library.joblist import JobRow, give_up, job_rows
from vidrec.library.jobs import CatalogJobs, Copy


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Copies of files at providers: how many were deleted, and which are left."""

    deleted: int
    left: list[Copy]


def list_jobs(settings: Settings, *, closed: bool = False) -> list[JobRow]:
    """Return the jobs of the library, those that are stored only if wished.

    Raises:
        LibraryError: there is no library.
    """
    with Library(settings.library, create=False) as library:
        return job_rows(library, time.time(), closed=closed)


def give_up_job(settings: Settings, name: str) -> JobRow:
    """Have done with a job, that the next run may make a new one.

    Raises:
        UsageError: there is no such job, or there are several.
        LockedError: a process works on it.
    """
    with Library(settings.library, create=False) as library:
        return give_up(library, name, time.time())


def clean_copies(settings: Settings) -> Cleaned:
    """Delete the copies of files that no open job reads any more.

    Raises:
        EmbedderError: a provider refuses the key, or is not there.
    """
    with Library(settings.library, create=False) as library:
        jobs = CatalogJobs(library)
        before = jobs.copies()
        for name in sorted({copy.fingerprint.partition(":")[0] for copy in before}):
            embedder = load_embedder(settings, name)
            try:
                embedder.clean(EmbedContext(jobs=jobs))
            finally:
                embedder.close()
        left = jobs.copies()
    return Cleaned(len(before) - len(left), left)
