"""Temporal convolutions over the features of a pre-trained spatial network: the `default` recipe.

Still (2+1)D: space first (EfficientNet-Lite0, frozen, see `efficientnet_lite`), then time. What a
frame shows is the mean of its features over the window; what changes is the mean size of a learned
temporal convolution's output, which starts as the difference between neighbouring frames. Both are
put through a square root and scaled by the training clips' mean and variance (the features are
skewed and of unlike size, and few clips cannot teach a network to undo that), and one dense layer
makes the embedding.

The loss is the softmax of scaled cosines to a class vector each (Wang et al. 2018, CosFace without
a margin, arXiv:1801.09414), so that the angle that ranks clips is the one that is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from vidrec.models.r2plus1d import PRE_LOGITS

__all__ = ["CosineLogits", "build_temporal_head", "fit_normalisation"]

_NORM = "norm"
_TINY = 1e-6  # keeps the slope of a square root finite


@keras.saving.register_keras_serializable(package="vidrec")
class CosineLogits(keras.layers.Layer):  # type: ignore[misc]
    """`scale` times the cosine between unit inputs `(b, dim)` and a vector for each class."""

    def __init__(self, n_classes: int, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_classes = n_classes
        self.scale = scale

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape = (input_shape[-1], self.n_classes)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="orthogonal")

    def call(self, embeddings: Any) -> Any:
        return self.scale * ops.matmul(embeddings, ops.normalize(self.kernel, axis=0))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.n_classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_classes": self.n_classes, "scale": self.scale}


def build_temporal_head(
    n_classes: int,
    n_frames: int = 10,
    n_features: int = 1280,
    dim: int = 128,
    dropout: float = 0.5,
    scale: float = 8.0,
) -> keras.Model:
    """The classifier: features `(b, n_frames, n_features)`, none negative, to `(b, n_classes)`.

    Its layer `pre_logits` gives the unit embedding `(b, dim)`. Call `fit_normalisation` before
    training.
    """
    if n_classes < 2 or n_frames < 2:
        raise ValueError(
            f"a temporal head needs 2 classes and 2 frames. Received: n_classes={n_classes}, "
            f"n_frames={n_frames}"
        )
    inputs = keras.Input((n_frames, n_features), name="features")
    motion = keras.layers.DepthwiseConv1D(2, use_bias=False, name="motion")(inputs)  # b t-1 c
    shown = ops.sqrt(ops.mean(inputs, axis=1) + _TINY)  # b c
    moved = ops.sqrt(ops.mean(ops.absolute(motion), axis=1) + _TINY)  # b c
    x = keras.layers.Concatenate(name="statistics")([shown, moved])
    x = keras.layers.BatchNormalization(center=False, scale=False, trainable=False, name=_NORM)(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(dim, name="embed")(x)
    x = keras.layers.UnitNormalization(name=PRE_LOGITS)(x)
    outputs = CosineLogits(n_classes, scale, name="logits")(x)
    model = keras.Model(inputs, outputs, name="temporal_head")
    difference = np.ones((2, n_features, 1), np.float32) * np.array([-1, 1])[:, None, None]
    model.get_layer("motion").set_weights([difference])
    return model


def fit_normalisation(model: keras.Model, windows: NDArray[np.float32]) -> None:
    """Takes mean and variance of the statistics from training windows `(n, t, c)`; fixed then."""
    statistics = keras.Model(model.input, model.get_layer("statistics").output)
    values = np.asarray(statistics.predict(windows, batch_size=64, verbose=0))
    model.get_layer(_NORM).set_weights([values.mean(axis=0), values.var(axis=0)])
