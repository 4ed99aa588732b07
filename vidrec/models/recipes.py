"""The two ways to train: what is kept of a clip, which network, which optimiser.

`reference` is the recipe of the notebook this network comes from: the (2+1)D ResNet from scratch on
raw frames. `default` trains a temporal head over a pre-trained spatial network, which carries over
to unseen groups far better in a small part of the time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vidrec.errors import MediaError, TrainingError
from vidrec.media.probe import probe
from vidrec.models.efficientnet_lite import (
    BUILDER_VERSION,
    WEIGHTS_SHA256,
    FrameClassifier,
    build_graph,
    read_weights,
)
from vidrec.models.windows import Sampling, read_grid

if TYPE_CHECKING:
    import keras

__all__ = ["Recipe", "recipe_named"]


@dataclass
class Recipe(ABC):
    """What training needs to know. Only `network` and what follows imports Keras."""

    sampling: Sampling
    cache: Path  # keeps the spatial network's graph
    name: ClassVar[str]
    learning_rate: ClassVar[float]
    content: ClassVar[str]  # names what `read` makes of a clip besides the sampling

    def read(self, path: Path) -> NDArray[Any]:
        """A clip's grid, `(g, …)`, over all of it; safe to call from several threads.

        Raises:
            MediaError: it shows less than one window, or cannot be read.
        """
        times = self.sampling.grid_times(0.0, probe(path).duration_sec)
        grid, n_seen = read_grid(path, times, self.sampling)
        if n_seen < self.sampling.n_frames:
            raise MediaError(f"only {n_seen} of {len(grid)} frames can be decoded")
        return grid

    def inputs(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Windows of the grid, `(b, n_frames, …)`, as the network takes them."""
        return windows.astype(np.float32)

    @abstractmethod
    def network(self, n_classes: int) -> keras.Model:
        """A classifier whose layer `pre_logits` is the embedding."""

    def adapt(self, model: keras.Model, windows: Callable[[], NDArray[np.float32]]) -> None:
        """Lets the network measure training windows once, before it is trained."""
        return None

    @abstractmethod
    def optimizer(self, learning_rate: float, n_steps: int) -> Any:
        """For so many steps in all."""

    @abstractmethod
    def to_onnx(self, model: keras.Model) -> bytes:
        """Raw frames in, unit embedding out."""


def recipe_named(name: str, sampling: Sampling, cache: Path) -> Recipe:
    """The recipe for a sampling; `cache` keeps the spatial network's graph.

    Raises:
        TrainingError: no such recipe, or one that cannot work with these sizes.
    """
    match name:
        case "reference":
            if sampling.size < 32:
                raise TrainingError(f"frames are 32 pixels at least. Received: {sampling.size}")
            return _Reference(replace(sampling, fit="pad", phases=3), cache)
        case "default":
            if sampling.size != 224 or sampling.n_frames < 2:
                raise TrainingError(
                    "the default recipe takes at least 2 frames of 224 pixels (its spatial "
                    f"network's size). Received: --size {sampling.size} "
                    f"--frames {sampling.n_frames}"
                )
            return _Default(replace(sampling, fit="squash"), cache)
    raise TrainingError(f"a recipe is default or reference. Received: {name}")


class _Reference(Recipe):
    """The (2+1)D ResNet from scratch: Adam at 1e-4, cross-entropy, random windows."""

    name, learning_rate, content = "reference", 1e-4, "frames"

    def inputs(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        return super().inputs(windows) / np.float32(255)

    def network(self, n_classes: int) -> keras.Model:
        from vidrec.models.r2plus1d import build_r2plus1d

        return build_r2plus1d(n_classes, self.sampling.n_frames, self.sampling.size)

    def optimizer(self, learning_rate: float, n_steps: int) -> Any:
        import keras

        return keras.optimizers.Adam(learning_rate)

    def to_onnx(self, model: keras.Model) -> bytes:
        from vidrec.models.export import frames_to_onnx

        return frames_to_onnx(model)


class _Default(Recipe):
    """A temporal head over frozen EfficientNet-Lite0 features; AdamW with a cosine schedule."""

    name, learning_rate = "default", 1e-3
    content = f"efficientnet-lite0 features {WEIGHTS_SHA256[:8]} {BUILDER_VERSION}"

    @cached_property
    def _spatial(self) -> FrameClassifier:
        return FrameClassifier(self.cache)

    def read(self, path: Path) -> NDArray[Any]:
        return self._spatial(super().read(path))[1]

    def network(self, n_classes: int) -> keras.Model:
        from vidrec.models.temporal_head import build_temporal_head

        return build_temporal_head(n_classes, self.sampling.n_frames)

    def adapt(self, model: keras.Model, windows: Callable[[], NDArray[np.float32]]) -> None:
        from vidrec.models.temporal_head import fit_normalisation

        fit_normalisation(model, windows())

    def optimizer(self, learning_rate: float, n_steps: int) -> Any:
        import keras

        warm_up = min(20, n_steps)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, n_steps - warm_up), warmup_target=learning_rate, warmup_steps=warm_up
        )
        return keras.optimizers.AdamW(schedule, weight_decay=0.01)

    def to_onnx(self, model: keras.Model) -> bytes:
        from vidrec.models.export import features_to_onnx

        return features_to_onnx(model, build_graph(read_weights()), "features")
