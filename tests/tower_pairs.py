"""Pairs of networks in the formats of SigLIP and CLIP, small enough to be made by a test.

Both know the colours of a picture and the names of colours. They have what makes the real ones
particular: SigLIP's second, pooled output and its texts of fixed length, whose padding counts;
CLIP's 77 positions and not one more, its own folder for each network, its cropped pictures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1)}
SPECIAL = ["<pad>", "<unk>"]
SIZE = 32


def save(folder: Path, file: str, nodes: list[Any], inputs: list[Any], outputs: list[Any],
         **constants: Any) -> None:  # fmt: skip
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    fixed = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "tower", inputs, outputs, fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def value(name: str, *shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def mixing(dim: int) -> np.ndarray:
    """``(3, dim)``: colours in the space of both networks."""
    return np.random.default_rng(1).standard_normal((3, dim)).astype(np.float32)


def image_tower(folder: Path, file: str, dim: int, pooled: bool) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["pixel_values"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["colour", "one"], ["positive"]),
        helper.make_node("MatMul", ["positive", "mixing"], ["pooler_output" if pooled else "out"]),
    ]
    outputs = [value("pooler_output" if pooled else "out", "b", dim)]
    if pooled:
        nodes.append(helper.make_node("Identity", ["pixel_values"], ["last_hidden_state"]))
        outputs.insert(0, value("last_hidden_state", "b", 3, "h", "w"))
    save(folder, file, nodes, [value("pixel_values", "b", 3, SIZE, SIZE)], outputs,
         mixing=mixing(dim), one=np.float32(1))  # fmt: skip


def text_tower(folder: Path, file: str, dim: int, pooled: bool, positions: int) -> None:
    # SigLIP's padding counts, so that a text depends on how far it is padded; CLIP's does not.
    table = np.vstack([[[0.02 * pooled] * 3, [0.02] * 3], list(WORDS.values())]).astype(np.float32)
    pool = {"axes": [1], "keepdims": 0} if pooled else {"keepdims": 0}
    pooling = ["placed"] if pooled else ["placed", "first"]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Slice", ["shape", "first", "second"], ["length"]),
        helper.make_node("Slice", ["positions", "zero", "length"], ["places"]),
        helper.make_node("Add", ["words", "places"], ["placed"]),
        helper.make_node("ReduceMean" if pooled else "ReduceSum", pooling, ["colour"], **pool),
        helper.make_node("MatMul", ["colour", "mixing"], ["pooler_output" if pooled else "out"]),
    ]
    outputs = [value("pooler_output" if pooled else "out", "b", dim)]
    if pooled:
        nodes.append(helper.make_node("Identity", ["placed"], ["last_hidden_state"]))
        outputs.insert(0, value("last_hidden_state", "b", "t", 3))
    save(
        folder, file, nodes, [value("input_ids", "b", "t", kind=TensorProto.INT64)], outputs,
        table=table, mixing=mixing(dim), positions=np.zeros((positions, 3), np.float32),
        zero=np.array([0]), first=np.array([1]), second=np.array([2]),
    )  # fmt: skip


def text_files(folder: Path, length: int) -> None:
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"model_max_length": length, "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def image_files(folder: Path, siglip: bool) -> None:
    size: Any = {"height": SIZE, "width": SIZE} if siglip else {"shortest_edge": SIZE}
    config: dict[str, Any] = {
        "image_processor_type": "SiglipImageProcessor" if siglip else "CLIPImageProcessor",
        "do_resize": True, "size": size, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    if not siglip:
        config |= {"do_center_crop": True, "crop_size": {"height": SIZE, "width": SIZE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))


def siglip_pair(folder: Path, dim: int = 8, text_dim: int | None = None) -> Path:
    """One folder, as `onnx-community/siglip2-base-patch16-224-ONNX` is laid out."""
    image_tower(folder, "onnx/vision_model.onnx", dim, pooled=True)
    text_tower(folder, "onnx/text_model.onnx", text_dim or dim, pooled=True, positions=64)
    text_files(folder, 64)
    image_files(folder, siglip=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip", "pad_token_id": 0}))
    return folder


def clip_pair(folder: Path, dim: int = 8) -> Path:
    """Two folders, as `Qdrant/clip-ViT-B-32-vision` and `-text` are laid out."""
    image_tower(folder / "vision", "model.onnx", dim, pooled=False)
    image_files(folder / "vision", siglip=False)
    text_tower(folder / "text", "model.onnx", dim, pooled=False, positions=77)
    text_files(folder / "text", 77)
    for part in ("vision", "text"):
        config = {"model_type": f"clip_{part}_model", "pad_token_id": 0}
        (folder / part / "config.json").write_text(json.dumps(config))
    return folder
