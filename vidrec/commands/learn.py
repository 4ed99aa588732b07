"""fetch-ucf and train: a model of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidrec import display, reports
from vidrec.commands.options import Library, OutputFormat, settings_for
from vidrec.display import Format
from vidrec.errors import PartialFailure, UsageError

UCF101_URL = "https://storage.googleapis.com/thumos14_files/UCF101_videos.zip"


def fetch_ucf(
    dest: Annotated[Path, typer.Option(help="Folder for the clips.")] = Path("ucf101"),
    classes: Annotated[int, typer.Option(min=1, help="How many classes, from A on.")] = 10,
    class_: Annotated[
        list[str] | None,
        typer.Option("--class", help="This class; may be repeated.", show_default=False),
    ] = None,
    per_class: Annotated[str, typer.Option(help="Clips of each class, or all.")] = "50",
    split: Annotated[
        str, typer.Option(help="Clips for train/val/test, or their ratio.")
    ] = "30/10/10",
    split_by: Annotated[
        str,
        typer.Option(
            help="group: clips of one source stay together; file: by name, as sources do."
        ),
    ] = "group",
    seed: Annotated[int, typer.Option(help="Of the choice of clips.")] = 0,
    url: Annotated[str, typer.Option(help="The zip; its server must serve ranges.")] = UCF101_URL,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Downloads at once.")] = 8,
    list_: Annotated[bool, typer.Option("--list", help="List the classes; fetch nothing.")] = False,
    format: OutputFormat = Format.auto,
) -> None:
    """Fetch a subset of UCF101, only the bytes of the chosen clips.

    Example: vidrec fetch-ucf --classes 5 --dest ucf101
    """
    from vidrec.pipeline import fetch_ucf as stage

    wished = display.choose_format(format)
    settings_for()  # has no setting of its own, but a wrong config file is told here, too
    if list_:
        reports.show_classes(stage.list_classes(url), wished)
        return
    if split_by not in ("group", "file"):
        raise UsageError(f"--split-by is group or file. Received: {split_by}")
    options = stage.FetchOptions(
        class_ or classes,
        stage.parse_per_class(per_class),
        stage.parse_split(split),
        split_by,
        seed,
    )
    report = stage.fetch_ucf(url, dest, options, workers=workers, progress=display.Bar())
    reports.show_fetch_report(report)


def train(
    dataset: Annotated[Path, typer.Argument(help="<split>/<Class>/* or <Class>/* of videos.")],
    out: Annotated[
        str | None,
        typer.Option(help="Name in the library, or a folder (with a /).", show_default=False),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="default: temporal layers on a pre-trained network; reference: (2+1)D ResNet.",
            show_default="default",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most.", show_default="50")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Clips in a step.", show_default="8")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, max=256, help="In a window.")] = 10,
    frame_step: Annotated[
        int, typer.Option(min=1, help="From frame to frame, at 25 frames a second.")
    ] = 15,
    size: Annotated[int, typer.Option(min=32, max=1024, help="Pixels of a frame's side.")] = 224,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Of the optimiser.", show_default="the recipe's"),
    ] = None,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after so many epochs without gain; 0: never.")
    ] = 20,
    seed: Annotated[
        int | None, typer.Option(help="Of everything random.", show_default="0")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was ended.")] = False,
    init: Annotated[
        Path | None, typer.Option(help="Checkpoint to start from.", show_default=False)
    ] = None,
    library: Library = None,
) -> None:
    """Train a network on labelled clips, for the resnet embedder.

    Example: vidrec train ucf101 --out actions
    """
    from vidrec.pipeline import train as stage

    settings = settings_for(
        train__recipe=recipe,
        train__epochs=epochs,
        train__batch_size=batch_size,
        train__seed=seed,
        library=library,
    )
    options = stage.TrainOptions(
        out, frames, frame_step, size, learning_rate, patience, resume, init
    )
    report = stage.train(settings, dataset, options, display.Bar())
    reports.show_train_report(report)
    if report.interrupted:
        raise typer.Exit(130)
    if report.skipped:
        raise typer.Exit(PartialFailure.exit_code)
