"""The cloud half against the real services. Off unless keys for tests are in the environment.

    VIDREC_TEST_TWELVELABS_KEY=… VIDREC_TEST_S3_BUCKET=… pytest -m live

costs about half a minute of footage and a few texts; the objects are deleted afterwards. AWS
credentials come from the usual places.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud import vidrec
from tests.tiny_video import write_video
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.errors import EmbedderError
from vidrec.library import Library
from vidrec.storage.s3 import S3Storage, parse_s3_url

KEY = os.environ.get("VIDREC_TEST_TWELVELABS_KEY")
LIVE_BUCKET = os.environ.get("VIDREC_TEST_S3_BUCKET")
pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
needs_key = pytest.mark.skipif(not KEY, reason="set VIDREC_TEST_TWELVELABS_KEY")
needs_bucket = pytest.mark.skipif(not LIVE_BUCKET, reason="set VIDREC_TEST_S3_BUCKET")


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "marengo")
    monkeypatch.setenv("VIDREC_MARENGO_API_KEY", KEY or "")
    monkeypatch.setenv("VIDREC_S3_BUCKET", LIVE_BUCKET or "")
    monkeypatch.setenv("VIDREC_S3_PREFIX", "vidrec-test/")


@pytest.fixture
def videos(tmp_path: Path) -> Iterator[Path]:
    for seed in range(2):
        write_video(tmp_path / "v" / f"{seed}.mp4", seconds=6, fps=10, seed=seed)
    yield tmp_path / "v"
    if LIVE_BUCKET:
        storage = S3Storage(load_settings().s3)
        with Library(load_settings().library) as library:
            for video in library.videos():
                if video.url:
                    bucket, key = parse_s3_url(video.url)
                    storage._clients.of(bucket).delete_object(Bucket=bucket, Key=key)


@needs_bucket
def test_uploads_are_verified_and_play(videos: Path) -> None:
    assert "2 verified" in vidrec("upload", videos, "--verify").output
    assert "2 there before" in vidrec("upload", videos).output


@needs_key
@pytest.mark.parametrize("model", ["marengo3.5", "marengo3.0"])
def test_a_text_has_a_vector(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setenv("VIDREC_MARENGO_MODEL", model)
    assert load_embedder(load_settings()).embed_texts(["a dark forest"])[0].shape == (512,)


@needs_key
def test_a_wrong_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_MARENGO_API_KEY", "tlk_0000000000000000")
    with pytest.raises(EmbedderError, match="refuses the API key"):
        load_embedder(load_settings()).embed_texts(["a"])[0]


@needs_key
def test_files_that_are_sent_are_embedded_and_found(videos: Path) -> None:
    vidrec("embed", videos, "--source", "asset", "--max-minutes", 1)
    vidrec("index")
    answer = vidrec("recommend", "a moving gradient", "--format", "json").stdout
    assert len(json.loads(answer)["results"]) == 2


@needs_key
@needs_bucket
def test_files_that_are_fetched_are_embedded(videos: Path) -> None:
    vidrec("upload", videos)
    vidrec("embed", videos, "--source", "url", "--max-minutes", 1)
    vidrec("doctor")
