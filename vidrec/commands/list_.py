"""List the videos of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vidrec.commands.options import OutputFormat, Where, command, flag
from vidrec.display import Format, moment, show_data, show_table, size
from vidrec.table import telling_folders

if TYPE_CHECKING:
    from vidrec.commands.rows import ListedVideo
    from vidrec.config import Settings
    from vidrec.types import Video


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
    told = tones(settings) if long and format == "table" else None
    show_videos(stage(settings, conditions), format, told)


def show_videos(
    videos: Sequence[tuple[Video, Sequence[str]]],
    wished: Format,
    tones: Mapping[str, str] | None = None,
) -> None:
    """List videos with their embedders; a table says more where their tones are given, by id."""
    from vidrec.commands.rows import ListedVideo
    from vidrec.library.videos import is_gone

    if wished == "paths":
        for video, _ in videos:
            if not is_gone(video) and (place := video.path or video.url):
                print(place)
        return
    rows = [
        ListedVideo(
            video.id, str(video.path) if video.path else None, video.url, video.filename,
            video.label, video.group, video.size, video.duration_sec, list(embedders),
            is_gone(video),
        )
        for video, embedders in videos
    ]  # fmt: skip
    if not show_data(wished, {"videos": rows}, rows):
        _video_table(rows, tones)


def _video_table(rows: Sequence[ListedVideo], tones: Mapping[str, str] | None) -> None:
    long = tones is not None
    places = [row.path or row.url or "" for row in rows]
    folders = None if long else telling_folders([row.filename for row in rows], places)
    cells: dict[str, Sequence[str]] = {
        "id": [row.video_id[:8] for row in rows],
        "video": [row.filename + (" (gone)" if row.gone else "") for row in rows],
        "folder": folders or (),
        "length": [moment(row.duration_sec) for row in rows],
        "size": [size(row.size) for row in rows],
        "label": [row.label or "" for row in rows],
        "group": [row.group or "" for row in rows] if long else (),
        "tone": [(tones or {}).get(row.video_id, "") for row in rows],
        "embedders": [", ".join(row.embedders) for row in rows],
        "place": places if long else (),
    }
    columns = [name for name in cells if name in ("id", "video", "embedders") or any(cells[name])]
    show_table(
        columns, list(zip(*(cells[name] for name in columns), strict=True)),
        right=("length", "size"), spare=() if long else ("size", "length"), none="no videos",
    )  # fmt: skip
