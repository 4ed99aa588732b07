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
part alone, while videos are compared by both. The last part is tone (``vidrec.models.tone``), of
which a text about things has none, either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidrec.errors import EmbedderError
from vidrec.models import efficientnet_lite, text, tone
from vidrec.models.efficientnet_lite import N_FEATURES
from vidrec.models.understood import understood
from vidrec.vectors import unit

if TYPE_CHECKING:
    from vidrec.media.tone import Tone

RECIPE_VERSION = 2
# The label space and the visual projection, and the vectors of what is said of tone;
# `python -m tests.conse_space` makes both.
SPACE = Path(__file__).with_name("conse_space.f32")
SPACE_SHA256 = "8a2f718dbfa6a5bae74570a499bf058ca7c0de04060781e64fd9423994ab9446"
SAYINGS = Path(__file__).with_name("conse_tone.f32")
SAYINGS_SHA256 = "87a1763b3ba4d669df1d3b850c76b3cb9f6471f7c6a51ce382959cc48ce17ca9"
LABELS = Path(__file__).with_name("conse_labels.txt")
VISUAL_DIM = 64
VISUAL_SHARE = 1 / 3  # of a video vector's squared length
TONE_SHARE = 0.1  # of a video vector's squared length
# How much one deviation on an axis that a text speaks of counts, against cosines of things.
TONE_WEIGHT = 0.2
SEEN_DIM = text.TEXT_DIM + VISUAL_DIM
DIM = SEEN_DIM + tone.DIM


