"""Forget videos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidrec.commands.options import (
    Library,
    settings_for,
    with_stdin,
)
from vidrec.display import (
    note,
)

if TYPE_CHECKING:
    from vidrec.ingest.remove import RemoveReport


def remove(
    videos: Annotated[
        list[str], typer.Argument(help="id:… or paths of videos, or - for a list on stdin.")
    ],
    library: Library = None,
) -> None:
    """Forget videos: their embeddings leave the library and its index. Files stay.

    Example: vidrec remove old.mp4
    """
    from vidrec.ingest.remove import remove as stage

    report = stage(settings_for(library=library), with_stdin(videos))
    show_removed(report)


def show_removed(report: RemoveReport) -> None:
    """Say what was removed."""
    for video in report.videos:
        note(f"removed {video.filename} ({video.id[:12]})")
    note(f"removed {len(report.videos)} videos and {report.points} points; the files stay")
