"""What is true of every embedder, a third party's too; and third parties that do wrong."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import word_embedder
from tests.clips import plain, write_clip
from tests.embedder_kinds import KINDS, BytesEmbedder, BytesSection
from tests.test_pipeline import vidrec
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import EmbedContext, Embedded, Embedder
from vidrec.embedders.frames import FrameEmbedder
from vidrec.errors import CapabilityError, ConfigError, EmbedderError, TransientError
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.library.jobs import CatalogJobs
from vidrec.media.probe import probe
from vidrec.types import Clip, Video

Opened = tuple[Embedder, EmbedContext]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: write_clip(folder / f"{name}.mp4", plain(name), seconds=5, size=(360, 360))
        for name in ("red", "blue")
    }


@pytest.fixture(params=sorted(KINDS))
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opened]:
    """An embedder, and what a run hands to it."""
    with (
        KINDS[request.param](tmp_path, monkeypatch) as embedder,
        Library(tmp_path / "l") as library,
    ):
        yield embedder, EmbedContext(clip_seconds=2, workers=2, jobs=CatalogJobs(library))
        embedder.close()


def as_video(path: Path) -> Video:
    info = probe(path) if path.suffix == ".mp4" else None
    return Video(hash_file(path), path.name, path, size=path.stat().st_size, info=info)


def run(opened: Opened, *videos: Video) -> dict[str, Embedded]:
    embedder, context = opened
    return {o.video.filename: o for o in embedder.embed_videos(videos, context)}


def test_its_name_is_known_before_anything_is_loaded(opened: Opened) -> None:
    embedder, _ = opened
    assert embedder.name == embedder.fingerprint.embedder
    assert embedder.fingerprint in embedder.fingerprints
    assert embedder.dim == embedder.fingerprint.dim > 0
    json.dumps(dict(embedder.fingerprint.options))


def test_a_video_gives_unit_vectors_of_clips_and_of_the_whole(
    opened: Opened, paths: dict[str, Path]
) -> None:
    embedder, _ = opened
    video = as_video(paths["red"])
    outcome = run(opened, video)["red.mp4"]
    if "video" not in embedder.modalities:
        assert outcome.error is not None
        return
    assert outcome.error is None
    prints = {str(f): f for f in embedder.fingerprints}
    assert str(embedder.fingerprint) in {e.fingerprint for e in outcome.embeddings}
    for fingerprint in {e.fingerprint for e in outcome.embeddings}:
        mine = [e for e in outcome.embeddings if e.fingerprint == fingerprint]
        assert [e.scope for e in mine].count("video") == 1 and len(mine) > 1
        for embedding in mine:
            assert embedding.video_id == video.id
            assert 0 <= embedding.start_sec < embedding.end_sec <= 5.2
            assert embedding.vector.shape == (prints[fingerprint].dim,)
            assert embedding.vector.dtype == np.float32
            assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=2e-6)


def test_vectors_do_not_depend_on_company(opened: Opened, paths: dict[str, Path]) -> None:
    videos = [as_video(path) for path in paths.values()]
    together = run(opened, *videos)
    for video in videos:
        alone, beside = run(opened, video)[video.filename], together[video.filename]
        assert [e.point_id for e in alone.embeddings] == [e.point_id for e in beside.embeddings]
        for one, other in zip(alone.embeddings, beside.embeddings, strict=True):
            np.testing.assert_allclose(one.vector, other.vector, atol=1e-6)


def test_a_bad_video_is_an_outcome_and_the_others_go_on(
    opened: Opened, paths: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "gone.mpg").write_bytes(b"no video")
    bad = as_video(tmp_path / "gone.mpg")
    (tmp_path / "gone.mpg").unlink()
    outcomes = run(opened, bad, as_video(paths["blue"]))
    assert outcomes["gone.mpg"].error is not None
    assert "\n" not in str(outcomes["gone.mpg"].error)
    if "video" in opened[0].modalities:
        assert outcomes["blue.mp4"].error is None


def test_texts_and_images_are_unit_vectors_or_refused(opened: Opened, tmp_path: Path) -> None:
    embedder, _ = opened
    path = tmp_path / "red.png"
    Image.fromarray(plain("red")).save(path)
    if "text" in embedder.modalities:
        vectors = embedder.embed_texts(["red", "blue"])
        assert vectors.shape == (2, embedder.dim) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-6)
        assert embedder.embed_texts([]).shape == (0, embedder.dim)
        assert all(0 <= known <= 1 for known in embedder.understood(["red"]))
    else:
        with pytest.raises(CapabilityError, match=embedder.name):
            embedder.embed_texts(["red"])
    if "image" in embedder.modalities:
        assert np.linalg.norm(embedder.embed_image(path)) == pytest.approx(1, abs=2e-6)
    else:
        with pytest.raises(CapabilityError, match=embedder.name):
            embedder.embed_image(path)


def test_a_cancelled_run_takes_no_video_up(opened: Opened, paths: dict[str, Path]) -> None:
    embedder, context = opened
    cancel = threading.Event()
    cancel.set()
    ended = EmbedContext(2, 1, context.jobs, cancelled=cancel.is_set)
    assert list(embedder.embed_videos([as_video(paths["red"])], ended)) == []


def test_how_far_a_video_is_reaches_the_run(opened: Opened, paths: dict[str, Path]) -> None:
    embedder, context = opened
    if embedder.paid or "video" not in embedder.modalities:
        return
    shares: list[float] = []
    told = EmbedContext(2, 1, context.jobs, progress=lambda video, share: shares.append(share))
    assert len(list(embedder.embed_videos([as_video(paths["red"])], told))) == 1
    assert shares == sorted(shares) and len(shares) > 1 and shares[-1] > 0.5


# A third party's package that does wrong


WRONG = (
    "size", "sizes", "nan", "inf", "zero", "none", "words", "complex", "huge", "backwards", "twice",
    "endless", "no clip", "no pair", "raises", "leaves", "stops",
)  # fmt: skip


@pytest.fixture
def bytes_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word_embedder.install(tmp_path, monkeypatch, "bytes", "tests.embedder_kinds:BytesEmbedder")
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "bytes")


@pytest.mark.parametrize("kind", WRONG)
def test_what_a_plug_in_gets_wrong_is_that_videos_failure(
    bytes_embedder: None, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_BYTES_GOES_WRONG", kind)
    paths = [tmp_path / name for name in ("bad.mp4", "good.mp4", "other.mp4")]
    for path in paths:
        path.write_bytes(path.name.encode() * 100)
    embedder = load_embedder(load_settings())
    videos = [Video(hash_file(path), path.name, path) for path in paths]
    outcomes = {o.video.filename: o for o in embedder.embed_videos(videos, EmbedContext())}
    assert isinstance(outcomes["bad.mp4"].error, TransientError)
    assert "\n" not in str(outcomes["bad.mp4"].error)
    assert outcomes["good.mp4"].error is None and outcomes["other.mp4"].error is None


@pytest.mark.parametrize("kind", ["size", "nan", "raises", "leaves"])
def test_a_run_of_the_command_goes_on(
    bytes_embedder: None, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mended plug-in meets the video again without being told to."""
    for name in ("bad", "good"):
        write_clip(tmp_path / "v" / f"{name}.mp4", plain("red"), seconds=0.3 + len(name) / 10)
    monkeypatch.setenv("VIDREC_BYTES_GOES_WRONG", kind)
    done = vidrec("embed", tmp_path / "v", code=4)
    assert "bad.mp4" in done.stderr and "1" in done.stderr
    monkeypatch.delenv("VIDREC_BYTES_GOES_WRONG")
    vidrec("embed", tmp_path / "v")
    fingerprint = str(BytesEmbedder.fingerprint)
    with Library(tmp_path / "library", create=False) as library:
        found = [library.video_embeddings(v.id, fingerprint, "clip") for v in library.videos()]
    assert [len(clips) for clips in found] == [3, 3]


