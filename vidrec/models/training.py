"""The training loop: one epoch at a time, each saved before the next begins.

What an epoch does follows from the seed and its number alone (order of clips, start of windows,
dropout), so a run that was killed continues with the curve it would have had.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from vidrec.batches import ahead, in_batches
from vidrec.errors import TrainingError
from vidrec.files import parsed_json, writing
from vidrec.models import temporal_head  # noqa: F401 - a saved network needs its layers known
from vidrec.models.r2plus1d import PRE_LOGITS
from vidrec.models.recipes import Recipe

if TYPE_CHECKING:
    Integers = NDArray[np.int64]
    Floats = NDArray[np.float32]

__all__ = [
    "Epoch", "Run", "classify", "embed_clips", "load_initial", "train", "untrained", "write_history"
]  # fmt: skip

_BATCH = 8  # of evaluation
_ADAPT_WINDOWS = 512  # enough to measure means and variances by


@dataclass(frozen=True)
class Epoch:
    """One row of the history; `val_map` is retrieval within the validation clips.

    Without validation clips the training figures stand for theirs, and `val_map` is 0.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_map: float
    seconds: float

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better."""
        return (self.val_map, -self.val_loss)


@dataclass
class Run:
    """A training run: what it works on, and how far it has come.

    Attributes:
        clips: the grid of every clip.
        labels: `(n,)` class of each clip.
        train, val, test: which clips.
        quality: `(embeddings, labels) → mean average precision`.
        folder: where the state is kept between epochs.
    """

    recipe: Recipe
    clips: Sequence[NDArray[Any]]
    labels: Integers
    n_classes: int
    train: Integers
    val: Integers
    test: Integers
    quality: Callable[[Floats, Integers], float]
    folder: Path
    epochs: int = 50
    batch_size: int = 8
    learning_rate: float = 1e-4
    patience: int = 20
    seed: int = 0
    key: str = ""
    history: list[Epoch] = field(default_factory=list)

    @property
    def best(self) -> Epoch | None:
        return max(self.history, key=lambda row: row.rank, default=None)

    def n_starts(self, clip: int) -> int:
        """How many windows there are on the grid of a clip."""
        return self.recipe.sampling.n_starts(len(self.clips[clip]))

    @property
    def n_steps(self) -> int:
        """Steps in an epoch."""
        return -(-len(self.train) // self.batch_size)


def train(
    run: Run,
    *,
    initial: keras.Model | None = None,
    resume: bool = False,
    on_start: Callable[[int], None] = lambda epochs: None,
    on_step: Callable[[int], None] = lambda step: None,
    on_epoch: Callable[[Epoch], None] = lambda row: None,
    stopped: Callable[[], bool] = lambda: False,
) -> keras.Model:
    """Trains until the epochs are over, patience is, or `stopped` says so; returns the best model.

    Args:
        run: its `history` is filled.
        initial: weights to start from, wherever name and shape agree.
        resume: go on from the state in the run's folder.
        on_start: called once with the number of epochs that are done already.

    Raises:
        TrainingError: there is no state to resume, it belongs to another run, the loss is no
            number, the disk is full, or it was stopped before an epoch was finished.
    """
    model = _resumed(run) if resume else _fresh(run, initial)
    both = keras.Model(model.input, [model.get_layer(PRE_LOGITS).output, model.output])
    on_start(len(run.history))
    try:
        for epoch in range(len(run.history), run.epochs):
            if _out_of_patience(run):
                break
            started = monotonic()
            figures = _one_epoch(run, model, epoch, on_step, stopped)
            if figures is None:
                break
            val = _validate(run, both) if len(run.val) else (*figures, 0.0)
            row = Epoch(epoch + 1, *figures, *val, seconds=monotonic() - started)
            run.history.append(row)
            _save(run, model)
            on_epoch(row)
    except OSError as exc:
        kept = len(run.history) > 1
        remedy = "the epochs before are kept: make room and go on with --resume"
        raise TrainingError(
            f"cannot write into {run.folder}: {exc.strerror}; "
            f"{remedy if kept else 'make room and train again'}"
        ) from exc
    if not run.history:
        raise TrainingError("interrupted before the first epoch was finished: nothing to keep")
    best: keras.Model = keras.saving.load_model(run.folder / "best.keras", compile=False)
    return best


def _out_of_patience(run: Run) -> bool:
    best = run.best
    return best is not None and 0 < run.patience <= len(run.history) - best.epoch


def untrained(run: Run) -> keras.Model:
    """The network as it is before training: what the trained one is to be compared with."""
    keras.utils.set_random_seed(run.seed)
    model = run.recipe.network(run.n_classes)
    run.recipe.adapt(model, lambda: _training_windows(run))
    return model


def _fresh(run: Run, initial: keras.Model | None) -> keras.Model:
    model = untrained(run)
    if initial is not None:
        load_initial(model, initial)
    optimizer = run.recipe.optimizer(run.learning_rate, run.epochs * run.n_steps)
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # XLA makes these convolutions ten times slower on a CPU
    )
    return model


def load_initial(model: keras.Model, initial: keras.Model) -> list[str]:
    """Copies weights layer by layer, all but those of the classes; returns the layers copied.

    Raises:
        TrainingError: not one layer fits, or one of the network's is missing there.
    """
    copied = []
    for layer in model.layers:
        weights = layer.get_weights()
        if not weights or layer.name == "logits":
            continue
        try:
            theirs = initial.get_layer(layer.name).get_weights()
        except ValueError:
            theirs = []
        if [w.shape for w in theirs] != [w.shape for w in weights]:
            raise TrainingError(
                f"the checkpoint given by --init does not fit: layer {layer.name} differs (another "
                "recipe, or another number of frames or pixels)"
            )
        layer.set_weights(theirs)
        copied.append(layer.name)
    return copied


def _windows(run: Run, at: Sequence[tuple[int, int]]) -> Floats:
    """Windows by their clip and start, `(b, n_frames, …)`, as the network takes them."""
    found = [run.recipe.sampling.window(run.clips[clip], start) for clip, start in at]
    return run.recipe.inputs(np.stack(found))


def _drawn(run: Run, clips: Integers, rng: np.random.Generator) -> list[tuple[int, int]]:
    """A window of each clip, at random."""
    return [(clip, int(rng.integers(run.n_starts(clip)))) for clip in clips.tolist()]


def _training_windows(run: Run) -> Floats:
    """Some windows to measure by, at least one of every training clip if they are few."""
    rng = np.random.default_rng(run.seed)
    clips = np.resize(rng.permutation(run.train), _ADAPT_WINDOWS)
    return _windows(run, _drawn(run, clips, rng))


def _batches(run: Run, epoch: int) -> Iterator[tuple[Floats, Integers]]:
    rng = np.random.default_rng((run.seed, epoch))
    order = rng.permutation(run.train)
    for first in range(0, len(order), run.batch_size):
        part = order[first : first + run.batch_size]
        yield _windows(run, _drawn(run, part, rng)), run.labels[part]


def _one_epoch(
    run: Run,
    model: keras.Model,
    epoch: int,
    on_step: Callable[[int], None],
    stopped: Callable[[], bool],
) -> tuple[float, float] | None:
    """Mean loss and accuracy over an epoch; None if it was stopped within."""
    for layer in model.layers:
        if (generator := getattr(layer, "seed_generator", None)) is not None:
            generator.state.assign([run.seed, epoch])
    sums = np.zeros(2)
    for step, (inputs, labels) in enumerate(ahead(_batches(run, epoch))):
        if stopped():
            return None
        model.reset_metrics()
        logs = model.train_on_batch(inputs, labels, return_dict=True)
        sums += np.array([float(logs["loss"]), float(logs["accuracy"])]) * len(labels)
        on_step(step)
    loss, accuracy = map(float, sums / len(run.train))
    if not np.isfinite(loss):
        raise TrainingError(
            f"the loss is no longer a number in epoch {epoch + 1}: "
            f"lower --learning-rate (now {run.learning_rate:g})"
        )
    return loss, accuracy


def _outputs(run: Run, model: keras.Model, at: Iterable[tuple[int, int]]) -> list[Any]:
    """Each output of a network for windows, `(n, …)`.

    Networks are called as they are: tracing a graph for each size of batch costs more.
    """
    parts = [
        keras.tree.flatten(model(_windows(run, part), training=False))
        for part in in_batches(at, _BATCH)
    ]
    joined = (keras.ops.concatenate(part) for part in zip(*parts, strict=True))
    return [keras.ops.convert_to_numpy(whole) for whole in joined]


def _middles(run: Run, clips: Integers) -> list[tuple[int, int]]:
    return [(clip, run.n_starts(clip) // 2) for clip in clips.tolist()]


def _validate(run: Run, both: keras.Model) -> tuple[float, float, float]:
    """Loss, accuracy and retrieval mAP on the validation clips, one window of each.

    `both` gives the embeddings and the logits.
    """
    embeddings, logits = _outputs(run, both, _middles(run, run.val))
    labels, z = run.labels[run.val], logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(len(labels)), labels].mean()
    accuracy = (z.argmax(axis=1) == labels).mean()
    return float(loss), float(accuracy), run.quality(_unit(embeddings), labels)


def classify(run: Run, model: keras.Model, clips: Integers) -> Integers:
    """The class that the head chooses for each clip, by its middle window."""
    (logits,) = _outputs(run, model, _middles(run, clips))
    classes: Integers = logits.argmax(axis=1)
    return classes


def embed_clips(run: Run, model: keras.Model, clips: Integers, n_windows: int) -> Floats:
    """Unit embeddings `(n, dim)` of clips: each the mean over windows spread over its grid."""
    output = model.get_layer(PRE_LOGITS).output
    vectors = np.zeros((len(clips), output.shape[-1]), np.float32)
    at = [
        (row, (clip, start))
        for row, clip in enumerate(clips.tolist())
        for start in run.recipe.sampling.spread(len(run.clips[clip]), n_windows)
    ]
    if at:
        rows, windows = zip(*at, strict=True)
        (found,) = _outputs(run, keras.Model(model.input, output), windows)
        np.add.at(vectors, list(rows), _unit(found))
    return _unit(vectors)


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit


def _save(run: Run, model: keras.Model) -> None:
    """Saves an epoch: the new state becomes the state by one rename."""
    run.folder.mkdir(parents=True, exist_ok=True)
    name = f"epoch-{len(run.history):04d}.keras"
    for file in (name, "best.keras")[: 1 + (run.best is run.history[-1])]:
        with writing(run.folder / file) as draft:
            model.save(draft)
    state = {"key": run.key, "model": name, "history": [asdict(row) for row in run.history]}
    with writing(run.folder / "state.json") as draft:
        draft.write_text(json.dumps(state), "utf-8")
    for old in run.folder.glob("epoch-*.keras"):
        if old.name != name:
            old.unlink()


def _resumed(run: Run) -> keras.Model:
    path = run.folder / "state.json"
    try:
        state = parsed_json(path.read_text("utf-8"))
        run.history[:] = [Epoch(**row) for row in state["history"]]
        model: keras.Model = keras.saving.load_model(run.folder / state["model"])
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise TrainingError(
            f"{run.folder.parent} holds no run to resume: train without --resume"
        ) from exc
    if state["key"] != run.key:
        raise TrainingError(
            f"the run in {run.folder.parent} had other data or options: give the same ones again, "
            "or train without --resume into another --out"
        )
    return model


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Writes one row an epoch as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Epoch)])
        writer.writeheader()
        writer.writerows(map(asdict, history))
