"""export, import: embeddings leave the library and come into it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidrec import display
from vidrec.commands.options import EmbedderName, Library, settings_for

FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format", "-f", help="parquet, jsonl or npy.", show_default="by the file's name"
    ),
]


def export(
    file: Annotated[Path, typer.Argument(help="A .parquet, .jsonl or .npy file to write.")],
    format: FileFormat = None,
    embedder: EmbedderName = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="Which of several.", show_default="the embedder's latest")
    ] = None,
    library: Library = None,
) -> None:
    """Write an embedder's vectors and their metadata to a file.

    Example: vidrec export vectors.parquet
    """
    from vidrec.pipeline.exchange import export as stage

    settings = settings_for(embedder__name=embedder, library=library)
    report = stage(settings, file, kind=format, fingerprint=fingerprint, progress=display.Bar())
    display.note(f"wrote {report.rows} embeddings of {report.fingerprint} to {report.path}")


def import_(
    source: Annotated[
        str, typer.Argument(help="A .parquet, .jsonl or .npy file, or qdrant:COLLECTION.")
    ],
    format: FileFormat = None,
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", "-e", help="What made the vectors, where rows do not say.",
                     show_default="imported"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Which model, where rows do not say.", show_default="unknown"),
    ] = None,
    library: Library = None,
) -> None:  # fmt: skip
    """Take vectors made elsewhere, with their metadata, into the library.

    Example: vidrec import vectors.parquet
    """
    from vidrec.pipeline.exchange import import_vectors as stage

    settings = settings_for(library=library)
    report = stage(
        settings, source, kind=format, embedder=embedder, model=model, progress=display.Bar()
    )
    display.note(
        f"imported {report.rows} embeddings of {report.videos} videos from {report.source}: "
        f"{', '.join(report.fingerprints) or 'none'}"
    )
