"""From trained Keras models to ONNX graphs that turn raw frames into unit embeddings.

Either recipe exports the same: `frames (b, t, h, w, 3)` uint8 RGB in, `embedding (b, dim)` out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
    return bytes(_renamed(_converted(served, "uint8"), FRAMES, EMBEDDING).SerializeToString())


def features_to_onnx(model: keras.Model, backbone: ModelProto, features: str) -> bytes:
    """A classifier of features, under the frame network that makes them.

    Args:
        model: takes `(b, t, c)`.
        backbone: takes `(b, h, w, 3)` uint8 and has an output `features` `(b, c)`.
    """
    from onnx import utils
    from onnx.compose import merge_models

    n_frames, n_features = model.input.shape[1:]
    (frames,) = backbone.graph.input
    _, *size = (side.dim_value for side in frames.type.tensor_type.shape.dim)
    spatial = utils.Extractor(backbone).extract_model([frames.name], [features])
    temporal = _converted(embedding_model(model), "float32")
    temporal.ir_version = spatial.ir_version
    one_by_one = _reshape("uint8", [n_frames, *size], size)
    in_windows = _reshape("float", [n_features], [n_frames, n_features])
    whole = merge_models(one_by_one, spatial, [("to", frames.name)], prefix2="space/")
    whole = merge_models(whole, in_windows, [(f"space/{features}", "from")], prefix2="rows/")
    window = temporal.graph.input[0].name
    whole = merge_models(whole, temporal, [("rows/to", window)], prefix2="time/")
    return bytes(_renamed(whole, FRAMES, EMBEDDING).SerializeToString())


def _reshape(kind: str, before: Sequence[int], after: Sequence[int]) -> ModelProto:
    """What gives an array `from` of any number of one shape as an array `to` of another's."""
    from onnx import parser

    shapes = [", ".join(map(str, sides)) for sides in (before, after)]
    return parser.parse_model(
        f"""<ir_version: {IR_VERSION}, opset_import: ["": {OPSET}]>
        reshape ({kind}[b, {shapes[0]}] from) => ({kind}[n, {shapes[1]}] to) {{
            shape = Constant <value_ints: ints = [-1, {shapes[1]}]> ()
            to = Reshape (from, shape)
        }}"""
    )


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
