"""Bring a store up to date with the library."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from vidrec.commands.options import ReportFormat, command, flag
from vidrec.commands.stdin import agrees
from vidrec.display import Bar, count, note, show_data

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.ingest.index import IndexReport


@command("embedder", "store", "checkpoint", "library")
def index(
    settings: Settings,
    recreate: bool = flag(
        "Rebuild the whole index, then replace the old one at once.", "--recreate"
    ),
    prune: bool = flag("Delete points that the library no longer has.", "--prune"),
    yes: bool = flag("Delete points without asking.", "--yes", "-y"),
    format: ReportFormat = "auto",
) -> None:
    """Bring a store up to date with the library; no model is called.

    Example: vidrec index
    """
    from vidrec.ingest.index import index as stage

    gc.set_threshold(10_000)  # a batch's points are no garbage: rarely look through them
    report = stage(
        settings, recreate=recreate, prune=prune, agree=lambda what: yes or agrees(what),
        progress=Bar(),
    )  # fmt: skip
    show_data(format, report)
    _show_index(report)


def _show_index(report: IndexReport) -> None:
    rate = report.written / report.seconds if report.seconds else 0.0
    note(
        f"indexed {count(report.written, 'point')} in {report.seconds:.1f} s "
        f"({rate:,.0f} a second), deleted {report.deleted}; {report.place} serves "
        f"{count(report.total, 'point')} of {report.fingerprint}"
    )
    if report.stale:
        note(f"no longer in the library: {count(report.stale, 'point')}; --prune deletes them")
