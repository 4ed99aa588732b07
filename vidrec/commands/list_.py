"""List the videos of the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vidrec import display
from vidrec.commands.options import (
    Library,
    OutputFormat,
    Where,
    settings_for,
)
from vidrec.display import (
    Format,
    escaped,
    moment,
    show_json,
    show_lines,
    show_table,
    size,
)

if TYPE_CHECKING:
    from vidrec.types import Video


def list_(
    where: Where = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Only videos without a label.")
    ] = False,
    format: OutputFormat = Format.auto,
    library: Library = None,
) -> None:
    """List the videos of the library.

    Example: vidrec list --format paths
    """
    from vidrec.care.status import list_videos as stage
    from vidrec.search.conditions import parse_conditions
    from vidrec.types import Condition

    wished = display.choose_format(format)
    conditions = parse_conditions(where or [])
    if unlabelled:
        conditions += (Condition("label", "=", None),)
    show_videos(stage(settings_for(library=library), conditions), wished)


def show_videos(videos: Sequence[tuple[Video, Sequence[str]]], wished: Format) -> None:
    """List videos with their embedders."""
    from vidrec.library.videos import is_gone

    if wished is Format.paths:
        for video, _ in videos:
            if not is_gone(video) and (place := video.path or video.url):
                print(place)
        return
    rows = [
        {
            "video_id": video.id, "path": str(video.path) if video.path else None,
            "url": video.url, "filename": video.filename, "label": video.label,
            "group": video.group, "size": video.size, "duration_sec": video.duration_sec,
            "embedders": list(embedders),
            "gone": is_gone(video),
        }
        for video, embedders in videos
    ]  # fmt: skip
    if wished is Format.json:
        show_json({"videos": rows})
    elif wished is Format.jsonl:
        show_lines(rows)
    else:
        show_table(
            ["id", "video", "length", "size", "label", "embedders"],
            [
                [video.id[:12], escaped(video.filename) + (" (gone)" if is_gone(video) else ""),
                 moment(video.duration_sec),
                 size(video.size), escaped(video.label or ""), ", ".join(embedders)]
                for video, embedders in videos
            ],
            right=("id", "length", "size"),
        )  # fmt: skip