def recipe_id() -> str:
    """Return a short hash of all that decides the vectors; no model is loaded for it."""
    parts = (
        RECIPE_VERSION,
        *(efficientnet_lite.WEIGHTS_SHA256, efficientnet_lite.BUILDER_VERSION),
        *(text.MODEL_SHA256, text.TOKENIZER_SHA256, SPACE_SHA256, SAYINGS_SHA256),
        *(VISUAL_DIM, VISUAL_SHARE, TONE_SHARE, TONE_WEIGHT),
        *(repr(tone.MEANINGS), tone.REFERENCE, tone.FARTHEST, tone.CLOSE, tone.SURE),
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


class _Space(NamedTuple):
    """What is shipped: the mean label vector, what whitens, the whitened labels, the projection."""

    mean: NDArray[np.float32]  # (384,)
    whitening: NDArray[np.float32]  # (384, 384)
    labels: NDArray[np.float32]  # (1000, 384)
    visual: NDArray[np.float32]  # (1280, 64)


class Conse:
    """Turns classified frames and texts into vectors of one space."""

    def __init__(self, cache: Path) -> None:
        """``cache`` is the folder that keeps what the text encoder prepares."""
        self._cache = cache
        self._last: tuple[tuple[str, ...], NDArray[np.float32]] | None = None

    def frames_to_vector(
        self,
        logits: NDArray[np.float32],
        features: NDArray[np.float32],
        counts: Sequence[int] | None = None,
        measured: Tone | None = None,
    ) -> NDArray[np.float32]:
        """Return the ``(454,)`` unit vector of the frames of one clip.

        Args:
            logits: ``(t, 1000)``, from ``FrameClassifier``.
            features: ``(t, 1280)``, from the same call.
            counts: how much each frame counts in the means; all the same by default.
            measured: the clip's tone; as usual in every way by default.
        """
        wide = logits.astype(np.float64)
        roots = np.exp((wide - wide.max(axis=1, keepdims=True)) / 2)  # √p, up to a factor
        weights = np.average(roots / roots.sum(axis=1, keepdims=True), axis=0, weights=counts)
        described = unit(weights @ self._space.labels)
        visual = unit(np.average(features, axis=0, weights=counts) @ self._space.visual)
        seen = np.concatenate(
            [described * np.sqrt(1 - VISUAL_SHARE), visual * np.sqrt(VISUAL_SHARE)]
        )
        toned = tone.tone_part(measured)
        vector = np.concatenate([seen * np.sqrt(1 - TONE_SHARE), toned * np.sqrt(TONE_SHARE)])
        return vector.astype(np.float32)

    def texts_to_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the ``(n, 454)`` unit vectors of texts."""
        vectors = np.zeros((len(texts), DIM), np.float32)
        about = self.about(texts)
        weights, things = self._phrasebook.read(about)
        # So that a video's score is, up to a factor, its cosine of things plus, for each axis,
        # TONE_WEIGHT times the text's weight times the video's coordinate.
        farthest = tone.FARTHEST * np.sqrt(len(tone.AXES))
        weights *= TONE_WEIGHT * farthest * np.sqrt((1 - TONE_SHARE) / TONE_SHARE)
        vectors[:, : text.TEXT_DIM] = unit(about + things)
        vectors[:, SEEN_DIM : SEEN_DIM + len(tone.AXES)] = weights
        return unit(vectors)

    def understood(self, texts: Sequence[str]) -> list[float]:
        """Return the probability, 0 to 1, that each text means something."""
        about = self.about(texts)
        lengths = np.linalg.norm(self._space.labels, axis=1)
        labels = (about @ self._space.labels.T / lengths).max(axis=1)
        close = np.maximum(labels, self._phrasebook.closeness(about).max(axis=1)).tolist()
        words = self._encoder.words(texts)
        return [understood(w, c) for w, c in zip(words, close, strict=True)]

    def says(self, text: str) -> dict[str, float]:
        """Return what a text says of tone: weights on the axes that it speaks of."""
        weights, _ = self._phrasebook.read(self.about([text]))
        found = zip(tone.AXES, weights[0].tolist(), strict=True)
        return {axis: weight for axis, weight in found if abs(weight) >= 0.05}

    def nearest_labels(
        self, vectors: NDArray[np.float32], count: int
    ) -> list[list[tuple[str, float]]]:
        """Return the labels nearest to each of ``(n, 454)`` vectors, with their cosines."""
        labels = unit(self._space.labels)
        cosines = unit(vectors[:, : text.TEXT_DIM]) @ labels.T  # n 1000
        found = []
        for row in cosines:
            best: dict[str, float] = {}  # two names stand for two labels each
            for at in np.argsort(-row, kind="stable")[: count + 2].tolist():
                best.setdefault(self._label_names[at], float(row[at]))
            found.append(list(best.items())[:count])
        return found

    def load(self) -> None:
        """Load now what frames need, so that several threads may share it, and prepare the rest."""
        _ = self._space
        self._encoder.prepare()

    def about(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(n, 384)``: what texts are about, centred and whitened, unit vectors."""
        if (known := self._last) is not None and known[0] == tuple(texts):
            return known[1]  # what a text means and whether it does are asked one after the other
        centred = self._encoder.encode(texts) - self._space.mean
        about = unit(centred @ self._space.whitening)
        self._last = tuple(texts), about
        return about

    @cached_property
    def _phrasebook(self) -> tone.Phrasebook:
        vectors = _shipped(SAYINGS).reshape(-1, text.TEXT_DIM)
        return tone.Phrasebook(vectors[: len(tone.PHRASES)], vectors[len(tone.PHRASES) :])

    @cached_property
    def _encoder(self) -> text.TextEncoder:
        return text.TextEncoder(self._cache)

    @cached_property
    def _space(self) -> _Space:
        numbers = _shipped(SPACE)
        texts = numbers[: -N_FEATURES * VISUAL_DIM].reshape(-1, text.TEXT_DIM)
        mean, whitening, labels = np.split(texts, [1, 1 + text.TEXT_DIM])
        return _Space(mean[0], whitening, labels, numbers[texts.size :].reshape(-1, VISUAL_DIM))

    @cached_property
    def _label_names(self) -> list[str]:
        return LABELS.read_text(encoding="utf-8").splitlines()


def _shipped(path: Path) -> NDArray[np.float32]:
    try:
        return np.fromfile(path, "<f4")
    except OSError as exc:
        raise EmbedderError(f"cannot read {path}: install vidrec again") from exc
