"""Show what was paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrec.commands.options import ReportFormat, command
from vidrec.display import count, dollars, show_data, show_table, size

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.ingest.usage import Usage


@command("library")
def usage(settings: Settings, format: ReportFormat = "auto") -> None:
    """Show what was paid for, by the library's own record.

    Example: vidrec usage
    """
    from vidrec.ingest.usage import usage as stage

    found = stage(settings)
    if not show_data(format, found):
        _show_usage(found)


def _show_usage(usage: Usage) -> None:
    if usage.spent:
        show_table(
            [
                {"embedder": row.embedder, "model": row.model, "jobs": str(row.jobs),
                 "unclear": str(row.unclear), "minutes": f"{row.minutes:.2f}",
                 "cost": dollars(row.video_cost), "texts": str(row.texts),
                 "for texts": dollars(row.text_cost)}
                for row in usage.spent
            ],
            right=("jobs", "unclear", "minutes", "cost", "texts", "for texts"),
        )  # fmt: skip
        most = "" if usage.month_limit is None else f" of at most {usage.month_limit:g}"
        print(f"{usage.month_minutes:.2f} minutes this month{most}")
    else:
        print("nothing was paid for")
    if any(row.unclear for row in usage.spent):
        print("unclear: no answer said whether these jobs exist; the next run looks for them")
    print(f"{count(usage.uploads, 'video')} uploaded, {size(usage.uploaded_bytes)}")
