"""The two ways to train: what is kept of a clip, which network, which optimiser.

`reference` is the recipe of the notebook this network comes from: the (2+1)D ResNet from scratch on
raw frames. `default` trains a temporal head over a pre-trained spatial network, which carries over
to unseen groups far better in a small part of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidrec.errors import MediaError, TrainingError
from vidrec.media.probe import probe
from vidrec.models.windows import Sampling, read_grid

if TYPE_CHECKING:
    import keras

__all__ = ["Recipe", "recipe_named"]

Reader = Callable[[Path], NDArray[Any]]


class Recipe(Protocol):
    """What training needs to know. Only `network` and what follows imports Keras."""

    name: str
    learning_rate: float
    sampling: Sampling

    @property
    def content(self) -> str:
        """Names what `reader` makes of a clip besides the sampling."""

    def reader(self) -> Reader:
        """Makes a clip's grid: `path → (g, …)`; safe to call from several threads."""

    def inputs(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Windows of the grid, `(b, n_frames, …)`, as the network takes them."""

    def network(self, n_classes: int) -> keras.Model:
        """A classifier whose layer `pre_logits` is the embedding."""

    def adapt(self, model: keras.Model, windows: Callable[[], NDArray[np.float32]]) -> None:
        """Lets the network measure training windows once, before it is trained."""

    def optimizer(self, learning_rate: float, n_steps: int) -> Any:
        """For so many steps in all."""

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
            return _Reference(replace(sampling, fit="pad", phases=3))
        case "default":
            if sampling.size != 224 or sampling.n_frames < 2:
                raise TrainingError(
                    "the default recipe takes at least 2 frames of 224 pixels (its spatial "
                    f"network's size). Received: --size {sampling.size} "
                    f"--frames {sampling.n_frames}"
                )
            return _Default(replace(sampling, fit="squash"), cache)
    raise TrainingError(f"a recipe is default or reference. Received: {name}")


def _whole_grid(path: Path, sampling: Sampling) -> NDArray[np.uint8]:
    """The grid over all of a clip; what shows less than one window is not trained on."""
    grid, n_seen = read_grid(path, sampling.grid_times(0.0, probe(path).duration_sec), sampling)
    if n_seen < sampling.n_frames:
        raise MediaError(f"only {n_seen} of {len(grid)} frames can be decoded")
    return grid


@dataclass
class _Reference:
    """The (2+1)D ResNet from scratch: Adam at 1e-4, cross-entropy, random windows."""

    sampling: Sampling
    name: str = "reference"
    learning_rate: float = 1e-4
    content: str = "frames"

    def reader(self) -> Reader:
        def read(path: Path) -> NDArray[np.uint8]:
            return _whole_grid(path, self.sampling)

        return read

    def inputs(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        return windows.astype(np.float32) / np.float32(255)

    def network(self, n_classes: int) -> keras.Model:
        from vidrec.models.r2plus1d import build_r2plus1d

        return build_r2plus1d(n_classes, self.sampling.n_frames, self.sampling.size)

    def adapt(self, model: keras.Model, windows: Callable[[], NDArray[np.float32]]) -> None:
        return None

    def optimizer(self, learning_rate: float, n_steps: int) -> Any:
        import keras

        return keras.optimizers.Adam(learning_rate)

    def to_onnx(self, model: keras.Model) -> bytes:
        from vidrec.models.export import frames_to_onnx

        return frames_to_onnx(model)


@dataclass
class _Default:
    """A temporal head over frozen EfficientNet-Lite0 features; AdamW with a cosine schedule."""

    sampling: Sampling
    cache: Path
    name: str = "default"
    learning_rate: float = 1e-3

    @property
    def content(self) -> str:
        from vidrec.models.efficientnet_lite import BUILDER_VERSION, WEIGHTS_SHA256

        return f"efficientnet-lite0 features {WEIGHTS_SHA256[:8]} {BUILDER_VERSION}"

    def reader(self) -> Reader:
        from vidrec.models.efficientnet_lite import FrameClassifier

        spatial = FrameClassifier(self.cache)

        def read(path: Path) -> NDArray[np.float32]:
            return spatial(_whole_grid(path, self.sampling))[1]

        return read

    def inputs(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        return windows.astype(np.float32)

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
        from vidrec.models.efficientnet_lite import build_graph, read_weights
        from vidrec.models.export import features_to_onnx

        return features_to_onnx(model, build_graph(read_weights()), "features")
