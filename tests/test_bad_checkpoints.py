"""A checkpoint that is damaged, or of something else, is one line from every command."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from tests.clips import plain, write_clip
from tests.embedder_kinds import tiny_checkpoint
from vidrec.cli import app

Labels = dict[str, Any]


def model(folder: Path, data: bytes, *, known: bool = True) -> None:
    """Have another network, which the labels know of or not."""
    (folder / "model.onnx").write_bytes(data)
    if known:
        edit(folder, model_sha256=hashlib.sha256(data).hexdigest())


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "labels.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def network(inputs: str = "frames", outputs: str = "embedding", dim: int = 3) -> bytes:
    """A network with names and sizes of one's own: it answers with ones."""
    ones = numpy_helper.from_array(np.ones((1, dim), np.float32), "ones")
    frames = helper.make_tensor_value_info(inputs, TensorProto.UINT8, ["b", "t", "h", "w", 3])
    answer = helper.make_tensor_value_info(outputs, TensorProto.FLOAT, [1, dim])
    node = helper.make_node("Identity", ["ones"], [outputs])
    graph = helper.make_graph([node], "other", [frames], [answer], [ones])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


HARMS: dict[str, Callable[[Path], object]] = {
    "no labels": lambda f: (f / "labels.json").unlink(),
    "empty labels": lambda f: (f / "labels.json").write_text(""),
    "labels of bytes": lambda f: (f / "labels.json").write_bytes(b"\xff\xfe\x00"),
    "labels a list": lambda f: (f / "labels.json").write_text("[]"),
    "labels nested deeply": lambda f: (f / "labels.json").write_text("[" * 100_000),
    "labels a folder": lambda f: ((f / "labels.json").unlink(), (f / "labels.json").mkdir()),
    "a dim of text": lambda f: edit(f, dim="three"),
    "a dim too large": lambda f: edit(f, dim=1 << 40),
    "a dim that is not the prototypes'": lambda f: edit(f, dim=4),
    "no class": lambda f: edit(f, labels=[], prototypes=[]),
    "classes that are numbers": lambda f: edit(f, labels=[1, 2]),
    "a prototype too few": lambda f: edit(f, prototypes=[[1, 0, 0]]),
    "prototypes that are texts": lambda f: edit(f, prototypes=["abc", "def"]),
    "prototypes not finite": lambda f: edit(f, prototypes=[[float("nan"), 0, 0], [0, 0, 1]]),
    "sampling of nothing": lambda f: edit(f, sampling={"n_frames": 0}),
    "sampling below nothing": lambda f: edit(f, sampling={"size": -16}),
    "sampling of texts": lambda f: edit(f, sampling={"n_frames": "2"}),
    "sampling that nobody knows": lambda f: edit(f, sampling={"nobody": 1}),
    "calibrations a list": lambda f: edit(f, calibrations=[1]),
    "a calibration of texts": lambda f: edit(f, calibrations={"video": {"slope": "a"}}),
    "no digest": lambda f: edit(f, model_sha256=None),
    "splits a list": lambda f: edit(f, splits=[1]),
    "no network": lambda f: (f / "model.onnx").unlink(),
    "an empty network": lambda f: model(f, b""),
    "a cut network": lambda f: model(f, (f / "model.onnx").read_bytes()[:50], known=False),
    "a network of garbage": lambda f: model(f, bytes(range(256)) * 9),
    "other inputs": lambda f: model(f, network(inputs="pictures")),
    "other outputs": lambda f: model(f, network(outputs="logits")),
    "another size": lambda f: model(f, network(dim=5)),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_bad_checkpoint_is_one_line(tmp_path: Path, harm: str) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    film = write_clip(tmp_path / "red.mp4", plain("red"))
    HARMS[harm](folder)
    for words in (["embed", str(film)], ["recommend", "red"], ["doctor", "--format", "table"]):
        result = CliRunner(env={"VIDREC_RESNET_CHECKPOINT": str(folder)}).invoke(
            app, [*words, "--embedder", "resnet"]
        )
        assert result.exception is None or isinstance(result.exception, SystemExit), words
        assert "Traceback" not in result.output
        if words[0] == "embed":
            assert result.exit_code in (1, 4), result.output
            lines = result.stderr.strip().splitlines()
            assert str(folder) in result.stderr or "resnet" in result.stderr, lines
            assert len(lines) <= 3


def test_whole_it_works(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    film = write_clip(tmp_path / "red.mp4", plain("red"))
    words = ["embed", str(film), "--embedder", "resnet", "--checkpoint", str(folder)]
    assert CliRunner().invoke(app, words).exit_code == 0
