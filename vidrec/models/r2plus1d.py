"""The (2+1)D residual network for video, trained from scratch.

Every 3D convolution is factorised into a spatial and a temporal one (Tran et al. 2018, "A closer
look at spatiotemporal convolutions for action recognition", arXiv:1711.11248), in the small layout
of TensorFlow's tutorial "Video classification with a 3D convolutional neural network". With its
default arguments `build_r2plus1d` is that network: 443,322 parameters, an embedding of 128 numbers.

What differs from the tutorial: the network is functional all through and its one custom layer is
registered and has a config, so that a `.keras` file reloads without the code that made it; layers
are named; widths and sizes are arguments; the head reads the flat embedding named `pre_logits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import einops
import keras

__all__ = ["PRE_LOGITS", "ResizeVideo", "build_r2plus1d", "embedding_model"]

PRE_LOGITS = "pre_logits"
"""Name of the layer whose output is the embedding."""


@keras.saving.register_keras_serializable(package="vidrec")
class ResizeVideo(keras.layers.Layer):  # type: ignore[misc]
    """Resizes every frame of a batch of videos, bilinearly.

    Input `(b, t, h, w, c)`, output `(b, t, height, width, c)`.
    """

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.resizing = keras.layers.Resizing(height, width)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.resizing.build((None, *input_shape[2:]))

    def call(self, videos: Any) -> Any:
        n_frames = videos.shape[1]
        frames = einops.rearrange(videos, "b t h w c -> (b t) h w c")
        frames = self.resizing(frames)
        return einops.rearrange(frames, "(b t) h w c -> b t h w c", t=n_frames)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:2], self.height, self.width, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}


def apply_conv2plus1d(x: Any, filters: int, kernel_size: tuple[int, int, int], name: str) -> Any:
    """A spatial convolution followed by a temporal one; `kernel_size` is `(t, h, w)`."""
    k_t, k_h, k_w = kernel_size
    x = keras.layers.Conv3D(filters, (1, k_h, k_w), padding="same", name=f"{name}_space")(x)
    return keras.layers.Conv3D(filters, (k_t, 1, 1), padding="same", name=f"{name}_time")(x)


def apply_residual_block(
    x: Any, filters: int, name: str, kernel_size: tuple[int, int, int] = (3, 3, 3)
) -> Any:
    """Two (2+1)D convolutions beside a shortcut, projected where the width changes."""
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = keras.layers.Dense(filters, name=f"{name}_project")(shortcut)
        shortcut = keras.layers.LayerNormalization(name=f"{name}_project_norm")(shortcut)
    x = apply_conv2plus1d(x, filters, kernel_size, f"{name}_conv1")
    x = keras.layers.LayerNormalization(name=f"{name}_norm1")(x)
    x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = apply_conv2plus1d(x, filters, kernel_size, f"{name}_conv2")
    x = keras.layers.LayerNormalization(name=f"{name}_norm2")(x)
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])


def build_r2plus1d(
    n_classes: int,
    n_frames: int = 10,
    size: int = 224,
    widths: Sequence[int] = (16, 32, 64, 128),
) -> keras.Model:
    """The classifier: RGB in [0, 1], `(b, n_frames, size, size, 3)`, to logits `(b, n_classes)`.

    One residual block for each of `widths`, the frames halved before each; the stem has the first
    width. `embedding_model` cuts the network at its embedding, `(b, widths[-1])`.
    """
    if n_classes < 2 or n_frames < 1 or not widths or size < 2 ** len(widths):
        raise ValueError(
            "a network needs 2 classes, 1 frame, 1 width and frames that can be halved once for "
            f"each width. Received: n_classes={n_classes}, n_frames={n_frames}, size={size}, "
            f"widths={tuple(widths)}"
        )
    inputs = keras.Input((n_frames, size, size, 3), name="frames")
    x = apply_conv2plus1d(inputs, widths[0], (3, 7, 7), "stem")
    x = keras.layers.BatchNormalization(name="stem_norm")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    for block, width in enumerate(widths, start=1):
        side = size // 2**block
        x = ResizeVideo(side, side, name=f"resize{block}")(x)
        x = apply_residual_block(x, width, f"block{block}")
    x = keras.layers.GlobalAveragePooling3D(name="pool")(x)
    x = keras.layers.Flatten(name=PRE_LOGITS)(x)  # b c
    outputs = keras.layers.Dense(n_classes, name="logits")(x)
    return keras.Model(inputs, outputs, name="r2plus1d")


def embedding_model(model: keras.Model) -> keras.Model:
    """The part of a classifier that ends in its embedding; the layers are shared, not copied."""
    return keras.Model(model.input, model.get_layer(PRE_LOGITS).output, name="embedding")
