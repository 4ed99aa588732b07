"""The embedder `clip` on pairs of the real formats, loaded through fastembed itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastembed")

from tests.clips import plain, write_clip
from tests.standin_hub import Hub
from tests.test_pipeline import vidrec
from tests.tower_pairs import SIZE, clip_pair, image_tower, siglip_pair, text_tower
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.errors import ConfigError, EmbedderError
from vidrec.library import Library
from vidrec.search.asked import asked_texts
from vidrec.types import Video
from vidrec.vectors import unit

PAIRS = {"siglip2-base": siglip_pair, "clip-vit-b-32": clip_pair}
COLOURS = ("red", "green", "blue")
REPOSITORY = "onnx-community/siglip2-base-patch16-224-ONNX"


def opened(path: Path, model: str = "siglip2-base", **flags: object) -> Embedder:
    named = {"embedder.name": "clip", "clip.model": model, "clip.path": path}
    return load_embedder(load_settings(overrides={**named, **flags}))


@pytest.fixture(params=sorted(PAIRS))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    return request.param, PAIRS[request.param](tmp_path / "pair")


def test_colours_are_found_by_name(
    pair: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = pair
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "clip")
    monkeypatch.setenv("VIDREC_CLIP_MODEL", model)
    monkeypatch.setenv("VIDREC_CLIP_PATH", str(path))
    rows = ["file,caption"]
    for name in COLOURS:
        write_clip(tmp_path / "v" / name / f"{name}.mp4", plain(name))
        Image.fromarray(plain(name)).save(tmp_path / f"{name}.png")
        rows.append(f"{name}/{name}.mp4,{name}")
    captions = tmp_path / "v" / "captions.csv"
    captions.write_text("\n".join(rows))
    vidrec("embed", tmp_path / "v")
    vidrec("index")
    for name in COLOURS:
        for query in (name, tmp_path / f"{name}.png"):
            found = vidrec("recommend", query, "-k", 1, "--format", "paths").stdout
            assert Path(found.strip()).stem == name
    vidrec("evaluate", "--captions", captions, "--min", "R@1=1.0")
    assert "ok" in vidrec("doctor", "--format", "table").stdout


def test_a_text_does_not_depend_on_its_neighbours(pair: tuple[str, Path]) -> None:
    """Nor on how far the longest of them is padded; what is too long is cut off, not refused."""
    embedder = opened(pair[1], pair[0])
    texts = ["red", "red green blue", " ".join(["blue"] * 500), "unheard of"]
    together = embedder.embed_texts(texts)
    for text, beside in zip(texts, together, strict=True):
        np.testing.assert_allclose(embedder.embed_texts([text])[0], beside, atol=1e-6)


def test_siglip_reads_lower_case(tmp_path: Path) -> None:
    embedder = opened(siglip_pair(tmp_path / "pair"))
    one, other = embedder.embed_texts(["RED Green", "red green"])
    np.testing.assert_array_equal(one, other)


def test_templates_change_texts_and_not_videos(tmp_path: Path) -> None:
    """A text's vector is the mean of what its templates make of it; what was kept before is not."""
    path = siglip_pair(tmp_path / "pair")
    bare, templates = opened(path), ("red {}", "{} blue")
    put = opened(path, **{"clip.templates": templates})
    assert put.fingerprint == bare.fingerprint
    wanted = unit(bare.embed_texts(["red green", "green blue"]).mean(axis=0))
    np.testing.assert_allclose(put.embed_texts(["green"])[0], wanted, atol=1e-6)
    with Library(tmp_path / "library") as library:
        for embedder in (bare, put, bare):
            (asked,) = asked_texts(library, embedder, ["green"])
            np.testing.assert_array_equal(asked.vector, embedder.embed_texts(["green"])[0])
        assert library.read("SELECT count(*) FROM queries")[0][0] == 2
    with pytest.raises(ConfigError, match="templates"):
        opened(path, **{"clip.templates": ("a photo",)})


@pytest.mark.parametrize(("weights", "suffix"), [("float16", "_fp16"), ("int8", "_int8")])
def test_smaller_weights_are_another_pair(tmp_path: Path, weights: str, suffix: str) -> None:
    path = siglip_pair(tmp_path / "pair")
    with pytest.raises(EmbedderError, match=f"{suffix}.onnx"):
        str(opened(path, **{"clip.weights": weights}).fingerprint)
    image_tower(path, f"onnx/vision_model{suffix}.onnx", 8, pooled=True)
    text_tower(path, f"onnx/text_model{suffix}.onnx", 8, pooled=True, positions=65)
    small = opened(path, **{"clip.weights": weights})
    assert small.fingerprint != opened(path).fingerprint
    assert small.embed_texts(["red"]).shape == (1, 8)
    with pytest.raises(ConfigError, match="float32 weights only"):
        opened(path, "clip-vit-b-32", **{"clip.weights": weights})


def test_frames_are_as_large_as_the_network_wants(pair: tuple[str, Path]) -> None:
    embedder = opened(pair[1], pair[0])
    assert (embedder.size, embedder.dim) == ((SIZE, SIZE), 8)  # type: ignore[attr-defined]


