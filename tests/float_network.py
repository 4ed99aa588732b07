"""The visual network in float32, as it was trained: what the one with bytes is compared with."""

from __future__ import annotations

from onnx import ModelProto, TensorProto

from vidrec.models.efficientnet_lite import build_graph, read_weights
from vidrec.models.quantised import Graph


class FloatGraph(Graph):
    """Nothing is rounded."""

    def normalise(self, x: str) -> str:
        for name, value in {"zero": 0.0, "six": 6.0, "mean": 127.0, "scale": 1 / 128}.items():
            self.constant(name, value)
        x = self.add("Transpose", "planes", x, perm=[0, 3, 1, 2])
        x = self.add("Cast", "numbers", x, to=TensorProto.FLOAT)
        x = self.add("Sub", "centred", x, "mean")
        return self.add("Mul", "normalised", x, "scale")

    def convolve(
        self, x: str, name: str, norm: str, *, stride: int = 1, activate: bool = True
    ) -> str:
        kernel, bias = self.folded(name, norm)
        names = self.constant(f"{name}.kernel", kernel), self.constant(f"{name}.bias", bias)
        y = self.add_convolution(name, x, *names, kernel=kernel, stride=stride)
        return self.add("Clip", f"{name}.relu6", y, "zero", "six") if activate else y

    def join(self, name: str, x: str, y: str) -> str:
        return self.add("Add", name, x, y)


def float_network() -> ModelProto:
    return build_graph(read_weights(), FloatGraph)
