"""The folder that `vidrec train` writes, as its readers see it.

`labels.json` is written last, so a folder that has one is whole. It holds all that can be known
without loading the model: the labels with their prototypes, the sampling, the hash of the weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vidrec.calibration import Calibration
from vidrec.errors import EmbedderError
from vidrec.files import parsed_json, writing
from vidrec.models.windows import Sampling
from vidrec.types import Modality

__all__ = ["CHECKPOINTS", "Checkpoint", "newest_checkpoint", "read_checkpoint", "words_of"]

CHECKPOINTS = "checkpoints"  # folder of the library
LABELS, MODEL = "labels.json", "model.onnx"
_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a trained network is, without the network.

    Attributes:
        labels: names of the classes, as in the data set.
        prototypes: for each label the mean unit embedding of its training clips, of length `dim`.
        digest: SHA-256 of `model.onnx`.
        calibrations: what scores mean, by kind of query, as found on clips not trained on.
    """

    folder: Path
    recipe: str
    dim: int
    labels: tuple[str, ...]
    prototypes: Sequence[Sequence[float]]
    sampling: Sampling
    digest: str
    calibrations: Mapping[Modality, Calibration] = field(default_factory=dict)

    def model(self) -> bytes:
        """The bytes of `model.onnx`: `frames (b, t, h, w, 3)` uint8 to `embedding (b, dim)`.

        Raises:
            EmbedderError: it cannot be read, or is not the one the folder was written with.
        """
        path = self.folder / MODEL
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise EmbedderError(f"cannot read {path}: {exc.strerror}") from exc
        if hashlib.sha256(data).hexdigest() != self.digest:
            raise EmbedderError(f"{path} is damaged or of another run: train again")
        return data

    def write(self, model: bytes) -> None:
        """Writes `model.onnx`, then `labels.json`, each by one rename."""
        sampling = {name: getattr(self.sampling, name) for name in Sampling.__slots__}
        content = {
            "format": _FORMAT,
            "recipe": self.recipe,
            "dim": self.dim,
            "sampling": sampling,
            "model_sha256": self.digest,
            "labels": list(self.labels),
            "calibrations": {kind: asdict(found) for kind, found in self.calibrations.items()},
            "prototypes": [list(map(float, row)) for row in self.prototypes],
        }
        with writing(self.folder / MODEL) as draft:
            draft.write_bytes(model)
        with writing(self.folder / LABELS) as draft:
            draft.write_text(json.dumps(content), encoding="utf-8")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads `labels.json`.

    Raises:
        EmbedderError: there is no finished checkpoint, or one of another version of vidrec.
    """
    try:
        content: dict[str, Any] = parsed_json((folder / LABELS).read_text("utf-8"))
        if content["format"] != _FORMAT:
            raise EmbedderError(f"{folder} was written by another version of vidrec: train again")
        return Checkpoint(
            folder=folder,
            recipe=content["recipe"],
            dim=content["dim"],
            labels=tuple(content["labels"]),
            prototypes=content["prototypes"],
            sampling=Sampling(**content["sampling"]),
            digest=content["model_sha256"],
            calibrations={
                kind: Calibration(**found)
                for kind, found in content.get("calibrations", {}).items()
            },
        )
    except FileNotFoundError as exc:
        raise EmbedderError(
            f"no checkpoint in {folder}: make one with `vidrec train DATASET`"
        ) from exc
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise EmbedderError(f"{folder / LABELS} is damaged: train again") from exc


def newest_checkpoint(library: Path) -> Path:
    """The finished checkpoint in a library that was written last.

    Raises:
        EmbedderError: there is none.
    """
    found = [(path.stat().st_mtime_ns, path) for path in library.glob(f"{CHECKPOINTS}/*/{LABELS}")]
    if not found:
        raise EmbedderError(
            f"no trained network in {library}: make one with `vidrec train DATASET`, or name one "
            "with --checkpoint"
        )
    return max(found)[1].parent


def words_of(label: str) -> str:
    """A label as words: `ApplyEyeMakeup` → `apply eye makeup`, `jump_rope` → `jump rope`."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W_A-Z]+|\d+", label)
    return " ".join(parts).lower() or label
