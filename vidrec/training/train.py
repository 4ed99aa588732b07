"""Train: a folder of labelled clips in, a checkpoint out that the `resnet` embedder serves."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.config import Settings
from vidrec.datasets.folder import LabelledClip, read_dataset
from vidrec.embedders.resnet import chosen_checkpoint
from vidrec.errors import TrainingError, UsageError
from vidrec.files import expanded
from vidrec.ingest.scan import hash_file
from vidrec.interrupts import first_interrupt
from vidrec.models.backend import prepare_keras
from vidrec.models.checkpoint import CHECKPOINTS, LABELS, Checkpoint, named_checkpoint
from vidrec.progress import Progress, Silent, finishing
from vidrec.sections import ResnetSettings

if TYPE_CHECKING:
    import keras

    from vidrec.models.recipes import Recipe
    from vidrec.models.training import Epoch, Run

STATE = "state"  # folder of a checkpoint that holds what --resume needs
UNEVEN = 10  # classes whose sizes differ by more than this factor are worth a warning


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What the user asks of one run; None leaves a choice to the recipe."""

    out: str | None = None
    frames: int = 10
    frame_step: int = 15
    size: int = 224
    learning_rate: float | None = None
    patience: int = 20
    resume: bool = False
    init: Path | None = None


@dataclass(slots=True)
class TrainReport:
    """What a run did. `metrics` is what `metrics.json` holds."""

    folder: Path
    metrics: dict[str, Any] = field(default_factory=dict)
    skipped: int = 0
    interrupted: bool = False
    remark: str = ""


def train(
    settings: Settings,
    dataset: Path,
    options: TrainOptions | None = None,
    progress: Progress | None = None,
) -> TrainReport:
    """Train a network and write its checkpoint.

    An interrupt (Ctrl-C) ends the training early; the best epoch so far is evaluated and kept.

    Raises:
        UsageError: a learning rate that is not above 0.
        DatasetError: the folder holds nothing to train on.
        TrainingError: options that do not fit each other, a full disk, no epoch finished.
    """
    options, progress = options or TrainOptions(), progress or Silent()
    if options.learning_rate is not None and options.learning_rate <= 0:
        raise UsageError(f"--learning-rate must be above 0. Received: {options.learning_rate:g}")
    started = time.monotonic()
    cancel = threading.Event()
    if options.init is not None:
        options = replace(options, init=named_checkpoint(settings.library, options.init))
    with first_interrupt(cancel):
        clips = read_dataset(dataset, settings.train.seed)
        folder = _folder(settings, dataset, options)
        run, skipped = _prepare(settings, clips, folder, options, progress, cancel)
        read_sec = time.monotonic() - started
        labels = sorted({clip.label for clip in clips})
        model = _fit(run, options, progress, cancel)
        seconds = {
            "reading": read_sec,
            "training": sum(row.seconds for row in run.history),
            "all": time.monotonic() - started,
        }
        progress.start("evaluating", None, "clip")
        with finishing(progress):
            splits = {hash_file(clip.path): clip.split for clip in clips}
            try:
                metrics = _finish(run, model, labels, settings, folder, seconds, splits)
            except OSError as exc:
                raise TrainingError(
                    f"cannot write into {folder}: {exc.strerror}; what was trained is kept: make "
                    "room and go on with --resume"
                ) from exc
    if not cancel.is_set():  # what was interrupted can be resumed
        shutil.rmtree(folder / STATE, ignore_errors=True)
    remark = ""
    if folder.parent == settings.library / CHECKPOINTS:
        unnamed = settings.model_copy(update={"resnet": ResnetSettings()})
        remark = chosen_checkpoint(unnamed)[1]
    return TrainReport(folder, metrics, skipped, cancel.is_set(), remark)


def _folder(settings: Settings, dataset: Path, options: TrainOptions) -> Path:
    """Where the checkpoint goes: a folder, or a name in the library."""
    checkpoints = settings.library / CHECKPOINTS
    if options.out is None:
        name = f"{dataset.resolve().name}-{settings.train.recipe}"
        folder, number = checkpoints / name, 2
        while not options.resume and (folder / LABELS).exists():
            folder, number = checkpoints / f"{name}-{number}", number + 1
        return folder
    is_path = any(c in options.out for c in "/\\") or options.out in (".", "..")
    folder = expanded(options.out) if is_path else checkpoints / options.out
    if (folder / LABELS).exists() and not options.resume:
        raise TrainingError(f"{folder} holds a checkpoint: choose another --out, or delete it")
    return folder


