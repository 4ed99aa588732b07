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
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidrec.errors import EmbedderError
from vidrec.models import efficientnet_lite, text
from vidrec.models.efficientnet_lite import N_FEATURES
from vidrec.vectors import unit

RECIPE_VERSION = 1
# The label space and the visual projection; `python -m vidrec.models.conse_space` makes it.
SPACE = Path(__file__).with_name("conse_space.f32")
SPACE_SHA256 = "8a2f718dbfa6a5bae74570a499bf058ca7c0de04060781e64fd9423994ab9446"
VISUAL_DIM = 64
VISUAL_SHARE = 1 / 3  # of a video vector's squared length
DIM = text.TEXT_DIM + VISUAL_DIM


def recipe_id() -> str:
    """Return a short hash of all that decides the vectors; no model is loaded for it."""
    parts = (
        RECIPE_VERSION,
        *(efficientnet_lite.WEIGHTS_SHA256, efficientnet_lite.BUILDER_VERSION),
        *(text.MODEL_SHA256, text.TOKENIZER_SHA256, SPACE_SHA256, VISUAL_DIM, VISUAL_SHARE),
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


class Conse:
    """Turns classified frames and texts into vectors of one space."""

    def __init__(self, cache: Path) -> None:
        """``cache`` is the folder that keeps what the text encoder prepares."""
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
        described = unit(weights @ self._labels)
        visual = unit(np.average(features, axis=0, weights=counts) @ self._visual)
        vector = np.concatenate(
            [described * np.sqrt(1 - VISUAL_SHARE), visual * np.sqrt(VISUAL_SHARE)]
        )
        return vector.astype(np.float32)

    def texts_to_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the ``(n, 448)`` unit vectors of texts."""
        vectors = np.zeros((len(texts), DIM), np.float32)
        centred = self._encoder.encode(texts) - self._space[0]
        vectors[:, : text.TEXT_DIM] = unit(centred @ self._space[1 : 1 + text.TEXT_DIM])
        return vectors

    def load(self) -> None:
        """Load now what frames need, so that several threads may share it."""
        _ = self._numbers

    @cached_property
    def _encoder(self) -> text.TextEncoder:
        return text.TextEncoder(self._cache)

    @property
    def _space(self) -> NDArray[np.float32]:
        """The mean label vector, the whitening matrix and the whitened labels, row below row."""
        return self._numbers[: -N_FEATURES * VISUAL_DIM].reshape(-1, text.TEXT_DIM)

    @property
    def _labels(self) -> NDArray[np.float32]:
        return self._space[1 + text.TEXT_DIM :]

    @property
    def _visual(self) -> NDArray[np.float32]:  # (1280, 64)
        return self._numbers[-N_FEATURES * VISUAL_DIM :].reshape(-1, VISUAL_DIM)

    @cached_property
    def _numbers(self) -> NDArray[np.float32]:
        try:
            return np.fromfile(SPACE, "<f4")
        except OSError as exc:
            raise EmbedderError(f"cannot read {SPACE}: install vidrec again") from exc
