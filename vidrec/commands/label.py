"""Label videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument

from vidrec.commands import completion
from vidrec.commands.options import ReportFormat, command, option
from vidrec.commands.tag import show_metadata
from vidrec.display import note
from vidrec.errors import UsageError

if TYPE_CHECKING:
    from vidrec.config import Settings


@command("library")
def label(
    settings: Settings,
    videos: list[str] | None = Argument(
        None,
        help="Videos: id:…, paths, names or #2 of the last answer.",
        autocompletion=completion.videos,
    ),
    label: str | None = option(
        "Label to set; '' removes it.", "--label", "-l", autocompletion=completion.labels
    ),
    source: Path | None = option(
        "CSV or JSON lines file with the columns file and label; - is stdin.", "--from"
    ),
    format: ReportFormat = "auto",
) -> None:
    """Label videos; the index shows it after the next `vidrec index`.

    Example: vidrec label dune.mp4 --label Films
    """
    from vidrec.ingest import metadata
    from vidrec.search.last import named

    if (source is None) == (label is None) or (source is not None and videos):
        raise UsageError("label takes videos and --label, or --from and a file")
    if source is not None:
        report = metadata.read_metadata(settings, source, str)
    elif videos:
        names = [named(settings.library, video) for video in videos]
        report = metadata.tag(settings, names, {"label": label})
    else:
        raise UsageError("label which videos? Name some")
    if report.values:
        note("run `vidrec index` to take the labels over into the index")
    show_metadata(report, format)
