"""Vectors that others keep: collections of Qdrant as they are found, an index of Twelve Labs."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from tests import word_embedder
from tests.standin_index import Indexed, IndexStandIn
from tests.standin_qdrant import StandinQdrant
from tests.test_exchange import OWN, contents, fill, recommended, vidrec
from tests.tiny_video import write_video
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.ingest.index import index
from vidrec.ingest.scan import hash_file
from vidrec.library import Library

TITLES = ["dark space station", "sunny beach", "city at night", "old forest"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandinQdrant]:
    with StandinQdrant() as standin:
        monkeypatch.setenv("VIDREC_QDRANT_URL", standin.url)
        yield standin


@pytest.fixture
def labs(monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexStandIn]:
    with IndexStandIn() as standin:
        monkeypatch.setenv("VIDREC_MARENGO_API_KEY", standin.key)
        monkeypatch.setenv("VIDREC_MARENGO_BASE_URL", standin.url)
        monkeypatch.setenv("VIDREC_MARENGO_RPM", "60000")
        yield standin


def collection(
    server: StandinQdrant, name: str, rows: list[tuple[Any, dict[str, Any]]], vectors: Any
) -> None:
    """Make a collection as somebody else's program would; the ids are random."""
    server.engine.create_collection(name, vectors_config=vectors)
    points = []
    for vector, payload in rows:
        point = str(uuid.uuid4())
        server.vectors.setdefault(name, {})[point] = vector
        points.append(models.PointStruct(id=point, vector=vector, payload=payload))
    server.engine.upsert(name, points)


def size(dim: int) -> models.VectorParams:
    return models.VectorParams(size=dim, distance=models.Distance.COSINE)


