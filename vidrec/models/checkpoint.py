"""The folder that `vidrec train` writes, as its readers see it.

`labels.json` is written last, so a folder that has one is whole. It holds all that can be known
without loading the model: the labels with their prototypes, the sampling, the hash of the weights.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from vidrec.calibration import Calibration
from vidrec.errors import EmbedderError
from vidrec.files import expanded, writing
from vidrec.models.windows import Count, Sampling
from vidrec.types import Modality
from vidrec.wording import did_you_mean

__all__ = [
    "CHECKPOINTS", "Checkpoint", "checkpoints", "default_checkpoint", "named_checkpoint",
    "read_checkpoint", "words_of",
]  # fmt: skip

CHECKPOINTS = "checkpoints"  # folder of the library
LABELS, MODEL = "labels.json", "model.onnx"

Name = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Checkpoint:
    """What a trained network is, without the network: `labels.json`, as pydantic reads it.

    Attributes:
        labels: names of the classes, as in the data set.
        prototypes: for each label the mean unit embedding of its training clips, of length `dim`.
        digest: SHA-256 of `model.onnx`.
        calibrations: what scores mean, by kind of query, as found on clips not trained on.
        splits: the side (train, val, test) of each clip of the data set, by the hash of its bytes.
    """

    folder: Annotated[Path, Field(default=Path(), exclude=True)]  # not in the file
    recipe: Name
    dim: Count
    labels: Annotated[tuple[Name, ...], Field(min_length=1)]
    prototypes: list[list[FiniteFloat]]
    sampling: Sampling
    digest: Annotated[Name, Field(alias="model_sha256")]
    calibrations: dict[Modality, Calibration] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    format: Literal[1] = 1

    def __post_init__(self) -> None:
        if [len(row) for row in self.prototypes] != [self.dim] * len(self.labels):
            raise ValueError("there is one prototype for each label, of the same length all")

    @property
    def named(self) -> str:
        """The model's name in fingerprints."""
        return f"{self.recipe}-{self.digest[:8]}"

    def model(self) -> Path:
        """`model.onnx`: `frames (b, t, h, w, 3)` uint8 to `embedding (b, dim)`.

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
        return path

    def write(self, model: bytes) -> None:
        """Writes `model.onnx`, then `labels.json`, each by one rename."""
        content = TypeAdapter(Checkpoint).dump_json(self, by_alias=True)
        for name, data in ((MODEL, model), (LABELS, content)):
            with writing(self.folder / name) as draft:
                draft.write_bytes(data)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads `labels.json`.

    Raises:
        EmbedderError: there is no finished checkpoint, or one of another version of vidrec.
    """
    try:
        content = (folder / LABELS).read_bytes()
        found = TypeAdapter(Checkpoint).validate_json(content, strict=True)
        return replace(found, folder=folder)
    except FileNotFoundError as exc:
        raise EmbedderError(
            f"no checkpoint in {folder}: make one with `vidrec train DATASET`"
        ) from exc
    except (OSError, ValidationError) as exc:
        problems = exc.errors() if isinstance(exc, ValidationError) else ()
        if any(problem["loc"] == ("format",) for problem in problems):
            raise EmbedderError(
                f"{folder} was written by another version of vidrec: train again"
            ) from exc
        raise EmbedderError(f"{folder / LABELS} is damaged: train again") from exc


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
