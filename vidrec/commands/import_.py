"""Take vectors made elsewhere into the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidrec import display
from vidrec.commands.options import (
    Library,
    settings_for,
)

if TYPE_CHECKING:
    pass


FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format", "-f", help="parquet, jsonl or npy.", show_default="by the file's name"
    ),
]


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
    from vidrec.exchange.exchange import import_vectors as stage

    settings = settings_for(library=library)
    report = stage(
        settings, source, kind=format, embedder=embedder, model=model, progress=display.Bar()
    )
    display.note(
        f"imported {report.rows} embeddings of {report.videos} videos from {report.source}: "
        f"{', '.join(report.fingerprints) or 'none'}"
    )
