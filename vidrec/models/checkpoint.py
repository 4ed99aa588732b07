"""The folder that `vidrec train` writes, as its readers see it.

`labels.json` is written last, so a folder that has one is whole. It holds all that can be known
without loading the model: the labels with their prototypes, the sampling, the hash of the weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vidrec.calibration import Calibration
from vidrec.errors import EmbedderError
from vidrec.files import expanded, parsed_json, writing
from vidrec.models.windows import Sampling
from vidrec.types import Modality
from vidrec.wording import did_you_mean

__all__ = [
    "CHECKPOINTS", "Checkpoint", "checkpoints", "default_checkpoint", "named_checkpoint",
    "read_checkpoint", "words_of",
]  # fmt: skip

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
        splits: the side (train, val, test) of each clip of the data set, by the hash of its bytes.
    """

    folder: Path
    recipe: str
    dim: int
    labels: tuple[str, ...]
    prototypes: Sequence[Sequence[float]]
    sampling: Sampling
    digest: str
    calibrations: Mapping[Modality, Calibration] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)

    @property
    def named(self) -> str:
        """The model's name in fingerprints."""
        return f"{self.recipe}-{self.digest[:8]}"

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
            "splits": dict(self.splits),
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
        found = Checkpoint(
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
            splits=content.get("splits", {}),
        )
        _check(found)
        return found
    except FileNotFoundError as exc:
        raise EmbedderError(
            f"no checkpoint in {folder}: make one with `vidrec train DATASET`"
        ) from exc
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as exc:
        raise EmbedderError(f"{folder / LABELS} is damaged: train again") from exc


def _check(found: Checkpoint) -> None:
    """Raise ValueError where a checkpoint says what no training writes."""
    sampling, labels = found.sampling, found.labels
    whole = (found.dim, sampling.n_frames, sampling.frame_step, sampling.size, sampling.phases)
    numbers = [n for c in found.calibrations.values() for n in (c.slope, c.offset)]
    vectors = [n for row in found.prototypes for n in row]
    texts = (found.recipe, found.digest, *labels)
    good = (
        all(type(n) is int and 0 < n < 1 << 16 for n in whole)
        and sampling.fit in ("pad", "squash")
        and all(isinstance(text, str) and text for text in texts)
        and labels
        and len(found.prototypes) == len(labels)
        and all(len(row) == found.dim for row in found.prototypes)
        and all(math.isfinite(n) for n in (*numbers, *vectors))
        and isinstance(found.splits, dict)
    )
    if not good:
        raise ValueError("no training writes that")


def checkpoints(library: Path) -> list[Path]:
    """The folders of the finished checkpoints in a library, the newest first."""
    found = [(path.stat().st_mtime_ns, path) for path in library.glob(f"{CHECKPOINTS}/*/{LABELS}")]
    return [path.parent for _, path in sorted(found, reverse=True)]


def named_checkpoint(library: Path, named: Path) -> Path:
    """The folder that a name in a library, or a path, stands for.

    Raises:
        EmbedderError: a name that no checkpoint of the library has.
    """
    inside = library / CHECKPOINTS / named
    if len(named.parts) > 1 or (named / LABELS).exists() or str(named) in (".", "..", "~"):
        return expanded(named)
    if not (inside / LABELS).exists():
        known = [folder.name for folder in checkpoints(library)]
        raise EmbedderError(
            f"no checkpoint {named} in {library}{did_you_mean(str(named), known)} "
            f"(it holds {', '.join(known) or 'none'}; a folder is named with a /)"
        )
    return inside


def default_checkpoint(library: Path, used: Collection[str]) -> tuple[Path, str]:
    """The newest checkpoint in a library, but never instead of one that is in use.

    Args:
        used: names of the models that the library holds vectors of.

    Returns:
        The folder, and a remark where a newer one was passed over.

    Raises:
        EmbedderError: there is none.
    """
    found = checkpoints(library)
    if not found:
        raise EmbedderError(
            f"no trained network in {library}: make one with `vidrec train DATASET`, or name one "
            "with --checkpoint"
        )
    if len(found) > 1 and used:
        for folder in found:
            if read_checkpoint(folder).named in used:
                newer = found[0].name if folder != found[0] else ""
                passed = (
                    f"using the checkpoint {folder.name}, which has vectors in the library; "
                    f"{newer} is newer: --checkpoint {newer} uses that"
                )
                return folder, passed if newer else ""
    return found[0], ""


def words_of(label: str) -> str:
    """A label as words: `ApplyEyeMakeup` → `apply eye makeup`, `jump_rope` → `jump rope`."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W_A-Z]+|\d+", label)
    return " ".join(parts).lower() or label