class Windows(BytesEmbedder):
    """Whole windows of ten seconds, in numpy's numbers."""

    def _clips(self, video: Video, context: EmbedContext, warnings: list[str]) -> Any:
        for start in np.arange(0, 20, 10, np.float32):
            yield Clip(start, start + np.float32(10)), np.ones(16, np.float16)


def test_moments_are_stored_as_pythons_numbers_and_make_no_video_longer(tmp_path: Path) -> None:
    video = as_video(write_clip(tmp_path / "a.mp4", plain("red"), seconds=12))
    (outcome,) = Windows(load_settings()).embed_videos([video], EmbedContext())
    clips = [e for e in outcome.embeddings if e.scope == "clip"]
    assert [(type(e.start_sec), e.start_sec, e.end_sec) for e in clips] == [
        (float, 0.0, 10.0), (float, 10.0, 20.0)
    ]  # fmt: skip
    assert outcome.video.duration_sec == video.duration_sec


def test_what_every_video_lacks_is_said_once(
    bytes_embedder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_BYTES_GOES_WRONG", "load")
    for name in ("one", "two"):
        write_clip(tmp_path / "v" / f"{name}.mp4", plain("red"), seconds=0.3)
    done = vidrec("embed", tmp_path / "v", code=1)
    assert done.stderr.count("ValueError: in two lines") == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ZeroDivisionError('in two\\nlines')", "ZeroDivisionError: in two lines"),
        ("import no_such_package", "no_such_package"),
        ("make = None", "cannot be opened"),
        ("make = lambda settings: 5", "cannot be opened"),
        (
            "from tests.embedder_kinds import BytesEmbedder\n"
            "class make(BytesEmbedder): name = 'other'",
            "calls itself other",
        ),
        (
            "from tests.embedder_kinds import BytesEmbedder\n"
            "class make(BytesEmbedder): name = 'broken'",
            "fingerprint's embedder bytes",
        ),
        (
            "from tests.embedder_kinds import BytesEmbedder\n"
            "class make(BytesEmbedder):\n"
            "    def __init__(self, settings): raise ValueError('no')",
            "ValueError: no",
        ),
    ],
)
def test_a_plug_in_that_cannot_be_opened_is_one_line(
    body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plug_in.py").write_text(body)
    word_embedder.install(tmp_path, monkeypatch, "broken", "broken_plug_in:make")
    monkeypatch.delitem(__import__("sys").modules, "broken_plug_in", raising=False)
    with pytest.raises(EmbedderError, match="broken") as caught:
        load_embedder(load_settings(overrides={"embedder.name": "broken"}))
    assert said in str(caught.value) and "\n" not in str(caught.value)


# A plug-in's settings


class Bare(FrameEmbedder):
    """Without settings, and with some that are none of frames."""

    name, model, dim, size, section = "bare", "m", 3, (8, 8), None
    modalities = frozenset({"video"})

    def _encode_frames(self, frames: np.ndarray) -> np.ndarray:
        return frames.mean(axis=(1, 2)) + 1


@pytest.mark.parametrize("section", [None, BytesSection])
def test_an_embedder_of_frames_needs_no_settings(section: object, paths: dict[str, Path]) -> None:
    kind = type("Bare", (Bare,), {"section": section})
    (outcome,) = kind(load_settings()).embed_videos([as_video(paths["red"])], EmbedContext())
    assert outcome.error is None and len(outcome.embeddings) == 2


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word_embedder.install(tmp_path, monkeypatch, "colours", "tests.embedder_kinds:ColourEmbedder")
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "colours")
    monkeypatch.chdir(tmp_path)


