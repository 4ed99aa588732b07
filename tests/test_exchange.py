"""Export and import: what leaves comes back, bit for bit; vectors made elsewhere are usable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import models
from typer.testing import CliRunner, Result

from tests import word_embedder
from tests.standin_qdrant import StandinQdrant
from tests.test_stores import unit
from vidrec.cli import app
from vidrec.config import load_settings
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.types import Embedding, Fingerprint, Video, VideoInfo

OWN = Fingerprint("words", "count", len(word_embedder.WORDS))


def vidrec(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def recommended(*arguments: object) -> list[dict[str, object]]:
    out = vidrec("recommend", *arguments, "--format", "json").stdout
    rows: list[dict[str, object]] = json.loads(out)["results"]
    return rows


def fill(folder: Path, fingerprint: Fingerprint = OWN, videos: int = 5) -> None:
    noise = np.random.default_rng(3)
    with Library(folder) as library:
        library.register(fingerprint)
        for number in range(videos):
            info = VideoInfo(0.1 * number + 7.3, 641, 361, 29.97, "h264", 90) if number else None
            video = Video(f"{number:064x}", f"film ñ {number}.mp4", Path(f"/films/{number}.mp4"),
                          f"s3://b/{number}" if number % 2 else None, 1000 + number,
                          "cat" if number else None, "g01", info)  # fmt: skip
            library.add_video(video)
            extra = {"year": 1999 + number, "ok": True, "note": None, "x": 0.1} if number else {}
            clips = [
                Embedding(video.id, str(fingerprint), "clip", i / 3, (i + 1) / 3,
                          unit(noise.standard_normal(fingerprint.dim)), extra)
                for i in range(3)
            ]  # fmt: skip
            whole = Embedding(video.id, str(fingerprint), "video", 0.0, 1.0, clips[0].vector)
            library.save_embeddings(video.id, [*clips, whole], 10.0)


def contents(folder: Path) -> list[object]:
    """Everything that an export must carry, with the bytes of the vectors."""
    with Library(folder) as library:
        found: list[object] = [library.fingerprints(), list(library.videos())]
        for fingerprint in library.fingerprints():
            found.append(library.clip_seconds(str(fingerprint)))
            for video in library.videos():
                for e in library.video_embeddings(video.id, str(fingerprint)):
                    found.append((e.point_id, e.scope, e.start_sec, e.end_sec, e.extra,
                                  e.vector.tobytes()))  # fmt: skip
    return found


@pytest.mark.parametrize("name", ["vectors.parquet", "vectors.jsonl"])
def test_a_round_trip_is_exact(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    fingerprint = Fingerprint("conse", "some:model", 512, {"frames": 8, "crop": "centre"})
    fill(tmp_path / "one", fingerprint)
    file = tmp_path / "out" / name
    said = vidrec("export", file, "--library", tmp_path / "one").stderr
    assert "20 embeddings of conse:some:model:512:" in said
    assert (
        "20 embeddings of 5 videos" in vidrec("import", file, "--library", tmp_path / "two").stderr
    )
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    vidrec("import", file, "--library", tmp_path / "two")  # the same again changes nothing
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert [path for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_vectors_made_elsewhere_can_be_asked_with(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((6, 16)) * 5
    lines = [
        {"embedding": list(vector), "path": f"/elsewhere/{n // 2}.mp4", "start_sec": 4.0 * (n % 2),
         "end_sec": 4.0 * (n % 2) + 4, "camera": "left" if n < 4 else "right", "tags": ["a"]}
        for n, vector in enumerate(vectors)
    ]  # fmt: skip
    file = tmp_path / "clip.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    vidrec("import", file, "--embedder", "theirs", "--model", "ViT-B-32")
    vidrec("index", "--embedder", "theirs")
    with Library(load_settings().library) as library:
        first = next(library.videos())
        assert first.filename == "0.mp4"
        assert [f.model for f in library.fingerprints()] == ["ViT-B-32"]
        found = library.video_embeddings(first.id, str(library.fingerprints()[0]))
    assert [e.scope for e in found] == ["clip", "clip", "video"]
    rows = recommended(f"id:{first.id}", "--embedder", "theirs")
    assert {row["filename"] for row in rows} == {"1.mp4", "2.mp4"}
    rows = recommended(f"id:{first.id}", "--embedder", "theirs", "--where", "camera=right")
    assert [row["filename"] for row in rows] == ["2.mp4"]
    said = vidrec("recommend", "a text", "--embedder", "theirs", code=1).output
    assert "theirs cannot embed text" in said


def test_a_whole_video_without_clips_is_found(tmp_path: Path) -> None:
    file = tmp_path / "whole.jsonl"
    file.write_text('{"id": 7, "vector": [1, 0]}\n\n{"id": 8, "vector": [0.6, 0.8]}\n')
    vidrec("import", file)
    vidrec("index", "--embedder", "imported")
    with Library(load_settings().library) as library:
        first, second = library.videos()
    rows = recommended(f"id:{first.id}", "--embedder", "imported")
    assert [(row["filename"], row["video_id"]) for row in rows] == [("8", second.id)]
    assert rows[0]["score"] == pytest.approx(0.6, abs=1e-6)


def test_a_qdrant_collection_comes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word_embedder.install(tmp_path, monkeypatch)
    library = load_settings().library
    fill(library)
    with StandinQdrant() as server:
        monkeypatch.setenv("VIDREC_QDRANT_URL", server.url)
        settings = load_settings(overrides={"embedder.name": "words", "store.name": "qdrant"})
        index(settings)
        # vidrec's own: the fingerprint is known here, so nothing is doubled
        before = contents(library)
        vidrec("import", "qdrant:vidrec-words")
        after = contents(library)
        assert after[2:] == before[2:]
        # somebody else's, into an empty library
        size = models.VectorParams(size=4, distance=models.Distance.COSINE)
        server.engine.create_collection("theirs", vectors_config=size)
        server.vectors["theirs"] = {str(n): [1.0, n, 0, 0] for n in range(1, 4)}
        server.engine.upsert("theirs", [
            models.PointStruct(id=n, vector=[1.0, n, 0, 0],
                               payload={"filename": f"{n}.mp4", "year": 1990 + n, "raw": [1]})
            for n in range(1, 4)
        ])  # fmt: skip
        other = tmp_path / "other"
        vidrec("import", "qdrant:theirs", "-e", "theirs", "--library", other)
        assert "no collection absent" in vidrec("import", "qdrant:absent", code=1).output
    with Library(other) as opened:
        assert [video.filename for video in opened.videos()] == ["1.mp4", "2.mp4", "3.mp4"]
        video = next(opened.videos())
        found = opened.video_embeddings(video.id, str(opened.fingerprints()[0]))
        assert found[0].extra == {"year": 1991, "raw": [1]}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'\n{"vector": [1, 2]}', "line 2 names no video"),
        ("a.jsonl", b'{"id": 1, "vector": []}\n{"id": 2}', "line 2 has no vector"),
        ("a.jsonl", b'{"id": 1, "vector": ["x"]}', "no list of numbers"),
        ("a.jsonl", b'{"id": 1, "vector": [0, 0]}', "line 1 has no direction"),
        ("a.jsonl", b'{"id": 1, "vector": [NaN, 0]}', "line 1 has no direction"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "start_sec": -2}', "is below zero. Received: -2"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "x": ' + b"9" * 5000 + b"}", "too many digits"),
        ("a.jsonl", b"[1]", "no JSON object"),
        ("a.jsonl", b"\xff\xfe", "is no JSON"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "duration_sec": "long"}', "line 1: duration_sec is"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "duration_sec": Infinity}', "is no number"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "size": 99999999999999999999}', "size is no number"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "width": [1]}', "width is no number"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "clip_seconds": "x"}', "clip_seconds is no number"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "label": ["x"]}', "label is no text"),
        ("a.jsonl", b'{"filename": "\\ud800", "vector": [1]}', "filename is no text"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "\\ud800": 1}', "a column is no text"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "embedder": "../up"}', "is a name of letters"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "start_sec": 5, "end_sec": 1}', "before it starts"),
        ("a.jsonl", b'{"id": 1, "vector": ' + b"[" * 50000 + b"]" * 50000 + b"}", "too deeply"),
        ("a.jsonl", b'{"id": 1, "vector": [1], "x": "' + b"y" * 70000 + b'"}', "70,000 letters"),
        ("a.parquet", b"junk", "no Parquet file"),
        ("a.csv", b"1,2", "none of .parquet"),
    ],
)
def test_what_cannot_be_understood_is_named(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert says in vidrec("import", tmp_path / name, code=2).output.replace("\n", " ")


def test_a_bad_row_never_ends_it(tmp_path: Path) -> None:
    good = [json.dumps({"id": n, "vector": [1.0, n]}) for n in range(20)]
    bad = ["{", "[1]", '{"id": 1}', '{"id": 1, "vector": [0, 0]}', '{"vector": [1, 2]}',
           '{"id": 1, "vector": [1, 2], "start_sec": 5, "end_sec": 1}', "\xff"]  # fmt: skip
    lines = [line for pair in zip(good, bad * 3, strict=False) for line in pair]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    said = vidrec("import", tmp_path / "a.jsonl", code=4).output
    assert "imported 20 embeddings of 20 videos" in said
    assert "20 rows could not be taken; the first: " in said and said.count("skipping") == 5
    assert "line 2 is no JSON" in said


@pytest.mark.parametrize("path", [None, "qdrant"])
def test_vectors_that_replace_others_are_indexed(
    tmp_path: Path, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path:
        pytest.importorskip("qdrant_edge")
        monkeypatch.setenv("VIDREC_STORE_NAME", "qdrant")
        monkeypatch.setenv("VIDREC_QDRANT_PATH", str(tmp_path / path))
    vectors = [{"a": [1, 0], "b": [0, 1], "c": [0.6, 0.8]}, {"a": [0, 1], "b": [1, 0]}]
    firsts = []
    for made in vectors:
        rows = [json.dumps({"id": name, "vector": vector}) for name, vector in made.items()]
        (tmp_path / "made.jsonl").write_text("\n".join(rows))
        vidrec("import", tmp_path / "made.jsonl")
        vidrec("index", "--embedder", "imported")
        asked = f"id:{hashlib.sha256(b'c').hexdigest()}"
        firsts.append(recommended(asked, "--embedder", "imported")[0]["filename"])
    assert firsts == ["b", "a"]


def test_nan_is_a_missing_value(tmp_path: Path) -> None:
    row = '{"id": 1, "vector": [1], "start_sec": NaN, "duration_sec": NaN, "year": NaN}'
    (tmp_path / "a.jsonl").write_text(row)
    vidrec("import", tmp_path / "a.jsonl")
    (listed,) = json.loads(vidrec("list", "--format", "json").stdout)["videos"]
    assert listed["duration_sec"] is None
    assert "name of letters" in vidrec("import", tmp_path / "a.jsonl", "-e", "a/b", code=2).output


def test_an_export_is_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "library", videos=3)
    videos = Library.videos

    def while_another_embeds(library: Library) -> Iterator[Video]:
        monkeypatch.setattr(Library, "videos", videos)
        fill(tmp_path / "library", videos=6)
        return videos(library)

    monkeypatch.setattr(Library, "videos", while_another_embeds)
    vidrec("export", tmp_path / "v.jsonl", "--embedder", "words")
    lines = (tmp_path / "v.jsonl").read_text().splitlines()
    assert len({json.loads(line)["video_id"] for line in lines}) == 3


def test_an_export_needs_a_file_name(tmp_path: Path) -> None:
    fill(tmp_path / "library")
    asked = ("export", "--embedder", "words", "--file-format")
    assert "is a folder" in vidrec(*asked, "jsonl", tmp_path, code=1).output
    assert "not one of 'parquet', 'jsonl'" in vidrec(*asked, "npy", tmp_path / "v", code=2).output


def test_there_may_be_nothing_to_export(tmp_path: Path) -> None:
    fill(load_settings().library)
    said = vidrec("export", tmp_path / "x.jsonl", code=1).output
    assert "no embeddings of conse (it holds: words:count:5:" in said
    vidrec("export", tmp_path / "x.jsonl", "--embedder", "words")
    assert (
        "cannot write"
        in vidrec("export", "/proc/none/x.jsonl", "--embedder", "words", code=1).output
    )
