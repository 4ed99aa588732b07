"""Show what was paid for."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from vidrec import display
from vidrec.commands.options import (
    Library,
    ReportFormat,
    settings_for,
)
from vidrec.display import (
    Format,
    Report,
    dollars,
    show_json,
    show_table,
    size,
)

if TYPE_CHECKING:
    from vidrec.ingest.usage import Usage


def usage(format: ReportFormat = Report.auto, library: Library = None) -> None:
    """Show what was paid for, by the library's own record.

    Example: vidrec usage
    """
    from vidrec.ingest.usage import usage as stage

    wished = display.choose_format(format)
    show_usage(stage(settings_for(library=library)), wished)


def show_usage(usage: Usage, wished: Format) -> None:
    """Say what was paid for."""
    if wished in (Format.json, Format.jsonl):
        show_json(asdict(usage), wished)
        return
    show_table(
        ["embedder", "model", "jobs", "minutes", "cost", "texts", "cost of texts"],
        [
            [row.embedder, row.model, str(row.jobs), f"{row.minutes:.1f}",
             dollars(row.video_cost), str(row.texts), dollars(row.text_cost)]
            for row in usage.spent
        ],
        right=("jobs", "minutes", "cost", "texts", "cost of texts"),
    )  # fmt: skip
    print(f"{usage.uploads} videos uploaded, {size(usage.uploaded_bytes)}")
