"""Bring a store up to date with the library."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from vidrec.commands.options import (
    CheckpointFolder,
    EmbedderName,
    Library,
    ReportFormat,
    StoreName,
    flag,
    may_ask,
    settings_for,
)
from vidrec.display import Bar, choose_format, count, note, show_data

if TYPE_CHECKING:
    from vidrec.ingest.index import IndexReport


def index(
    embedder: EmbedderName = None,
    store: StoreName = None,
    recreate: bool = flag(
        "Rebuild the whole index, then replace the old one at once.", "--recreate"
    ),
    prune: bool = flag("Delete points that the library no longer has.", "--prune"),
    yes: bool = flag("Delete points without asking.", "--yes", "-y"),
    checkpoint: CheckpointFolder = None,
    format: ReportFormat = "auto",
    library: Library = None,
) -> None:
    """Bring a store up to date with the library; no model is called.

    Example: vidrec index
    """
    from vidrec.ingest.index import index as stage

    wished = choose_format(format)
    settings = settings_for(
        embedder__name=embedder, store__name=store, resnet__checkpoint=checkpoint, library=library
    )
    gc.set_threshold(10_000)  # a batch's points are no garbage: rarely look through them
    report = stage(settings, recreate=recreate, prune=prune, agree=agreement(yes), progress=Bar())
    show_data(wished, report)
    _show_index(report)


def agreement(yes: bool) -> Callable[[str], bool] | None:
    """Return how to ask whether points may be deleted; None if nobody is there to answer."""
    if yes:
        return lambda question: True
    return (lambda question: typer.confirm(question, err=True)) if may_ask() else None


def _show_index(report: IndexReport) -> None:
    rate = report.written / report.seconds if report.seconds else 0.0
    note(
        f"indexed {count(report.written, 'point')} in {report.seconds:.1f} s "
        f"({rate:,.0f} a second), deleted {report.deleted}; {report.place} serves "
        f"{count(report.total, 'point')} of {report.fingerprint}"
    )
    if report.stale:
        note(f"no longer in the library: {count(report.stale, 'point')}; --prune deletes them")