def _prepare(
    settings: Settings,
    clips: list[LabelledClip],
    folder: Path,
    options: TrainOptions,
    progress: Progress,
    cancel: threading.Event,
) -> tuple[Run, int]:
    """Reads all clips into the cache and says what is to be trained on what."""
    import numpy as np

    from vidrec.models.clip_cache import build_clip_cache
    from vidrec.models.recipes import recipe_named
    from vidrec.models.windows import Sampling
    from vidrec.training.train_report import mean_average_precision

    sampling = Sampling(options.frames, options.frame_step, options.size)
    recipe = recipe_named(settings.train.recipe, sampling, settings.cache)
    data_key = _data_key(clips, recipe)
    progress.start("reading clips", len(clips), "clip")

    def read(path: Path, problem: str | None) -> None:
        if problem:
            progress.warn(f"skipping {path}: {problem}")
        progress.step()

    with finishing(progress):
        grids, unreadable = build_clip_cache(
            settings.cache / "train" / data_key,
            [clip.path for clip in clips],
            recipe.read,
            workers=settings.embedder.workers,
            on_clip=read,
            stopped=cancel.is_set,
        )
    good = [i for i in range(len(clips)) if i not in unreadable]
    _check_classes([clips[i] for i in good], progress)
    names = sorted({clip.label for clip in clips})
    train_clips, val_clips, test_clips = (
        np.array([i for i in good if clips[i].split == side], np.int64)
        for side in ("train", "val", "test")
    )
    prepare_keras(settings.cache)
    from vidrec.models.training import Run

    learning_rate = options.learning_rate or recipe.learning_rate
    asked = (data_key, settings.train.epochs, settings.train.batch_size, settings.train.seed,
             learning_rate, str(options.init))  # fmt: skip
    run = Run(
        recipe=recipe,
        clips=grids,
        labels=np.array([names.index(clip.label) for clip in clips], np.int64),
        n_classes=len(names),
        train=train_clips,
        val=val_clips,
        test=test_clips,
        quality=mean_average_precision,
        folder=folder / STATE,
        epochs=settings.train.epochs,
        batch_size=settings.train.batch_size,
        learning_rate=learning_rate,
        patience=options.patience,
        seed=settings.train.seed,
        key=_digest(asked),
    )
    return run, len(unreadable)


def _check_classes(clips: Sequence[LabelledClip], progress: Progress) -> None:
    """Warns of what makes figures mean less, and refuses what cannot be trained."""
    counts = Counter(clip.label for clip in clips if clip.split == "train")
    absent = sorted({clip.label for clip in clips} - set(counts))
    if absent or len(counts) < 2:
        raise TrainingError(
            f"no readable training clip of {', '.join(absent) or 'a second class'}: "
            "every class needs some"
        )
    few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[many] > UNEVEN * counts[few]:
        progress.warn(
            f"warning: class {many} has {counts[many]} training clips, {few} only {counts[few]}: "
            "the small class will be recognised less"
        )
    for side in ("val", "test"):
        if not any(clip.split == side for clip in clips):
            progress.warn(f"warning: there are no {side} clips to measure on")


def _data_key(clips: Sequence[LabelledClip], recipe: Recipe) -> str:
    """Names all that the cache's content depends on."""
    stamps = []
    for clip in clips:
        found = clip.path.stat()
        stamps.append((str(clip.path.resolve()), clip.split, found.st_size, found.st_mtime_ns))
    return _digest((stamps, recipe.content, repr(recipe.sampling)))


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:24]


