"""Show what was asked of paid services, and mend what is stuck."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vidrec.commands.options import ReportFormat, command, flag, leave, option
from vidrec.display import Format, count, moment, note, show_data, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidrec.config import Settings
    from vidrec.ingest.copies import Cleaned
    from vidrec.library.joblist import JobRow


@command("library")
def jobs(
    settings: Settings,
    closed: bool = flag("Also show jobs whose embeddings are stored.", "--all"),
    give_up: str | None = option(
        "Give up a job, by its id or that of its video; the next `vidrec embed` pays for "
        "a new one.",
        metavar="ID",
    ),
    clean_assets: bool = flag("Delete files at the service that no job reads.", "--clean-assets"),
    format: ReportFormat = "auto",
) -> None:
    """Show jobs of paid services: state, age, minutes, and what is stuck.

    Example: vidrec jobs --give-up 6710aa00bb11
    """
    from vidrec.ingest.copies import clean_copies
    from vidrec.library import Library, joblist

    with Library(settings.library, create=False) as library:
        if give_up is not None:
            given = joblist.give_up(library, give_up, time.time())
            note(f"gave up the job of {given.filename or given.video_id}: the next run pays for a "
                 "new one (with --retry-failed, if it had failed for good)")  # fmt: skip
        cleaned = clean_copies(settings, library) if clean_assets else None
        _show_jobs(joblist.job_rows(library, time.time(), closed=closed), format)
    if cleaned is not None:
        _show_cleaned(cleaned)
        leave(failed=cleaned.left)


def _show_jobs(rows: Sequence[JobRow], wished: Format) -> None:
    if not show_data(wished, rows, rows):
        show_table(
            [
                {"job": row.job_id or "not known", "video": row.filename or row.video_id[:12],
                 "state": f"{row.state}, stuck" if row.stuck else row.state,
                 "age": moment(row.age_sec), "minutes": f"{row.minutes:.2f}",
                 "process": row.process or "", "problem": row.problem}
                for row in rows
            ],
            right=("age", "minutes", "process"),
            none="no jobs: --all shows those that are done, too",
        )  # fmt: skip
    if files := sum(row.file is not None for row in rows):
        note(f"the service may still hold {count(files, 'file')} of these: --clean-assets")
    if any(row.stuck for row in rows):
        note("what is stuck is taken up by the next `vidrec embed`, or given up by --give-up ID")


def _show_cleaned(cleaned: Cleaned) -> None:
    note(f"deleted {count(cleaned.deleted, 'file')} at the service")
    for copy in cleaned.left:
        note(f"left: {copy.asset_id or copy.name} of video {copy.video_id[:12]}: an open job "
             "reads it, or the service did not delete it")  # fmt: skip
