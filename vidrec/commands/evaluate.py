"""evaluate: how good the embeddings are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidrec import display, reports
from vidrec.commands.options import (
    CheckpointFolder,
    EmbedderName,
    Library,
    OutputFormat,
    settings_for,
)
from vidrec.display import Format
from vidrec.errors import UsageError


def evaluate(
    captions: Annotated[
        Path | None,
        typer.Option(help="A CSV with the columns file and caption.", show_default=False),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="What makes two videos alike: label, group, or a column of the captions.",
            show_default="label",
        ),
    ] = None,
    exclude_group: Annotated[
        bool, typer.Option("--exclude-group", help="Leave out neighbours of the query's group.")
    ] = False,
    scope: Annotated[
        str, typer.Option(help="Rank videos for a caption by their best clip, or by video.")
    ] = "clip",
    min: Annotated[
        list[str] | None,
        typer.Option(help="Exit 1 if smaller, as R@1=0.45; may be repeated.", metavar="METRIC=V"),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Keep what scores mean here, for recommend's confidence."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    embedder: EmbedderName = None,
    format: OutputFormat = Format.auto,
    checkpoint: CheckpointFolder = None,
    library: Library = None,
) -> None:
    """Measure how well texts find their videos and videos their like, against chance.

    Example: vidrec evaluate --captions captions.csv --min R@1=0.4
    """
    from vidrec.pipeline.evaluate import evaluate as stage
    from vidrec.pipeline.quality import check_minimums, parse_minimums

    wished = display.choose_format(format, paths=False)
    if scope not in ("clip", "video"):
        raise UsageError(f"--scope is clip or video. Received: {scope}")
    minimums = parse_minimums(min or [])
    settings = settings_for(embedder__name=embedder, resnet__checkpoint=checkpoint, library=library)
    report = stage(
        settings, captions=captions, by=by, exclude_group=exclude_group, seed=seed,
        scope="video" if scope == "video" else "clip", calibrate=calibrate,
    )  # fmt: skip
    reports.show_evaluation(report, wished)
    check_minimums(report, minimums)