def test_the_fingerprint_is_by_the_files_and_needs_nothing_heavy(
    pair: tuple[str, Path], tmp_path: Path
) -> None:
    model, path = pair
    first = str(opened(path, model).fingerprint)
    code = (
        "import sys; from vidrec.config import load_settings;"
        "from vidrec.embedders import load_embedder;"
        "print(load_embedder(load_settings()).fingerprint);"
        "print([m for m in ('fastembed', 'onnxruntime', 'PIL', 'loguru') if m in sys.modules])"
    )
    env = {**os.environ, "VIDREC_EMBEDDER_NAME": "clip", "VIDREC_CLIP_MODEL": model,
           "VIDREC_CLIP_PATH": str(path)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout.split("\n")[:2] == [first, "[]"]
    elsewhere = path.rename(tmp_path / "elsewhere")
    assert str(opened(elsewhere, model).fingerprint) == first
    file = next(elsewhere.rglob("preprocessor_config.json"))
    file.write_text(file.read_text() + " ")
    assert str(opened(elsewhere, model).fingerprint) != first


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: text_tower(f, "onnx/text_model.onnx", 5, True, 64), "no pair"),
        (lambda f: image_tower(f, "onnx/vision_model.onnx", 8, False), "pooler_output"),
        (lambda f: (f / "onnx" / "text_model.onnx").unlink(), "siglip2-base"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "siglip2-base"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "preprocessor_config.json"),
        (lambda f: (f / "onnx" / "vision_model.onnx").write_bytes(b"x"), "siglip2-base"),
        (lambda f: (f / "config.json").write_text('{"model_type": "clip"}'), "holds a clip"),
    ],
)
def test_what_is_no_pair_is_refused_in_one_line(harm: object, said: str, tmp_path: Path) -> None:
    path = siglip_pair(tmp_path / "pair")
    harm(path)  # type: ignore[operator]
    with pytest.raises(EmbedderError, match=said) as caught:
        str(opened(path).fingerprint)
    assert "\n" not in str(caught.value)


def test_other_pairs_formats_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="set the one that it is"):
        str(opened(clip_pair(tmp_path / "pair")).fingerprint)
    with pytest.raises(EmbedderError, match="no folder"):
        str(opened(tmp_path / "nowhere").fingerprint)


def test_without_weights_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(overrides={"embedder.name": "clip", "cache": tmp_path / "cache"})
    with pytest.raises(EmbedderError, match="vidrec doctor --fetch") as caught:
        str(load_embedder(settings).fingerprint)
    assert "\n" not in str(caught.value) and "copy" in str(caught.value)
    monkeypatch.setenv("VIDREC_CACHE", str(tmp_path / "cache"))
    path = write_clip(tmp_path / "red.mp4", plain("red"))
    done = vidrec("embed", path, "--embedder", "clip", code=1)
    assert done.stderr.count("\n") == 1 and "vidrec doctor --fetch" in done.stderr


def fetch(hub: str, cache: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HF_ENDPOINT": hub, "VIDREC_CACHE": str(cache),
           "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}  # fmt: skip
    words = ("doctor", "--fetch", "--embedder", "clip", "--format", "table")
    return subprocess.run(
        [sys.executable, "-m", "vidrec", *words],
        capture_output=True, text=True, env=env, timeout=100, check=False,
    )  # fmt: skip


def test_weights_are_fetched_once_resumed_and_used_offline(tmp_path: Path) -> None:
    siglip_pair(tmp_path / "repository")
    cache = tmp_path / "cache"
    with Hub({REPOSITORY: tmp_path / "repository"}) as hub:
        hub.cut = {"vision_model.onnx"}
        done = fetch(hub.url, cache)
        assert done.returncode in (0, 1)  # other checks may fail here; the fetching did not
        assert "up to 1.5 GB" in done.stderr and "clip: " in done.stderr, done.stderr
        assert any(path.endswith("text_model.onnx") for _, path, _ in hub.asked)
    settings = load_settings(overrides={"embedder.name": "clip", "cache": cache})
    embedder = load_embedder(settings)  # no hub any more
    assert embedder.embed_texts(["red"]).shape == (1, 8)
    path = write_clip(tmp_path / "red.mp4", plain("red"))
    (outcome,) = embedder.embed_videos([Video("0" * 64, "red.mp4", path)], EmbedContext())
    assert outcome.error is None
    moved = cache.rename(tmp_path / "copied")
    copied = load_settings(overrides={"embedder.name": "clip", "cache": moved})
    assert str(load_embedder(copied).fingerprint) == str(embedder.fingerprint)


def test_no_network_is_one_line(tmp_path: Path) -> None:
    done = fetch("http://127.0.0.1:9", tmp_path / "cache")
    assert done.returncode == 1
    assert "cannot be downloaded" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is one")
    path = write_clip(tmp_path / "v" / "red.mp4", plain("red"))
    for flags in (("--embedder", "conse"), ("--embedder", "clip")):
        os.environ["VIDREC_CLIP_PATH"] = str(siglip_pair(tmp_path / "pair"))
        try:
            done = vidrec("embed", path, "--device", "cuda", *flags, code=1)
            assert "onnxruntime-gpu" in done.stderr
            vidrec("embed", path, "--device", "auto", *flags)
        finally:
            del os.environ["VIDREC_CLIP_PATH"]


@pytest.mark.live
@pytest.mark.skipif(not os.environ.get("VIDREC_TEST_HUB"), reason="VIDREC_TEST_HUB=1 downloads")
@pytest.mark.parametrize("model", ["siglip2-base", "clip-vit-b-32", "jina-clip-v1"])
def test_the_real_pair_knows_a_cat_from_a_rocket(model: str, tmp_path: Path) -> None:
    """Downloads it, where there is a network."""
    from tests.clips import photograph

    flags = {"embedder.name": "clip", "clip.model": model, "cache": tmp_path}
    embedder = load_embedder(load_settings(overrides=flags))
    embedder.fetch()
    names = {"chelsea": "a cat", "coffee": "a cup of coffee", "rocket": "a rocket launch"}
    seen = []
    for name in names:
        Image.fromarray(photograph(name)).save(tmp_path / f"{name}.png")
        seen.append(embedder.embed_image(tmp_path / f"{name}.png"))
    scores = embedder.embed_texts(list(names.values())) @ np.stack(seen).T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]
