"""Every embedder that the contract suite runs on, each as what opens it.

``colours`` is a third party's that looks at frames, ``bytes`` one that reads a file in its own way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from tests import word_embedder
from vidrec.calibration import Calibration
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.embedders.frames import FrameEmbedder, FrameSection
from vidrec.models.checkpoint import Checkpoint
from vidrec.models.windows import Sampling
from vidrec.sections import Section
from vidrec.types import Clip, Fingerprint, Video

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "grey": (1, 1, 1)}


class ColourSection(FrameSection):
    """Settings of its own."""

    gamma: float = 1.0
    weights: list[float] = [1.0, 1.0, 1.0]  # noqa: RUF012
    token: SecretStr | None = None


class ColourEmbedder(FrameEmbedder):
    """A third party's: the mean colour of frames, and colours by name."""

    name, model, dim = "colours", "mean", 3
    modalities = frozenset({"video", "image", "text"})
    section = ColourSection
    size = (8, 8)

    def _encode_frames(self, frames: Any) -> Any:
        means = frames.mean(axis=(1, 2)) / 255
        return (means + 1e-3) ** self.options.gamma * np.asarray(self.options.weights)

    def _encode_texts(self, texts: Sequence[str]) -> Any:
        return [np.sum([COLOURS.get(w, (0.1,) * 3) for w in t.split()], axis=0) for t in texts]


class BytesSection(Section):
    """Settings of its own; what ``goes_wrong`` with files of that name is for tests to say."""

    goes_wrong: str = ""


class BytesEmbedder(Embedder):
    """A third party's that is none of frames: how often each of 16 kinds of byte occurs."""

    name = "bytes"
    modalities = frozenset({"video"})
    section = BytesSection
    fingerprint = Fingerprint("bytes", "histogram", 16)

    def load(self) -> None:
        if self.options.goes_wrong == "load":
            raise ValueError("in two\nlines")

    def _clips(self, video: Video, context: EmbedContext, warnings: list[str]) -> Any:
        assert video.path is not None
        data = np.frombuffer(video.path.read_bytes(), np.uint8)
        if self.options.goes_wrong and video.path.stem == "bad":
            yield from wrong(self.options.goes_wrong)
        for number, part in enumerate(np.array_split(data, 3)):
            yield Clip(number, number + 1), np.bincount(part >> 4, minlength=16)


def wrong(kind: str) -> Iterator[tuple[Any, Any]]:
    """What a plug-in must never do."""
    good = np.ones(16)
    match kind:
        case "size":
            yield Clip(0, 1), np.ones(17)
        case "sizes":
            yield Clip(0, 1), good
            yield Clip(1, 2), np.ones((4, 4))
        case "nan":
            yield Clip(0, 1), good * np.nan
        case "inf":
            yield Clip(0, 1), good * np.inf
        case "zero":
            yield Clip(0, 1), good * 0
        case "none":
            yield Clip(0, 1), None
        case "words":
            yield Clip(0, 1), ["x"] * 16
        case "complex":
            yield Clip(0, 1), good * 1j
        case "huge":
            yield Clip(0, 1), good * 1e200
        case "backwards":
            yield Clip(2, 1), good
        case "twice":
            yield Clip(0, 1), good
            yield Clip(0, 1.0001), good
        case "endless":
            yield Clip(0, float("inf")), good
        case "no clip":
            yield None, good
        case "no pair":
            yield good  # type: ignore[misc]
        case "raises":
            raise KeyError("two\nlines")
        case "leaves":
            raise SystemExit(3)
        case "stops":
            raise StopIteration


def tiny_checkpoint(folder: Path) -> Path:
    """A network as `vidrec train` writes it: the mean colour of all frames, without training."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["frames"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x"], ["embedding"], axes=[1, 2, 3], keepdims=0),
    ]
    frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["b", "t", "h", "w", 3])
    vectors = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", 3])
    graph = helper.make_graph(nodes, "tiny", [frames], [vectors])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    import hashlib

    folder.mkdir(parents=True)
    sampling = Sampling(n_frames=2, frame_step=5, size=16)
    calibrations = {"video": Calibration(10.0, -7.0)}
    Checkpoint(
        folder, "default", 3, ("Red", "Blue"), [[1, 0, 0], [0, 0, 1]], sampling,
        hashlib.sha256(model).hexdigest(), calibrations,  # type: ignore[arg-type]
    ).write(model)  # fmt: skip
    return folder


@contextmanager
def conse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedder]:
    yield load_embedder(load_settings())


@contextmanager
def clip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedder]:
    pytest.importorskip("fastembed")
    from tests.tower_pairs import siglip_pair

    flags = {"embedder.name": "clip", "clip.path": siglip_pair(folder / "pair")}
    yield load_embedder(load_settings(overrides=flags))


@contextmanager
def resnet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedder]:
    flags = {"embedder.name": "resnet", "resnet.checkpoint": tiny_checkpoint(folder / "tiny")}
    yield load_embedder(load_settings(overrides=flags))


@contextmanager
def marengo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedder]:
    pytest.importorskip("twelvelabs")
    from tests.standin_twelvelabs import TwelveLabsStandIn

    with TwelveLabsStandIn() as service:
        flags = {
            "embedder.name": "marengo", "marengo.api_key": service.key,
            "marengo.base_url": service.url, "marengo.rpm": 60000, "marengo.poll_sec": 0.02,
            "marengo.source": "asset", "marengo.min_sec": 0.1,
        }  # fmt: skip
        for name in ("TWELVELABS_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield load_embedder(load_settings(overrides=flags))


def third_party(name: str, what: str) -> Any:
    @contextmanager
    def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedder]:
        word_embedder.install(folder, monkeypatch, name, f"tests.{what}")
        yield load_embedder(load_settings(overrides={"embedder.name": name}))

    return opened


KINDS = {
    "conse": conse,
    "clip": clip,
    "resnet": resnet,
    "marengo": marengo,
    "colours": third_party("colours", "embedder_kinds:ColourEmbedder"),
    "bytes": third_party("bytes", "embedder_kinds:BytesEmbedder"),
    "words": third_party("words", "word_embedder:WordEmbedder"),
}
