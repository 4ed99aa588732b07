"""Train a network on labelled clips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vidrec import display
from vidrec.commands import completion
from vidrec.commands.options import (
    Library,
    ReportFormat,
    settings_for,
)
from vidrec.display import (
    Format,
    Report,
    count,
    note,
    show_summary,
    show_table,
)
from vidrec.errors import PartialFailure

if TYPE_CHECKING:
    from vidrec.training.train import TrainReport


def train(
    dataset: Annotated[
        Path, typer.Argument(help="Folder of videos: <split>/<Class>/* or <Class>/*.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            help="Name of the checkpoint in the library, or a folder (with a /).",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        Literal["default", "reference"] | None,
        typer.Option(
            help="Train temporal layers on a pre-trained network (default), or a (2+1)D ResNet "
            "from scratch (reference).",
            show_default="default",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Train at most N epochs.", show_default="50")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Clips per batch.", show_default="8")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, max=256, help="Frames per window.")] = 10,
    frame_step: Annotated[
        int, typer.Option(min=1, help="Distance between frames of a window, at 25 frames a second.")
    ] = 15,
    size: Annotated[int, typer.Option(min=32, max=1024, help="Side of a frame, in pixels.")] = 224,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Learning rate of the optimiser.", show_default="the recipe's"),
    ] = None,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after N epochs without improvement; 0: never.")
    ] = 20,
    seed: Annotated[int | None, typer.Option(help="Random seed.", show_default="0")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted run.")] = False,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Start from the weights of a checkpoint: a name or a folder.",
            autocompletion=completion.checkpoints,
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    format: ReportFormat = Report.auto,
    library: Library = None,
) -> None:
    """Train a network on labelled clips, for the resnet embedder.

    Example: vidrec train ucf101 --out actions
    """
    from vidrec.training import train as stage

    wished = display.choose_format(format)
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
    show_train_report(report, wished)
    if report.interrupted:
        raise typer.Exit(130)
    if report.skipped:
        raise typer.Exit(PartialFailure.exit_code)


def show_train_report(report: TrainReport, wished: Format) -> None:
    """Sum up a run of `train`: figures on the test clips, beside random weights."""
    show_summary(report, wished)
    found, test = report.metrics, report.metrics["test"]
    head = "interrupted; kept the best of" if report.interrupted else "trained"
    seconds = found["seconds"]
    note(
        f"{head} {count(found['epochs'], 'epoch')} in {seconds['training']:.0f} s (best: "
        f"{found['best_epoch']}; reading {seconds['reading']:.0f} s, in all {seconds['all']:.0f} s)"
    )
    if report.skipped:
        note(f"clips that could not be read: {report.skipped}")
    rows = []
    for name, figures in (
        ("test → train", test.get("test_to_train")),
        ("within test", test.get("within_test")),
        ("test → train, random weights", found.get("random_weights", {}).get("test_to_train")),
    ):
        if figures and figures["queries"]:
            row = [_with_interval(figures, key) for key in ("p_at_1", "p_at_10", "map")]
            rows.append([name, *row, f"{figures['chance_map']:.2f}"])
    if rows and wished is Format.table:
        show_table(["retrieval", "P@1", "P@10", "mAP", "chance mAP"], rows)
    if rows:
        note(f"accuracy on {found['clips']['test']} test clips: {_with_interval(test, 'accuracy')}")
    note(f"checkpoint: {report.folder}")
    if report.remark:
        note(f"note: {report.remark}")


def _with_interval(figures: Mapping[str, Any], key: str) -> str:
    low, high = figures[f"{key}_95"]
    return f"{figures[key]:.2f} ({low:.2f}–{high:.2f})"
