"""Give videos fields of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument

from vidrec.commands import completion
from vidrec.commands.options import ReportFormat, command, leave, option
from vidrec.display import Format, count, note, show_data
from vidrec.errors import UsageError

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.ingest.metadata import MetadataReport


@command("library")
def tag(
    settings: Settings,
    words: list[str] | None = Argument(
        None,
        help="Videos (id:…, paths, names, #2 of the last answer), then key=value; key= removes.",
        autocompletion=completion.videos,
    ),
    source: Path | None = option(
        "CSV or JSON lines file: a column file, and one column for each field; - is stdin.",
        "--from",
    ),
    format: ReportFormat = "auto",
) -> None:
    """Give videos fields of your own, which --where can ask for.

    Example: vidrec tag dune.mp4 year=2021 mood=dark
    """
    from vidrec.ingest import metadata
    from vidrec.search.conditions import scalar
    from vidrec.search.last import named

    pairs = [word for word in words or [] if "=" in word and not Path(word).exists()]
    videos = [named(settings.library, word) for word in words or [] if word not in pairs]
    if source is not None:
        if words:
            raise UsageError("--from takes the videos from the file: name none beside it")
        show_metadata(metadata.read_metadata(settings, source, scalar), format)
        return
    if not videos or not pairs:
        raise UsageError("tag takes videos and then fields: vidrec tag dune.mp4 year=2021")
    split = [pair.partition("=") for pair in pairs]
    fields = {key.strip(): scalar(value.strip()) if value else None for key, _, value in split}
    if "label" in fields:
        raise UsageError("label is a field of vidrec's own: use `vidrec label`")
    show_metadata(metadata.tag(settings, videos, fields), format)


def show_metadata(report: MetadataReport, wished: Format = "table", *, strict: bool = True) -> None:
    """Say what was set, and what was left out; then exit with 4 if ``strict``."""
    show_data(wished, report)
    for name in report.unknown[:5]:
        note(f"left out: {name}")
    if len(report.unknown) > 5:
        note(f"left out: {len(report.unknown) - 5} more")
    note(f"set {count(report.values, 'value')} of {count(report.videos, 'video')}")
    leave(failed=report.unknown and strict)