def test_a_plug_in_has_a_section_and_variables(
    colours: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_one = load_embedder(load_settings())
    Path("vidrec.toml").write_text("[colours]\ngamma = 2\nframes = 3\ntoken = 'very secret'\n")
    monkeypatch.setenv("VIDREC_COLOURS_FRAMES", "4")
    monkeypatch.setenv("VIDREC_COLOURS_WEIGHTS", "[1, 2, 3]")
    settings = load_settings()
    other = load_embedder(settings)
    assert (other.options.gamma, other.options.frames) == (2.0, 4)
    assert other.options.weights == [1, 2, 3]
    assert other.options.token.get_secret_value() == "very secret"
    assert "secret" not in repr(settings) + str(other.fingerprint.options)
    assert str(other.fingerprint) != str(plain_one.fingerprint)
    flags = {"colours.gamma": 3, "colours.frames": 5}
    assert load_embedder(load_settings(overrides=flags)).options.gamma == 3


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[colours]\ngama = 2\n", "colours.gama"),
        ("[colours]\ngamma = 'soon'\n", "colours.gamma"),
        ("[colour]\ngamma = 2\n", "colour"),
        ("colours = 3\n", "colours"),
    ],
)
def test_a_wrong_setting_of_a_plug_in_is_refused_by_name(
    colours: None, text: str, named: str
) -> None:
    Path("vidrec.toml").write_text(text)
    with pytest.raises(ConfigError, match=named):
        load_embedder(load_settings())


@pytest.mark.parametrize("name", ["VIDREC_COLOURS_GAMA", "VIDREC_COLOUR_GAMMA"])
def test_a_misspelt_variable_of_a_plug_in_is_refused(
    colours: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "2")
    with pytest.raises(ConfigError, match=r"(?i)gam"):
        load_embedder(load_settings())


def test_a_third_party_is_embedded_indexed_and_asked(colours: None, tmp_path: Path) -> None:
    for name in ("red", "green", "blue"):
        write_clip(tmp_path / "v" / f"{name}.mp4", plain(name))
    vidrec("embed", tmp_path / "v")
    vidrec("index")
    for name in ("red", "green", "blue"):
        found = vidrec("recommend", name, "-k", 1, "--format", "paths").stdout
        assert Path(found.strip()).stem == name


TOWERS = """
import numpy as np
COLOURS = {"red": 0, "green": 1, "blue": 2}

def image_tower(frames):
    assert frames.shape[1:] == (224, 224, 3) and frames.dtype == np.uint8
    return np.pad(frames.mean(axis=(1, 2)), ((0, 0), (0, 509)))

def text_tower(texts):
    return np.stack([np.eye(512)[COLOURS[text]] for text in texts])
"""


def test_the_readmes_embedder_is_a_dozen_lines_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(from my_towers.*?)```", readme, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 15
    (tmp_path / "my_towers.py").write_text(TOWERS)
    (tmp_path / "my_package.py").write_text(code)
    word_embedder.install(tmp_path, monkeypatch, "mine", "my_package:Mine")
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "mine")
    monkeypatch.setenv("VIDREC_MINE_FRAMES", "2")
    for name in ("red", "blue"):
        write_clip(tmp_path / "v" / f"{name}.mp4", plain(name))
        Image.fromarray(plain(name)).save(tmp_path / f"{name}.png")
    vidrec("embed", tmp_path / "v")
    vidrec("index")
    for query in ("blue", tmp_path / "blue.png"):
        found = vidrec("recommend", query, "-k", 1, "--format", "paths").stdout
        assert Path(found.strip()).stem == "blue"
