"""Write vectors and their metadata to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from vidrec.commands.options import FileFormat, ReportFormat, Where, command, flag, option
from vidrec.display import Bar, count, note, show_data

if TYPE_CHECKING:
    from vidrec.config import Settings


@command("embedder", "library")
def export(
    settings: Settings,
    file: Annotated[Path, Argument(help="File to write, .parquet or .jsonl; - is stdout.")],
    file_format: FileFormat = None,
    fingerprint: str | None = option(
        "Fingerprint, where the embedder has several.", show_default="the one that is searched"
    ),
    force: bool = flag("Replace a file even if vidrec did not write it.", "--force"),
    where: Where = None,
    format: ReportFormat = "auto",
) -> None:
    """Write an embedder's vectors and their metadata to a file.

    Example: vidrec export vectors.parquet
    """
    from vidrec.exchange.exchange import export as stage
    from vidrec.search.conditions import parse_conditions

    conditions = parse_conditions(where or [])
    report = stage(
        settings, file, kind=file_format, fingerprint=fingerprint, conditions=conditions,
        force=force, progress=Bar(),
    )  # fmt: skip
    if str(file) != "-":
        show_data(format, report)
    note(f"wrote {count(report.rows, 'embedding')} of {report.fingerprint} to {report.path}")
    if report.others:
        note(f"not written, of the same embedder: {', '.join(report.others)}: --fingerprint")
