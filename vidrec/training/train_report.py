"""How good a trained network is: retrieval and accuracy on the test clips, tables and plots."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.calibration import Calibration
    from vidrec.models.training import Epoch
    from vidrec.types import Modality

    Vectors = NDArray[np.float32]
    Integers = NDArray[np.int64]

PACKAGES = ("vidrec", "tensorflow", "keras", "numpy", "onnxruntime")


def mean_average_precision(vectors: Vectors, labels: Integers) -> float:
    """Leave-one-out retrieval within a set; 0 where no clip has another of its class."""
    import numpy as np

    from vidrec.evaluate.metrics import neighbour_quality

    found = neighbour_quality(vectors, labels, np.arange(len(vectors))).average_precision
    return float(found.mean()) if len(found) else 0.0


def retrieval(
    queries: Vectors,
    query_labels: Integers,
    vectors: Vectors | None,
    labels: Integers | None,
    seed: int,
) -> dict[str, Any]:
    """P@1, P@10 and mAP with 95 % bootstrap intervals over queries, and what chance would give.

    Queries are ranked against `vectors`, or against each other (leaving themselves out) without.
    """
    import numpy as np

    from vidrec.evaluate import metrics

    n, groups = len(queries), None
    if vectors is not None and labels is not None:
        groups = np.concatenate([np.zeros(n, np.int64), np.full(len(vectors), -1)])
        queries = np.concatenate([queries, vectors])
        query_labels = np.concatenate([query_labels, labels])
    found = metrics.neighbour_quality(queries, query_labels, np.arange(n), groups)
    if not len(found.precision_1):
        return {"queries": 0}
    measures = {
        "p_at_1": found.precision_1, "p_at_10": found.precision_10, "map": found.average_precision
    }  # fmt: skip
    report: dict[str, Any] = {"queries": len(found.precision_1)}
    for name, values in measures.items():
        low, high = metrics.bootstrap_interval(values, seed=seed)
        report[name] = _rounded(values.mean())
        report[f"{name}_95"] = [_rounded(low), _rounded(high)]
    report["chance_map"] = _rounded(metrics.chance_average_precision(found))
    return report


def classification(
    queries: Vectors, labels: Integers, prototypes: Vectors, logits: Integers, seed: int
) -> dict[str, Any]:
    """Accuracy of the classifier's head and of the nearest prototype; the confusion matrix.

    `logits` are the classes that the head chose; `confusion[i][j]` counts clips of class i that
    it took for class j.
    """
    import numpy as np

    from vidrec.evaluate.metrics import bootstrap_interval

    right = (logits == labels).astype(np.float64)
    confusion = np.zeros((len(prototypes), len(prototypes)), np.int64)
    np.add.at(confusion, (labels, logits), 1)
    low, high = bootstrap_interval(right, seed=seed)
    nearest = (queries @ prototypes.T).argmax(axis=1)
    return {
        "accuracy": _rounded(right.mean()),
        "accuracy_95": [_rounded(low), _rounded(high)],
        "accuracy_nearest_prototype": _rounded((nearest == labels).mean()),
        "confusion": confusion.tolist(),
    }


def calibrations(
    vectors: Vectors, labels: Integers, n_trained: int, prototypes: Vectors
) -> tuple[dict[Modality, Calibration], dict[str, Any]]:
    """What scores will mean, and how well they tell whether anything fits.

    Held-out clips ask for training clips of their class; each label, by its prototype, asks for
    held-out clips. Both are asked again with that class taken away.

    Args:
        vectors: `(n, dim)` of all clips, those trained on first.
        labels: `(n,)`.
        n_trained: how many those are.
        prototypes: `(l, dim)`.
    """
    import numpy as np

    from vidrec.calibration import fit, separation
    from vidrec.evaluate.metrics import best_scores

    trained, held = np.split(np.arange(len(vectors)), [n_trained])
    one_of = np.array([np.flatnonzero(labels == label)[0] for label in range(len(prototypes))])
    asked: dict[Modality, tuple[Vectors, Integers, Integers]] = {
        "video": (vectors[held], held, trained),
        "text": (prototypes, one_of, held),
    }
    found: dict[Modality, Calibration] = {}
    report: dict[str, Any] = {}
    for kind, (queries, own, rows) in asked.items():
        present, absent = best_scores(queries, own, vectors[rows], rows, labels)
        if len(present):
            found[kind] = fit(present, absent)
            report[kind] = {
                "queries": len(present), "separation": _rounded(separation(present, absent))
            }  # fmt: skip
    return found, report


def _rounded(value: float) -> float:
    return round(float(value), 4)


def versions() -> dict[str, str]:
    """What the figures were made with."""
    found = {name: version(name) for name in PACKAGES if name != "vidrec"}
    from vidrec import __version__

    return {"vidrec": __version__, "python": platform.python_version(), **found}


def write_metrics(path: Path, metrics: dict[str, Any]) -> None:
    """Writes the figures as JSON."""
    path.write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")


def plot_curves(path: Path, history: Sequence[Epoch], title: str) -> None:
    """Loss, accuracy and retrieval by epoch, as a PNG."""
    figure, axes = _figure(2, (9.0, 3.6))
    epochs = [row.epoch for row in history]
    axes[0].plot(epochs, [row.loss for row in history], label="train")
    axes[0].plot(epochs, [row.val_loss for row in history], label="val")
    axes[0].set(title="cross-entropy", xlabel="epoch", ylim=(0, None))
    axes[1].plot(epochs, [row.accuracy for row in history], label="train accuracy")
    axes[1].plot(epochs, [row.val_accuracy for row in history], label="val accuracy")
    axes[1].plot(epochs, [row.val_map for row in history], label="val mAP", linestyle="--")
    axes[1].set(title="accuracy, retrieval", xlabel="epoch", ylim=(0, 1.02))
    for axis in axes:
        axis.legend(frameon=False)
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, format="png")


def plot_confusion(path: Path, confusion: list[list[int]], labels: Sequence[str]) -> None:
    """The confusion matrix, rows true and columns predicted, as a PNG."""
    side = max(4.0, 0.45 * len(labels) + 2.5)
    figure, (axis,) = _figure(1, (side + 0.5, side))
    most = max(1, *(count for row in confusion for count in row))
    axis.imshow(confusion, cmap="Blues", vmin=0, vmax=most)
    axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axis.set_yticks(range(len(labels)), labels)
    axis.set(xlabel="predicted", ylabel="true", title="test clips")
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            colour = "white" if count > most / 2 else "black"
            axis.text(j, i, str(count) if count else "", ha="center", va="center", color=colour)
    figure.savefig(path, format="png")


def _figure(n_axes: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure without pyplot: no window, no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    return figure, figure.subplots(1, n_axes, squeeze=False)[0]