def _fit(
    run: Run, options: TrainOptions, progress: Progress, cancel: threading.Event
) -> keras.Model:
    import keras

    from vidrec.models.training import train as fit

    initial = None
    if options.init is not None:
        path = options.init / "model.keras"
        try:
            initial = keras.saving.load_model(path, compile=False)
        except (OSError, ValueError) as exc:
            raise TrainingError(
                f"--init {options.init} holds no model.keras to start from"
            ) from exc
    latest = ""

    def on_epoch(row: Epoch) -> None:
        nonlocal latest
        latest = f"{row.loss:.3f} acc {row.accuracy:.2f} mAP {row.val_map:.2f}"
        progress.step(0, f"loss {latest}")

    progress.start("training", run.epochs * run.n_steps, "step")
    with finishing(progress):
        return fit(
            run,
            initial=initial,
            resume=options.resume,
            on_start=lambda epoch: progress.step(epoch * run.n_steps),
            on_step=lambda step: progress.step(1, f"loss {latest}" if latest else ""),
            on_epoch=on_epoch,
            stopped=cancel.is_set,
        )


def _finish(
    run: Run,
    model: keras.Model,
    labels: list[str],
    settings: Settings,
    folder: Path,
    seconds: dict[str, float],
    splits: dict[str, str],
) -> dict[str, Any]:
    """Measures the network and writes the checkpoint; `labels.json` comes last."""
    import numpy as np

    from vidrec.models import training
    from vidrec.training import train_report as report

    n_windows = settings.resnet.windows
    embedded = {
        side: training.embed_clips(run, model, clips, n_windows)
        for side, clips in (("train", run.train), ("val", run.val), ("test", run.test))
    }
    known = run.labels[run.train]
    sums = np.stack([embedded["train"][known == i].mean(axis=0) for i in range(len(labels))])
    prototypes = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
    metrics = _metrics(run, model, embedded, prototypes, settings)
    clips = np.concatenate([run.train, run.val, run.test])
    calibrations, metrics["confidence"] = report.calibrations(
        np.concatenate(list(embedded.values())),
        run.labels[clips],
        len(run.train),
        prototypes,
    )
    metrics["seconds"] = {name: round(value, 1) for name, value in seconds.items()}
    onnx = run.recipe.to_onnx(model)
    checkpoint = Checkpoint(
        folder,
        run.recipe.name,
        prototypes.shape[1],
        tuple(labels),
        prototypes.tolist(),
        replace(run.recipe.sampling, phases=1),
        hashlib.sha256(onnx).hexdigest(),
        calibrations,
        splits,
    )
    model.save(folder / "model.keras")
    training.write_history(folder / "history.csv", run.history)
    best = run.best
    title = f"{run.recipe.name} recipe, seed {run.seed}, best epoch {best.epoch if best else 0}"
    report.plot_curves(folder / "curves.png", run.history, title)
    if "confusion" in metrics["test"]:
        report.plot_confusion(folder / "confusion.png", metrics["test"]["confusion"], labels)
    report.write_metrics(folder / "metrics.json", metrics)
    checkpoint.write(onnx)
    return metrics


def _metrics(
    run: Run, model: keras.Model, embedded: dict[str, Any], prototypes: Any, settings: Settings
) -> dict[str, Any]:
    from vidrec.models import training
    from vidrec.training import train_report as report

    seed, known, best = run.seed, run.labels[run.train], run.best
    metrics: dict[str, Any] = {
        "recipe": run.recipe.name,
        "seed": seed,
        "clips": {"train": len(run.train), "val": len(run.val), "test": len(run.test)},
        "epochs": len(run.history),
        "best_epoch": best.epoch if best else 0,
        "parameters": model.count_params(),
        "windows": settings.resnet.windows,
        "versions": report.versions(),
        "test": {},
    }
    if not len(run.test):
        return metrics
    asked = run.labels[run.test]
    chosen = training.classify(run, model, run.test)
    metrics["test"] = {
        **report.classification(embedded["test"], asked, prototypes, chosen, seed),
        "test_to_train": report.retrieval(embedded["test"], asked, embedded["train"], known, seed),
        "within_test": report.retrieval(embedded["test"], asked, None, None, seed),
    }
    blank = training.untrained(run)
    vectors = [
        training.embed_clips(run, blank, clips, settings.resnet.windows)
        for clips in (run.test, run.train)
    ]
    metrics["random_weights"] = {
        "test_to_train": report.retrieval(vectors[0], asked, vectors[1], known, seed)
    }
    return metrics
