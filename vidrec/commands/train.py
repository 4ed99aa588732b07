"""Train a network on labelled clips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument

from vidrec.commands import completion
from vidrec.commands.options import ReportFormat, command, flag, leave, option, sets
from vidrec.display import Bar, Format, count, note, show_data, show_table

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.training.train import TrainReport


@command(
    "library",
    recipe=sets(
        "train.recipe", Literal["default", "reference"], "Train temporal layers on a pre-trained "
        "network (default), or a (2+1)D ResNet from scratch (reference).", show_default="default",
    ),
    epochs=sets("train.epochs", int, "Train at most N epochs.", min=1, show_default="50"),
    batch_size=sets("train.batch_size", int, "Clips per batch.", min=1, show_default="8"),
    seed=sets("train.seed", int, "Random seed.", show_default="0"),
)  # fmt: skip
def train(
    settings: Settings,
    dataset: Annotated[Path, Argument(help="Folder of videos: <split>/<Class>/* or <Class>/*.")],
    out: str | None = option(
        "Name of the checkpoint in the library, or a folder (with a /).", metavar="NAME"
    ),
    frames: int = option("Frames per window.", default=10, min=1, max=256),
    frame_step: int = option(
        "Distance between frames of a window, at 25 frames a second.", default=15, min=1
    ),
    size: int = option("Side of a frame, in pixels.", default=224, min=32, max=1024),
    learning_rate: float | None = option(
        "Learning rate of the optimiser.", min=0, show_default="the recipe's"
    ),
    patience: int = option("Stop after N epochs without improvement; 0: never.", default=20, min=0),
    resume: bool = flag("Resume an interrupted run.", "--resume"),
    init: Path | None = option(
        "Start from the weights of a checkpoint: a name or a folder.",
        autocompletion=completion.checkpoints,
        metavar="NAME",
    ),
    format: ReportFormat = "auto",
) -> None:
    """Train a network on labelled clips, for the resnet embedder.

    Example: vidrec train ucf101 --out actions
    """
    from vidrec.training import train as stage

    options = stage.TrainOptions(
        out, frames, frame_step, size, learning_rate, patience, resume, init
    )
    report = stage.train(settings, dataset, options, Bar())
    _show_train(report, format)
    leave(interrupted=report.interrupted, failed=report.skipped)


def _show_train(report: TrainReport, wished: Format) -> None:
    """Sum up a run of `train`: figures on the test clips, beside random weights."""
    show_data(wished, report)
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
            names = {"P@1": "p_at_1", "P@10": "p_at_10", "mAP": "map"}
            shown = {as_: _with_interval(figures, key) for as_, key in names.items()}
            rows.append({"retrieval": name, **shown, "chance mAP": f"{figures['chance_map']:.2f}"})
    if rows and wished == "table":
        show_table(rows)
    if rows:
        note(f"accuracy on {found['clips']['test']} test clips: {_with_interval(test, 'accuracy')}")
    note(f"checkpoint: {report.folder}")
    if report.remark:
        note(f"note: {report.remark}")


def _with_interval(figures: Mapping[str, Any], key: str) -> str:
    low, high = figures[f"{key}_95"]
    return f"{figures[key]:.2f} ({low:.2f}–{high:.2f})"
