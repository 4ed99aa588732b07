"""Write vectors and their metadata to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from vidrec import display
from vidrec.commands.options import (
    EmbedderName,
    Library,
    ReportFormat,
    Where,
    flag,
    option,
    settings_for,
)
from vidrec.display import Report

FileFormat = Annotated[
    Literal["parquet", "jsonl"] | None,
    Option("--file-format", help="Format of the file.", show_default="by its name"),
]


def export(
    file: Annotated[Path, Argument(help="File to write, .parquet or .jsonl; - is stdout.")],
    file_format: FileFormat = None,
    embedder: EmbedderName = None,
    fingerprint: str | None = option(
        "Fingerprint, where the embedder has several.", show_default="the one that is searched"
    ),
    force: bool = flag("Replace a file even if vidrec did not write it.", "--force"),
    where: Where = None,
    format: ReportFormat = Report.auto,
    library: Library = None,
) -> None:
    """Write an embedder's vectors and their metadata to a file.

    Example: vidrec export vectors.parquet
    """
    from vidrec.exchange.exchange import export as stage
    from vidrec.search.conditions import parse_conditions

    wished = display.choose_format(format)
    settings = settings_for(embedder__name=embedder, library=library)
    conditions = parse_conditions(where or [])
    report = stage(
        settings, file, kind=file_format, fingerprint=fingerprint, conditions=conditions,
        force=force, progress=display.Bar(),
    )  # fmt: skip
    if str(file) != "-":
        display.show_summary(report, wished)
    display.note(
        f"wrote {display.count(report.rows, 'embedding')} of {report.fingerprint} to {report.path}"
    )
    if report.others:
        display.note(
            f"not written, of the same embedder: {', '.join(report.others)}: --fingerprint"
        )
