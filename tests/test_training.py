"""Training on tiny real videos: networks, cache, loop, checkpoint, and the embedder."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import einops  # noqa: F401  (of the extra that trains)
import numpy as np
import pytest

from tests.actions import CLASSES, write_action, write_actions
from vidrec.config import Settings, load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import EmbedContext
from vidrec.errors import (
    CapabilityError,
    EmbedderError,
    MediaError,
    TrainingError,
    UsageError,
)
from vidrec.models.checkpoint import read_checkpoint, words_of
from vidrec.models.windows import read_grid
from vidrec.progress import Silent
from vidrec.training.train import TrainOptions, TrainReport, train
from vidrec.types import Video

pytestmark = pytest.mark.timeout(600)

TINY = TrainOptions(frames=3, frame_step=5, size=32)
# Four divides the 12 training clips: another size of batch costs seconds to trace.
TINY_ARGS = [
    "--recipe",
    "reference",
    "--batch-size",
    "4",
    "--frames",
    "3",
    "--frame-step",
    "5",
    "--size",
    "32",
]


class Warnings(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, message: str) -> None:
        self.said.append(message)


def settings_for(epochs: int = 2, recipe: str = "reference", **more: object) -> Settings:
    flags = {"train.recipe": recipe, "train.epochs": epochs, "train.batch_size": 4, **more}
    return load_settings(overrides=flags)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_actions(tmp_path_factory.mktemp("data") / "actions")


@pytest.fixture(scope="module")
def trained(
    dataset: Path, tmp_path_factory: pytest.TempPathFactory, prepared_models: Path
) -> TrainReport:
    """A run of the reference recipe; tests read it only."""
    library = tmp_path_factory.mktemp("library")
    settings = settings_for(3).model_copy(update={"library": library, "cache": prepared_models})
    return train(settings, dataset, TINY)


# Networks


def test_reference_network_is_the_published_one() -> None:
    from vidrec.models.r2plus1d import build_r2plus1d, embedding_model

    model = build_r2plus1d(10)
    assert model.count_params() == 443_322
    assert model.input.shape[1:] == (10, 224, 224, 3)
    assert embedding_model(model).output.shape[1:] == (128,)
    with pytest.raises(ValueError, match="Received: n_classes=1"):
        build_r2plus1d(1)


def test_networks_survive_keras_and_onnx(tmp_path: Path) -> None:
    import keras
    import onnxruntime

    from vidrec.models.export import frames_to_onnx
    from vidrec.models.r2plus1d import build_r2plus1d, embedding_model

    keras.utils.set_random_seed(0)
    model = build_r2plus1d(3, n_frames=4, size=32, widths=(4, 8, 12))
    frames = np.random.default_rng(0).integers(0, 255, (3, 4, 32, 32, 3)).astype(np.uint8)
    inputs = frames.astype(np.float32) / 255
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.abs(model.predict(inputs, verbose=0) - again.predict(inputs, verbose=0)).max() == 0
    wanted = embedding_model(model).predict(inputs, verbose=0)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    session = onnxruntime.InferenceSession(frames_to_onnx(model))
    (got,) = session.run(["embedding"], {"frames": frames})
    assert np.abs(got - wanted).max() < 1e-4


def test_default_recipe_end_to_end(dataset: Path, tmp_path: Path, prepared_models: Path) -> None:
    import keras

    from vidrec.models.efficientnet_lite import FrameClassifier
    from vidrec.models.r2plus1d import embedding_model

    settings = settings_for(6, "default")
    report = train(settings, dataset, replace(TINY, size=224))
    checkpoint = read_checkpoint(report.folder)
    assert (checkpoint.recipe, checkpoint.dim, checkpoint.labels) == ("default", 128, CLASSES)
    assert report.metrics["test"]["test_to_train"]["queries"] == 4
    assert report.metrics["test"]["accuracy"] >= 0.75  # colour and motion both tell
    embedder = load_embedder(settings.model_copy(update={"embedder": settings.embedder.model_copy(
        update={"name": "resnet"})}))  # fmt: skip
    path = next((dataset / "Moving").iterdir())
    (outcome,) = embedder.embed_videos([Video("1", path.name, path)], EmbedContext())
    sampling = checkpoint.sampling
    grid, _ = read_grid(path, sampling.grid_times(0.0, 1.0), sampling)
    features = FrameClassifier(prepared_models)(grid)[1]
    model = keras.saving.load_model(report.folder / "model.keras")
    starts = sampling.spread(len(grid), settings.resnet.windows)
    windows = np.stack([sampling.window(features, start) for start in starts])
    wanted = embedding_model(model).predict(windows, verbose=0).mean(axis=0)
    wanted /= np.linalg.norm(wanted)
    assert np.abs(outcome.embeddings[0].vector - wanted).max() < 1e-4


def test_default_recipe_refuses_other_sizes(dataset: Path) -> None:
    with pytest.raises(TrainingError, match="224 pixels"):
        train(settings_for(1, "default"), dataset, TINY)


# A run


def test_run_writes_all_that_is_promised(trained: TrainReport) -> None:
    names = {path.name for path in trained.folder.iterdir()}
    assert names >= {
        "model.keras", "model.onnx", "labels.json", "metrics.json", "history.csv", "curves.png",
        "confusion.png",
    }  # fmt: skip
    assert "state" not in names
    for name in ("curves.png", "confusion.png"):
        assert (trained.folder / name).read_bytes().startswith(b"\x89PNG")
    with (trained.folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    metrics = json.loads((trained.folder / "metrics.json").read_text())
    assert metrics["clips"] == {"train": 12, "val": 4, "test": 4}
    assert metrics["seed"] == 0 and metrics["parameters"] > 400_000
    assert np.sum(metrics["test"]["confusion"]) == 4
    for figures in (
        metrics["test"]["test_to_train"],
        metrics["test"]["within_test"],
        metrics["random_weights"]["test_to_train"],
    ):
        assert figures["p_at_1_95"][0] <= figures["p_at_1"] <= figures["p_at_1_95"][1]
        assert 0 < figures["chance_map"] < 1
    assert metrics["confidence"]["video"]["queries"] == 8  # clips not trained on
    assert 0 <= metrics["confidence"]["text"]["separation"] <= 1
    assert set(read_checkpoint(trained.folder).calibrations) == {"video", "text"}
    assert set(metrics["versions"]) >= {"tensorflow", "keras", "vidrec"}
    assert metrics["seconds"]["training"] > 0


def test_second_run_has_another_folder_a_warm_cache_and_can_start_from_the_first(
    trained: TrainReport, dataset: Path, prepared_models: Path, tmp_path: Path
) -> None:
    library = trained.folder.parents[1]
    before = {path: path.stat().st_mtime_ns for path in prepared_models.glob("train/*/data.bin")}
    again = train(settings_for(1, library=library), dataset, replace(TINY, init=trained.folder))
    after = {path: path.stat().st_mtime_ns for path in prepared_models.glob("train/*/data.bin")}
    assert again.folder != trained.folder and again.folder.parent == trained.folder.parent
    assert before == after and before
    assert history(again.folder)[1] != history(trained.folder)[1]
    shutil.rmtree(again.folder)
    with pytest.raises(TrainingError, match="holds a checkpoint"):
        train(settings_for(1, library=library), dataset, replace(TINY, out=trained.folder.name))
    with pytest.raises(TrainingError, match=r"no model\.keras"):
        train(settings_for(1), dataset, replace(TINY, out="x", init=tmp_path))


def test_initial_weights_fit_or_are_refused() -> None:
    from vidrec.models.temporal_head import build_temporal_head
    from vidrec.models.training import load_initial

    def head(n_classes: int, dim: int) -> object:
        return build_temporal_head(n_classes, n_frames=3, n_features=5, dim=dim)

    source, target = head(4, 6), head(2, 6)
    copied = load_initial(target, source)
    assert copied == ["motion", "norm", "embed"]
    wanted, got = (net.get_layer("embed").get_weights() for net in (source, target))  # type: ignore[attr-defined]
    assert all((a == b).all() for a, b in zip(wanted, got, strict=True))
    with pytest.raises(TrainingError, match="does not fit: layer embed"):
        load_initial(head(2, 7), source)


def history(folder: Path) -> list[tuple[str, ...]]:
    """The curve, without the seconds."""
    with (folder / "history.csv").open() as file:
        return [tuple(row[:-1]) for row in csv.reader(file)]


def command(dataset: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "vidrec", "train", str(dataset), "--out", f"{out}/", "--epochs",
            "4", *TINY_ARGS, *more]  # fmt: skip


def wait_for(found: object, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not found() and child.poll() is None and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_killed_and_resumed_it_has_the_same_curve(dataset: Path, tmp_path: Path) -> None:
    whole = train(settings_for(4), dataset, replace(TINY, out=f"{tmp_path}/whole/")).folder
    out = tmp_path / "killed"
    child = subprocess.Popen(command(dataset, out), stderr=subprocess.DEVNULL)
    wait_for(lambda: (out / "state" / "state.json").exists(), child)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (out / "labels.json").exists()
    with pytest.raises(TrainingError, match="other data or options"):
        train(settings_for(5), dataset, replace(TINY, out=f"{out}/", resume=True))
    train(settings_for(4), dataset, replace(TINY, out=f"{out}/", resume=True))
    (header, *rows), (_, *wanted) = history(out), history(whole)
    assert header[:2] == ("epoch", "loss") and len(rows) == len(wanted) == 4
    # Sums over threads differ in the last bits from run to run, resumed or not.
    assert np.abs(np.array(rows, float) - np.array(wanted, float)).max() < 2e-3


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupted_it_keeps_the_best_so_far(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "interrupted"
    args = command(dataset, out)
    args[args.index("--epochs") + 1] = "500"
    child = subprocess.Popen(args, stderr=subprocess.PIPE)
    wait_for(lambda: (out / "state" / "state.json").exists(), child)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=120)
    assert child.returncode == 130, stderr
    assert b"interrupted; kept the best of" in stderr
    assert read_checkpoint(out).labels == CLASSES
    assert 2 <= len(history(out)) < 500


def test_a_learning_rate_of_zero_is_refused(dataset: Path) -> None:
    with pytest.raises(UsageError, match="Received: 0"):
        train(settings_for(), dataset, replace(TINY, learning_rate=0.0))


def test_nothing_to_resume(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no run to resume"):
        train(settings_for(1), dataset, replace(TINY, out=f"{tmp_path}/none/", resume=True))


def test_bad_clips_are_skipped_short_and_uneven_ones_trained(tmp_path: Path) -> None:
    root = write_actions(tmp_path / "data", ("Moving",))
    write_action(root / "Standing" / "short.mp4", "Standing", 1, n_frames=2)
    (root / "Moving" / "empty.mp4").write_bytes(b"")
    (root / "Moving" / "noise.mp4").write_bytes(os.urandom(5000))
    for number in range(20):
        path = root / "Moving" / f"copy{number}.mp4"
        shutil.copy(root / "Moving" / "v_Moving_g01_c01.mp4", path)
    heard = Warnings()
    report = train(settings_for(1), root, TINY, heard)
    assert report.skipped == 2
    assert sum(said.startswith("skipping") for said in heard.said) == 2
    assert any("Standing only 1" in said for said in heard.said)
    assert read_checkpoint(report.folder).labels == ("Moving", "Standing")


def test_every_class_needs_a_readable_training_clip(tmp_path: Path) -> None:
    root = write_actions(tmp_path / "data", ("Moving",))
    (root / "Standing").mkdir()
    (root / "Standing" / "noise.mp4").write_bytes(b"noise")
    with pytest.raises(TrainingError, match="class"):
        train(settings_for(1), root, TINY)


CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.argv[:2] = ["vidrec"]
from vidrec.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="file size limits")
def test_a_disk_that_takes_no_more_is_one_line(dataset: Path, tmp_path: Path) -> None:
    args = command(dataset, tmp_path / "out")[3:]
    for limit in (10_000, 400_000):  # while reading clips, while saving an epoch
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(limit), *args],
            capture_output=True,
            text=True,
            env={**os.environ, "VIDREC_CACHE": str(tmp_path / f"cache{limit}")},
        )
        assert child.returncode == 1, child.stderr
        assert "error: cannot write" in child.stderr.splitlines()[-1]
        assert "Traceback" not in child.stderr


# The embedder


@pytest.fixture
def resnet(trained: TrainReport) -> Settings:
    overrides = {"embedder.name": "resnet", "resnet.checkpoint": trained.folder}
    return load_settings(overrides=overrides)


def test_embedder_gives_unit_vectors_that_repeat(resnet: Settings, dataset: Path) -> None:
    embedder = load_embedder(resnet)
    paths = sorted((dataset / "Moving").iterdir())[:3]
    videos = [Video(path.name, path.name, path) for path in paths]
    runs = [
        {found.video.id: found for found in embedder.embed_videos(videos, EmbedContext(workers=2))}
        for _ in range(2)
    ]
    assert set(runs[0]) == {path.name for path in paths}
    for name, outcome in runs[0].items():
        assert outcome.error is None
        assert [e.scope for e in outcome.embeddings] == ["clip", "video"]
        for one, other in zip(outcome.embeddings, runs[1][name].embeddings, strict=True):
            assert one.vector.shape == (embedder.dim,) and one.vector.dtype == np.float32
            assert np.linalg.norm(one.vector) == pytest.approx(1, abs=1e-5)
            assert (one.vector == other.vector).all()
    assert list(embedder.embed_videos([], EmbedContext())) == []


def test_embedder_reports_what_is_no_video(resnet: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    video = Video("1", "a.mp4", tmp_path / "a.mp4")
    (outcome,) = load_embedder(resnet).embed_videos([video], EmbedContext())
    assert isinstance(outcome.error, MediaError)


def test_a_text_is_answered_through_the_labels(resnet: Settings, trained: TrainReport) -> None:
    embedder = load_embedder(resnet)
    prototypes = np.array(read_checkpoint(trained.folder).prototypes)
    vectors = embedder.embed_texts(["it is moving fast", "somebody standing around"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors @ prototypes.T).argmax(axis=1).tolist() == [0, 1]
    with pytest.raises(CapabilityError, match="cannot embed an image"):
        embedder.embed_image(Path("cat.jpg"))


def test_fingerprint_follows_weights_and_sampling(resnet: Settings) -> None:
    one = load_embedder(resnet).fingerprint
    section = resnet.resnet.model_copy(update={"windows": 5})
    other = load_embedder(resnet.model_copy(update={"resnet": section})).fingerprint
    assert str(one) != str(other) and one.options["weights"] == other.options["weights"]


def test_newest_checkpoint_is_the_default(trained: TrainReport) -> None:
    library = trained.folder.parents[1]
    settings = load_settings(overrides={"embedder.name": "resnet", "library": library})
    named = load_settings(
        overrides={"embedder.name": "resnet", "resnet.checkpoint": trained.folder}
    )
    assert load_embedder(settings).fingerprint == load_embedder(named).fingerprint


def test_missing_and_damaged_checkpoints(trained: TrainReport, tmp_path: Path) -> None:
    flags = {"embedder.name": "resnet"}
    with pytest.raises(EmbedderError, match=r"vidrec train"):
        load_embedder(load_settings(overrides=flags))
    with pytest.raises(EmbedderError, match=r"no checkpoint in .*vidrec train"):
        load_embedder(load_settings(overrides={**flags, "resnet.checkpoint": tmp_path}))
    shutil.copytree(trained.folder, tmp_path / "copy")
    (tmp_path / "copy" / "model.onnx").write_bytes(b"x")
    damaged = load_embedder(
        load_settings(overrides={**flags, "resnet.checkpoint": tmp_path / "copy"})
    )
    with pytest.raises(EmbedderError, match="damaged or of another run"):
        list(damaged.embed_videos([Video("1", "a", tmp_path)], EmbedContext()))
    (tmp_path / "copy" / "labels.json").write_text("{")
    with pytest.raises(EmbedderError, match="damaged"):
        read_checkpoint(tmp_path / "copy")


SERVED = """
import sys
from vidrec.cli import app
code = 0
try:
    app(sys.argv[1:])
