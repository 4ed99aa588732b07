"""From trained Keras models to ONNX graphs that turn raw frames into unit embeddings.

Either recipe exports the same: `frames (b, t, h, w, 3)` uint8 RGB in, `embedding (b, dim)` out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from vidrec.models.r2plus1d import embedding_model

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
IR_VERSION = 8
FRAMES, EMBEDDING = "frames", "embedding"


def frames_to_onnx(model: keras.Model) -> bytes:
    """A classifier of frames in [0, 1], served from raw bytes."""
    frames = keras.Input(model.input.shape[1:], dtype="uint8", name=FRAMES)
    x = keras.layers.Rescaling(1 / 255)(frames)
    x = embedding_model(model)(x)
    served = keras.Model(frames, keras.layers.UnitNormalization()(x))
    proto = _renamed(_converted(served, "uint8"), FRAMES, EMBEDDING)
    return bytes(proto.SerializeToString())


def features_to_onnx(model: keras.Model, backbone: ModelProto, features: str) -> bytes:
    """A classifier of features, under the frame network that makes them.

    Args:
        model: takes `(b, t, c)`.
        backbone: takes `(b, h, w, 3)` uint8 and has an output `features` `(b, c)`.
    """
    from onnx import compose, helper, numpy_helper, utils

    n_frames, n_features = model.input.shape[1:]
    spatial = utils.Extractor(backbone).extract_model([backbone.graph.input[0].name], [features])
    temporal = _renamed(_converted(embedding_model(model), "float32"), "window", EMBEDDING)
    temporal.ir_version = spatial.ir_version
    merged = compose.merge_models(
        compose.add_prefix(spatial, "space/"),
        compose.add_prefix(temporal, "time/"),
        io_map=[(f"space/{features}", "time/window")],
    )
    graph = merged.graph
    _, height, width, channels = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    inner = graph.input[0].name
    _rewire(graph, f"space/{features}", "time/window")
    graph.initializer.extend(
        [
            numpy_helper.from_array(_shape(-1, height, width, channels), "one_by_one"),
            numpy_helper.from_array(_shape(-1, n_frames, n_features), "in_windows"),
        ]
    )
    graph.node.insert(0, helper.make_node("Reshape", [FRAMES, "one_by_one"], [inner]))
    at = next(i for i, node in enumerate(graph.node) if f"space/{features}" in node.output)
    graph.node.insert(
        at + 1, helper.make_node("Reshape", [f"space/{features}", "in_windows"], ["time/window"])
    )
    shape = ["b", n_frames, height, width, channels]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(FRAMES, 2, shape))  # 2: uint8
    return bytes(_renamed(merged, FRAMES, EMBEDDING).SerializeToString())


def _shape(*sizes: int) -> Any:
    import numpy as np

    return np.array(sizes, np.int64)


def _rewire(graph: Any, old: str, new: str) -> None:
    """Lets what reads `old` read `new`, without touching what makes it."""
    for node in graph.node:
        if old not in node.output:
            node.input[:] = [new if name == old else name for name in node.input]


def _converted(model: keras.Model, dtype: str) -> ModelProto:
    import onnx

    spec = keras.InputSpec(dtype=dtype, shape=(None, *model.input.shape[1:]), name="input")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder, "model.onnx")
        model.export(
            path, format="onnx", verbose=False, input_signature=[spec], opset_version=OPSET
        )
        proto = onnx.load(path)
    proto.ir_version = IR_VERSION
    del proto.graph.value_info[:]
    return proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keras and tf2onnx announce every export on stdout and in logs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _renamed(proto: ModelProto, source: str, target: str) -> ModelProto:
    """Names the one input and the one output."""
    graph = proto.graph
    names = {graph.input[0].name: source, graph.output[0].name: target}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    graph.input[0].name, graph.output[0].name = source, target
    return proto
