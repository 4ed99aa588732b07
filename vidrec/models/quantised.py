"""ONNX graphs with convolutions of bytes: int8 weights, uint8 activations, exact sums.

Nothing but the trained weights is needed for it (after Nagel et al. 2019, "Data-Free Quantization
Through Weight Equalization and Bias Correction"): a batch normalisation knows mean and deviation of
each channel that it puts out. These give the range of what has no ReLU6, and by how much rounded
weights shift the mean of each channel, which its bias takes back. Weights have a scale a channel.

On 64 captioned clips vectors have a cosine of 0.9994 (median; 0.995 at least) with those in
float32; without the corrected biases 0.998 (0.970).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET, IR_VERSION = 17, 8
BATCH_NORM_EPSILON = 1e-3
DEVIATIONS = 5.0  # from the mean of a channel: what lies farther out is cut off
_STEPS, _LARGEST = 255, 127  # of an activation; of a weight
_MAX_BIAS = 2**30  # in int32, with room for the sum
_SIX = 6.0

Floats = NDArray[np.float64]
Weights = Mapping[str, NDArray[Any]]
Values = Mapping[str, tuple[type[np.generic], tuple[int | str, ...]]]  # by name: type and shape


@dataclass(frozen=True, slots=True)
class _Signal:
    """What is known of a node's output; the byte ``zero`` stands for 0, the next for ``scale``.

    ``mean`` is ``(c,)``, the mean of each channel, and ``deviation`` as many.
    """

    scale: float
    zero: int
    mean: Floats
    deviation: Floats


def sum_check() -> ModelProto:
    """Return a model that puts out by how much sums of products of bytes are wrong on a CPU."""
    shape = (64, 64)  # enough for the kernels that networks get
    graph = Graph({})
    activations = graph.constant("activations", np.full(shape, _STEPS), np.uint8)
    weights = graph.constant("weights", np.full(shape, _LARGEST), np.int8)
    expected = graph.constant("expected", np.full(shape, 64 * _STEPS * _LARGEST), np.int32)
    sums = graph.add("MatMulInteger", "sums", activations, weights)
    graph.add("Sub", "wrong", sums, expected)
    return graph.model("sum_check", {}, {"wrong": (np.int32, shape)})


class Graph:
    """Collects nodes and constants; each method returns the name of what it made.

    Each convolution and sum stands between steps to bytes and back, which ONNX Runtime fuses. A
    runtime that cannot (on a GPU) computes the same in float32, but for what falls on the edge
    between two bytes.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._signals: dict[str, _Signal] = {}

    def constant(self, name: str, value: Any, dtype: type[np.generic] = np.float32) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def model(self, name: str, inputs: Values, outputs: Values) -> ModelProto:
        """Return all of it as a model of these inputs and outputs."""
        from onnx import helper

        def infos(values: Values) -> list[Any]:
            return [
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.dtype(d)), s)
                for n, (d, s) in values.items()
            ]

        graph = helper.make_graph(self.nodes, name, infos(inputs), infos(outputs), self.constants)
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="vidrec"
        )

    def normalise(self, x: str) -> str:
        """Take bytes as they are: each stands for (x - 127) / 128."""
        x = self.add("Transpose", "planes", x, perm=[0, 3, 1, 2])
        nothing = np.zeros(3)
        return self._read("normalised", x, _Signal(1 / 128, 127, nothing, nothing))

    def convolve(
        self, x: str, name: str, norm: str, *, stride: int = 1, activate: bool = True
    ) -> str:
        """A convolution with its batch normalisation folded in, and ReLU6."""
        source = self._signals[x]
        kernel, bias = self.folded(name, norm)
        rest = (slice(None), None, None, None)
        scales = np.abs(kernel).max(axis=(1, 2, 3)) / _LARGEST
        scales = np.maximum(scales, np.abs(bias) / (source.scale * _MAX_BIAS)).astype(np.float32)
        whole = np.round(kernel / scales[rest]).astype(np.int8)
        shifted = (whole * scales[rest] - kernel).sum(axis=(2, 3))  # out in/group
        depthwise = kernel.shape[1] == 1
        bias = bias - (shifted[:, 0] * source.mean if depthwise else shifted @ source.mean)
        unit = scales * np.float32(source.scale)
        y = self.add_convolution(
            name, x, self._stored(f"{name}.kernel", whole, scales, np.int8),
            self._stored(f"{name}.bias", np.round(bias / unit), unit, np.int32),
            kernel=kernel, stride=stride,
        )  # fmt: skip
        mean = self.weights[f"{norm}.bias"].astype(np.float64)
        deviation = np.abs(self.weights[f"{norm}.weight"].astype(np.float64))
        if not activate:
            return self._rounded(y, mean, deviation)
        # What a byte cannot hold is cut off: that is ReLU6.
        return self._write(y, _Signal(_SIX / _STEPS, 0, _mean_cut_off(mean, deviation), deviation))

    def folded(self, name: str, norm: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the kernel ``(out, in/group, h, w)`` and the bias ``(out,)``."""
        w = self.weights
        scale = w[f"{norm}.weight"] / np.sqrt(w[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
        kernel: NDArray[Any] = w[f"{name}.weight"] * scale[:, None, None, None]
        bias: NDArray[Any] = w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * scale
        return kernel, bias

    def add_convolution(self, name: str, *inputs: str, kernel: NDArray[Any], stride: int) -> str:
        return self.add(
            "Conv",
            name,
            *inputs,
            auto_pad="SAME_UPPER",  # TensorFlow's padding
            strides=[stride, stride],
            kernel_shape=kernel.shape[2:],
            group=len(kernel) if kernel.shape[1] == 1 else 1,
        )

    def join(self, name: str, x: str, y: str) -> str:
        """The sum of two."""
        added = self.add("Add", name, x, y)
        first, second = self._signals[x], self._signals[y]
        return self._rounded(
            added, first.mean + second.mean, np.hypot(first.deviation, second.deviation)
        )

    def _rounded(self, x: str, mean: Floats, deviation: Floats) -> str:
        """To bytes and back, in a range that holds what a normal distribution has."""
        low = float((mean - DEVIATIONS * deviation).min())
        scale = (float((mean + DEVIATIONS * deviation).max()) - low) / _STEPS
        return self._write(x, _Signal(scale, round(-low / scale), mean, deviation))

    def _write(self, x: str, signal: _Signal) -> str:
        name = f"{x}.bytes"
        scale = self.constant(f"{name}.scale", signal.scale)
        zero = self.constant(f"{name}.zero", signal.zero, np.uint8)
        y = self.add("QuantizeLinear", name, x, scale, zero)
        return self._read(f"{x}.rounded", y, signal)

    def _read(self, name: str, x: str, signal: _Signal) -> str:
        scale = self.constant(f"{name}.scale", signal.scale)
        zero = self.constant(f"{name}.zero", signal.zero, np.uint8)
        self._signals[name] = signal
        return self.add("DequantizeLinear", name, x, scale, zero)

    def _stored(
        self, name: str, whole: NDArray[np.generic], scales: Floats, dtype: type[np.generic]
    ) -> str:
        """Whole numbers with a scale for each of the first axis."""
        stored = self.constant(f"{name}.whole", whole, dtype)
        scale = self.constant(f"{name}.scale", scales)
        zero = self.constant(f"{name}.zero", np.zeros(len(scales)), dtype)
        return self.add("DequantizeLinear", name, stored, scale, zero, axis=0)


def _mean_cut_off(mean: Floats, deviation: Floats) -> Floats:
    """Return the means of normal distributions that were cut off at 0 and at 6."""
    spread = np.maximum(deviation, 1e-9)
    low, high = -mean / spread, (_SIX - mean) / spread
    below, above = _share_below(low), 1 - _share_below(high)
    edges = (np.exp(-high * high / 2) - np.exp(-low * low / 2)) / math.sqrt(2 * math.pi)
    found: Floats = _SIX * above + mean * (1 - above - below) - spread * edges
    return found


def _share_below(places: Floats) -> Floats:
    """Return how much of the standard normal distribution lies below each place."""
    shares = [(1 + math.erf(place / math.sqrt(2))) / 2 for place in places.tolist()]
    return np.array(shares)