except SystemExit as exc:
    code = exc.code
heavy = {"tensorflow", "keras", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""


@pytest.mark.slow
def test_the_main_job_with_two_embedders_and_without_tensorflow(
    resnet: Settings, dataset: Path, trained: TrainReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_RESNET_CHECKPOINT", str(trained.folder))

    def vidrec(*args: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", SERVED, *args], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout + (done.stderr if code else "")

    for name in ("resnet", "conse"):
        vidrec("embed", str(dataset), "--embedder", name)
        vidrec("index", "--embedder", name)
    query = str(next((dataset / "Standing").iterdir()))
    for asked in (query, "standing"):
        found = vidrec("recommend", asked, "--embedder", "resnet", "-k", "3", "--format", "jsonl")
        assert len(found.splitlines()) == 3
    assert "resnet knows little of what the text is about" in vidrec(
        "recommend", "quarterly tax returns", "--embedder", "resnet", code=3
    )
    vidrec("evaluate", "--embedder", "resnet", "--by", "label", "--format", "json")


def test_saved_networks_load_in_a_fresh_process(tmp_path: Path) -> None:
    """As for --resume and --init, which build no network of their own before they load one."""
    from vidrec.models.temporal_head import build_temporal_head

    build_temporal_head(2, n_frames=3, n_features=5, dim=4).save(tmp_path / "head.keras")
    code = (
        "import sys; from pathlib import Path; from vidrec.models.backend import prepare_keras;"
        "prepare_keras(Path(sys.argv[2]));"
        "import vidrec.models.training; import keras;"
        "print(keras.saving.load_model(sys.argv[1]).name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "head.keras"), str(tmp_path / "cache")],
        capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.stdout.strip() == "temporal_head", done.stderr
    assert not (tmp_path / "home" / ".keras").exists()  # nor is anything left in the home folder


def test_labels_as_words() -> None:
    assert words_of("ApplyEyeMakeup") == "apply eye makeup"
    assert words_of("YoYo") == "yo yo"
    assert words_of("TaiChi_2") == "tai chi 2"
    assert words_of("jump-rope") == "jump rope"
    assert words_of("TVShow") == "tv show"


def test_the_fingerprint_is_known_without_any_engine(trained: TrainReport) -> None:
    code = (
        "import sys; from vidrec.config import load_settings;"
        "from vidrec.embedders import load_embedder;"
        "flags = {'embedder.name': 'resnet', 'resnet.checkpoint': sys.argv[1]};"
        "print(load_embedder(load_settings(overrides=flags)).fingerprint);"
        "assert not {'tensorflow', 'keras', 'onnxruntime', 'av', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(trained.folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("resnet:reference-")
