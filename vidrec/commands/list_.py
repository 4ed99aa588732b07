"""List the videos of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vidrec.commands.options import OutputFormat, Where, command, flag
from vidrec.display import moment, show_data, show_table, size
from vidrec.table import telling_folders

if TYPE_CHECKING:
    from vidrec.care.status import ListedVideo
    from vidrec.config import Settings


@command("library")
def list_(
    settings: Settings,
    where: Where = None,
    unlabelled: bool = flag("List only videos without a label.", "--unlabelled"),
    long: bool = flag("Also show group, tone (of conse) and path or URL.", "--long", "-l"),
    format: OutputFormat = "auto",
) -> None:
    """List the videos of the library.

    Example: vidrec list --format paths
    """
    from vidrec.care.status import list_videos as stage
    from vidrec.care.status import tones
    from vidrec.conditions import Condition
    from vidrec.search.conditions import parse_conditions

    conditions = parse_conditions(where or [])
    if unlabelled:
        conditions += (Condition("label", "=", None),)
    rows = stage(settings, conditions)
    if format == "paths":
        for row in rows:
            if not row.gone and (place := row.path or row.url):
                print(place)
    elif not show_data(format, {"videos": rows}, rows):
        _show_videos(rows, tones(settings) if long else None)


def _show_videos(rows: Sequence[ListedVideo], tones: Mapping[str, str] | None) -> None:
    """Show a table of videos, which says more where their tones are given, by id."""
    long = tones is not None
    places = [row.path or row.url or "" for row in rows]
    folders = telling_folders([row.filename for row in rows], places)
    cells = [
        {"id": row.video_id[:8], "video": row.filename + (" (gone)" if row.gone else ""),
         "folder": "" if long else folder, "length": moment(row.duration_sec),
         "size": size(row.size), "label": row.label or "",
         "group": (row.group or "") if long else "", "tone": (tones or {}).get(row.video_id, ""),
         "embedders": ", ".join(row.embedders) or "none", "place": place if long else ""}
        for row, folder, place in zip(rows, folders, places, strict=True)
    ]  # fmt: skip
    spare = () if long else ("size", "length")
    show_table(cells, right=("length", "size"), spare=spare, none="no videos")