@pytest.mark.parametrize(("model", "dim"), [("marengo3.5", 512), ("marengo3.0", 512)])
def test_a_collection_of_the_sources_shape_answers_texts(
    server: StandinQdrant, labs: IndexStandIn, model: str, dim: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rows = [
        (
            labs.vector(model, title.encode(), title)[:dim].tolist(),
            {
                "video_id": f"{uuid.uuid4()}_{title}.mp4",
                "original_filename": f"{title}.mp4",
                "public_video_url": f"https://b.s3.amazonaws.com/videos-embed/{title}.mp4",
                "tags": ["film", f"n{number}"],
            },
        )
        for number, title in enumerate(TITLES)
    ]
    collection(server, "content", rows, size(dim))
    said = vidrec(
        "import", "qdrant:content", "--map", "filename=original_filename",
        "--map", "url=public_video_url", "--as", f"marengo:{model}:visual",
    ).stderr  # fmt: skip
    assert f"imported 4 embeddings of 4 videos from qdrant:content: marengo:{model}:512:" in said
    monkeypatch.setenv("VIDREC_MARENGO_MODEL", model)
    expected = load_embedder(load_settings(overrides={"embedder.name": "marengo"})).fingerprint
    with Library(load_settings().library) as library:
        assert [str(f) for f in library.fingerprints()] == [str(expected)]
        urls = {video.filename: video.url for video in library.videos()}
    assert urls["dark space station.mp4"] == (
        "https://b.s3.amazonaws.com/videos-embed/dark%20space%20station.mp4"
    )
    vidrec("index", "--embedder", "marengo")
    rows_found = recommended("a dark space film", "--embedder", "marengo", "-k", 1)
    assert rows_found[0]["filename"] == "dark space station.mp4"
    only = recommended("space", "--embedder", "marengo", "--where", "tags=n2")
    assert [row["filename"] for row in only] == ["city at night.mp4"]
    assert not labs.tasks  # nothing was paid for but texts


def test_the_space_is_checked(server: StandinQdrant, tmp_path: Path) -> None:
    collection(server, "small", [([1.0, 0, 0, 0], {"filename": "a.mp4"})], size(4))
    asked = ("import", "qdrant:small", "--as")
    assert "has 4 numbers, marengo3.5 of marengo has" in vidrec(*asked, "marengo", code=2).output
    assert "option takes visual, audio" in vidrec(*asked, "marengo::smell", code=2).output
    assert "unknown model nothing" in vidrec(*asked, "marengo:nothing", code=2).output
    assert "conse has the model" in vidrec(*asked, "conse:other", code=2).output
    assert "nobody" in vidrec(*asked, "nobody", code=2).output


def test_a_shorter_marengo_vector_is_of_its_own_space(
    server: StandinQdrant, labs: IndexStandIn
) -> None:
    vector = labs.vector("marengo3.5", b"x", "space")[:256].tolist()
    collection(server, "short", [(vector, {"filename": "a.mp4"})], size(256))
    said = vidrec("import", "qdrant:short", "--as", "marengo:marengo3.5").stderr
    assert "marengo:marengo3.5:256:" in said


def test_named_vectors_are_chosen_by_name(server: StandinQdrant) -> None:
    rows = [({"image": [1.0, 0], "text": [0.0, 1, 0]}, {"filename": f"{n}.mp4"}) for n in range(3)]
    collection(server, "named", rows, {"image": size(2), "text": size(3)})
    asked = ("import", "qdrant:named", "-e", "theirs")
    assert "vectors named image, text: choose one by --vector" in vidrec(*asked, code=1).output
    assert "none named sound" in vidrec(*asked, "--vector", "sound", code=1).output
    assert "theirs:unknown:3:" in vidrec(*asked, "--vector", "text").stderr
    one = [({"only": [1.0, 0]}, {"filename": "a.mp4"})]
    collection(server, "one", one, {"only": size(2)})
    assert "theirs:unknown:2:" in vidrec("import", "qdrant:one", "-e", "theirs").stderr


def test_what_is_mapped_may_lie_deeper_and_be_missing(server: StandinQdrant) -> None:
    rows = [
        ([1.0, n], {"meta": {"name": f"{n}.mp4", "year": 2000 + n}} if n else {"x": 1})
        for n in range(3)
    ]
    collection(server, "deep", rows, size(2))
    said = vidrec(
        "import", "qdrant:deep", "--map", "filename=meta.name", "--map", "url=gone"
    ).stderr  # fmt: skip
    assert "imported 3 embeddings" in said and "no row has what --map names: gone" in said
    with Library(load_settings().library) as library:
        names = {video.filename for video in library.videos()}
    assert len(names) == 3 and {"1.mp4", "2.mp4"} < names
    for wish in ("filename", "colour=x", "filename="):
        assert "--map is COLUMN=NAME" in vidrec("import", "x.jsonl", "--map", wish, code=2).output


def test_a_point_that_cannot_be_taken_ends_nothing(server: StandinQdrant) -> None:
    rows = [([1.0, n], {"filename": f"{n}.mp4", "duration_sec": 1.0}) for n in range(5)]
    rows[2][1]["duration_sec"] = "long"
    collection(server, "mixed", rows, size(2))
    said = vidrec("import", "qdrant:mixed", code=4).output
    assert "imported 4 embeddings" in said and "1 row could not be taken" in said


def test_ones_own_collection_restores_a_lost_library(
    server: StandinQdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word_embedder.install(tmp_path, monkeypatch)
    settings = load_settings(overrides={"embedder.name": "words", "store.name": "qdrant"})
    fill(settings.library)
    index(settings)
    before = contents(settings.library)
    with Library(settings.library) as library:
        lost = library.id
    shutil.rmtree(settings.library)
    said = vidrec("import", "qdrant:vidrec-words").stderr
    assert f"imported 20 embeddings of 5 videos from qdrant:vidrec-words: {OWN}" in said
    after = contents(settings.library)
    assert after[0] == before[0] and after[2] == before[2]  # fingerprints, clips' lengths
    vectors = [[one[:5] for one in found[7:]] for found in (before, after)]
    assert vectors[0] == vectors[1]
    with Library(settings.library) as library:
        assert library.id == lost
        assert library.is_embedded(f"{1:064x}", str(OWN), 10.0)
    points = server.engine.count("vidrec-words").count
    index(settings)
    assert server.engine.count("vidrec-words").count == points
    row = recommended("cat", "-e", "words", "-s", "qdrant", "--min-confidence", 0)[0]
    assert row["label"] in ("cat", None)


FILMS = [Indexed(f"{title}.mp4", 14.0, 1000 + n) for n, title in enumerate(TITLES)]


def test_an_index_of_twelve_labs_comes_in_for_nothing(
    labs: IndexStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs.indexes["65f0"] = [*FILMS[:3], Indexed("old forest.mp4", 14.0, 7, {"year": 1999})]
    said = vidrec("import", "twelvelabs:65f0").stderr
    assert "imported 32 embeddings of 4 videos" in said
    monkeypatch.setenv("VIDREC_MARENGO_MODEL", "marengo3.0")
    settings = load_settings(overrides={"embedder.name": "marengo"})
    prints = {str(f) for f in load_embedder(settings).fingerprints}
    with Library(load_settings().library) as library:
        assert {str(f) for f in library.fingerprints()} < prints
        video = next(v for v in library.videos() if v.filename == "old forest.mp4")
        found = library.video_embeddings(video.id, str(load_embedder(settings).fingerprint))
    assert [(e.scope, e.start_sec, e.end_sec) for e in found] == [
        ("clip", 0.0, 6.0), ("clip", 6.0, 12.0), ("clip", 12.0, 14.0), ("video", 0.0, 14.0),
    ]  # fmt: skip
    assert found[0].extra == {"year": 1999} and video.duration_sec == 14.0
    np.testing.assert_allclose(np.linalg.norm(found[0].vector), 1, atol=1e-6)
    vidrec("index", "--embedder", "marengo")
    assert recommended("sunny beach", "-e", "marengo", "-k", 1)[0]["filename"] == "sunny beach.mp4"
    assert not labs.tasks and not labs.assets


def test_a_video_that_is_known_is_that_video(labs: IndexStandIn, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v" / "film.mp4", seconds=4)
    other = write_video(tmp_path / "v" / "other.mp4", seconds=5)
    vidrec("embed", path)
    labs.indexes["1"] = [Indexed(p.name, 4.0, p.stat().st_size) for p in (path, other)]
    vidrec("import", "twelvelabs:1", "--files", tmp_path / "v")
    ids = {hash_file(path), hash_file(other)}
    with Library(load_settings().library) as library:
        assert {video.id for video in library.videos()} == ids
        assert {str(video.path) for video in library.videos()} == {str(path), str(other)}
    labs.indexes["2"] = [Indexed(path.name, 4.0, path.stat().st_size), Indexed("c.mp4", 9, 1)]
    vidrec("import", "twelvelabs:2")
    with Library(load_settings().library) as library:
        assert len({video.id for video in library.videos()} - ids) == 1


def test_a_large_index_comes_by_pages(labs: IndexStandIn) -> None:
    labs.indexes["1"] = [Indexed(f"{n}.mp4", 4.0) for n in range(120)]
    assert "of 120 videos" in vidrec("import", "twelvelabs:1").stderr
    assert len(labs.calls("GET", "/videos$")) == 3


def test_what_an_index_lacks_is_named(labs: IndexStandIn) -> None:
    faults = [Indexed(f"{fault}.mp4", 4, fault=fault) for fault in ("none", "gone", "short")]
    labs.indexes["1"] = [FILMS[0], *faults]
    said = vidrec("import", "twelvelabs:1", code=4).output
    assert "of 1 video " in said
    assert "has no embeddings of it" in said and "has not 512 numbers" in said
    assert "no index 2 under this key" in vidrec("import", "twelvelabs:2", code=2).output
    assert "takes the id" in vidrec("import", "twelvelabs:../x", code=2).output
    assert "no --as" in vidrec("import", "twelvelabs:1", "--as", "marengo", code=2).output
    labs.model = "marengo2.7"
    assert "was switched off" in vidrec("import", "twelvelabs:1", code=2).output
    labs.key = "another"
    assert "refuses the API key" in vidrec("import", "twelvelabs:1", code=1).output


def test_an_interrupted_import_can_be_run_again(labs: IndexStandIn) -> None:
    labs.indexes["1"] = FILMS
    labs.fault("drop", "/videos/", times=1)
    labs.fault("503", "/videos", times=1)
    vidrec("import", "twelvelabs:1")
    first = contents(load_settings().library)
    vidrec("import", "twelvelabs:1")
    assert contents(load_settings().library) == first
    assert json.loads(vidrec("list", "-f", "json").stdout)["videos"]


def test_an_export_is_of_what_is_searched(
    labs: IndexStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs.indexes["1"] = FILMS[:1]
    vidrec("import", "twelvelabs:1")
    monkeypatch.setenv("VIDREC_MARENGO_MODEL", "marengo3.0")
    for option in ("visual", "audio"):
        monkeypatch.setenv("VIDREC_MARENGO_OPTION", option)
        said = vidrec("export", tmp_path / f"{option}.jsonl", "-e", "marengo").stderr
        assert "not written, of the same embedder: marengo:marengo3.0:512:" in said
        row = json.loads((tmp_path / f"{option}.jsonl").read_text().splitlines()[0])
        assert row["options"]["option"] == option
