"""Take vectors made elsewhere into the library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument

from vidrec.commands.options import FileFormat, ReportFormat, command, option, settings_for
from vidrec.display import Bar, Format, count, note, show_data
from vidrec.errors import PartialFailure, UsageError
from vidrec.files import expanded

if TYPE_CHECKING:
    from vidrec.exchange.importing import ImportReport
    from vidrec.exchange.merge import MergeReport


@command()
def import_(
    source: str | None = Argument(
        None,
        help="A .parquet or .jsonl file, - for JSON lines on stdin, qdrant:COLLECTION, "
        "twelvelabs:INDEX (vectors that indexing paid for, at no cost), or the folder of "
        "another library.",
    ),
    file_format: FileFormat = None,
    embedder: str | None = option(
        "Embedder of the rows that name none.", "--embedder", "-e", show_default="imported"
    ),
    model: str | None = option("Model of the rows that name none.", show_default="unknown"),
    space: str | None = option(
        "Embedder here that made the vectors, NAME[:MODEL[:OPTION]], "
        "as marengo:marengo3.5:visual: then texts can be asked.",
        "--as",
    ),
    columns: list[str] | None = option(
        "What a column is called there: filename=original_filename; may be repeated.",
        "--map",
        metavar="COLUMN=NAME",
    ),
    vector: str | None = option("Named vector of the collection to take."),
    files: Path | None = option(
        "Folder that the paths of the rows are relative to; their files are hashed, as embed does."
    ),
    library: Path | None = option(
        "Folder of the library; without a source, the one to take in.", "--library"
    ),
    format: ReportFormat = "auto",
) -> None:
    """Import vectors made elsewhere, or another library.

    Example: vidrec import vectors.parquet

    Example: vidrec import qdrant:content_collection --map filename=original_filename --map
    url=public_video_url --as marengo:marengo3.5:visual

    Example: vidrec import --library other-library
    """
    from vidrec.library.catalog import has_catalog

    if source is None and library is None:
        raise UsageError("nothing to import: name a file, or a library by --library")
    other = library if source is None else expanded(source)
    settings = settings_for({"library": None if source is None else library})
    assert other is not None
    if source is None or has_catalog(other):
        from vidrec.exchange.merge import merge

        _show_merge(merge(settings, expanded(other), Bar()), format)
        return
    from vidrec.exchange.importing import ImportOptions
    from vidrec.exchange.importing import import_vectors as stage
    from vidrec.exchange.rows import parse_columns

    options = ImportOptions(
        file_format, embedder, model, space, parse_columns(columns or []), vector, files
    )
    _show_import(stage(settings, source, options, progress=Bar()), format)


def _show_import(report: ImportReport, wished: Format) -> None:
    show_data(wished, report)
    note(
        f"imported {count(report.rows, 'embedding')} of {count(report.videos, 'video')} from "
        f"{report.source}: {', '.join(report.fingerprints) or 'none'}"
    )
    if report.left_out:
        note(f"left out, as they hold no plain values: the columns {', '.join(report.left_out)}")
    if report.unseen:
        note(f"no row has what --map names: {', '.join(report.unseen)}")
    if report.bad:
        first = f"; the first: {report.first}" if report.bad > 1 else f": {report.first}"
        raise PartialFailure(f"{count(report.bad, 'row')} could not be taken{first}")


def _show_merge(report: MergeReport, wished: Format) -> None:
    show_data(wished, report)
    for line in report.conflicts:
        note(f"differs: {line}")
    note(
        f"took {count(report.videos, 'video')} and {count(report.rows, 'embedding')} from "
        f"{report.source}; {report.known} were known, {count(len(report.conflicts), 'difference')}"
    )
