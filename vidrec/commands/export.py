"""Write vectors and their metadata to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from vidrec.commands.options import (
    EmbedderName,
    FileFormat,
    Library,
    ReportFormat,
    Where,
    flag,
    option,
    settings_for,
)
from vidrec.display import Bar, choose_format, count, note, show_data


def export(
    file: Annotated[Path, Argument(help="File to write, .parquet or .jsonl; - is stdout.")],
    file_format: FileFormat = None,
    embedder: EmbedderName = None,
    fingerprint: str | None = option(
        "Fingerprint, where the embedder has several.", show_default="the one that is searched"
    ),
    force: bool = flag("Replace a file even if vidrec did not write it.", "--force"),
    where: Where = None,
    format: ReportFormat = "auto",
    library: Library = None,
) -> None:
    """Write an embedder's vectors and their metadata to a file.

    Example: vidrec export vectors.parquet
    """
    from vidrec.exchange.exchange import export as stage
    from vidrec.search.conditions import parse_conditions

    wished = choose_format(format)
    settings = settings_for(embedder__name=embedder, library=library)
    conditions = parse_conditions(where or [])
    report = stage(
        settings, file, kind=file_format, fingerprint=fingerprint, conditions=conditions,
        force=force, progress=Bar(),
    )  # fmt: skip
    if str(file) != "-":
        show_data(wished, report)
    note(f"wrote {count(report.rows, 'embedding')} of {report.fingerprint} to {report.path}")
    if report.others:
        note(f"not written, of the same embedder: {', '.join(report.others)}: --fingerprint")
