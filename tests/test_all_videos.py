"""The neighbours of all videos are what asking with each gives, ties and copies included."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.asking import ask
from tests.word_embedder import WORDS
from tests.word_library import put, word_settings
from vidrec.cli import app
from vidrec.config import Settings
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.search import everything


@pytest.fixture(params=[1, 3])
def words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Settings:
    """Seventy videos of up to so many clips; tiles and blocks are small."""
    settings = word_settings(tmp_path, monkeypatch)
    monkeypatch.setenv("VIDREC_LIBRARY", str(settings.library))
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "words")
    for name, value in {"ROWS": 16, "COLUMNS": 24, "SPARE": 2}.items():
        monkeypatch.setattr(everything, name, value)
    rng = random.Random(request.param)
    with Library(settings.library) as library:
        library._db.execute("PRAGMA synchronous = OFF")
        for number in range(70):
            clips = [
                " ".join(rng.choices(WORDS, k=rng.randint(1, 30)))
                for _ in range(rng.randint(1, request.param))
            ]
            put(library, f"{number}.mp4", clips)
            if number % 20 == 0:
                put(library, f"{number} copy.mp4", clips)
    index(settings)
    return settings


@pytest.mark.parametrize("scope", ["clip", "video"])
def test_each_row_is_what_asking_gives(words: Settings, tmp_path: Path, scope: str) -> None:
    for k in (1, 7, 100):
        target = tmp_path / "near.jsonl"
        done = CliRunner().invoke(
            app, ["recommend", "--all-videos", str(target), "-k", str(k), "--scope", scope]
        )
        assert done.exit_code == 0, done.output
        rows = [json.loads(line) for line in target.read_text().splitlines()]
        assert len(rows) == 74
        for row in rows[::3] if k == 7 else rows[:5]:
            other = ask(words, [], like=[f"id:{row['video_id']}"], k=k, scope=scope).results
            assert [
                (r["video_id"], r["score"], r["start_sec"], r["end_sec"]) for r in row["results"]
            ] == [(r.video_id, r.score, r.start_sec, r.end_sec) for r in other]


def test_a_parquet_table_says_the_same(words: Settings, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    for name in ("near.parquet", "near.jsonl"):
        done = CliRunner().invoke(
            app, ["recommend", "--all-videos", str(tmp_path / name), "-k", "3"]
        )
        assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "near.jsonl").read_text().splitlines()]
    flat = [
        (line["video_id"], r["video_id"], r["score"]) for line in lines for r in line["results"]
    ]
    table = pq.read_table(tmp_path / "near.parquet").to_pydict()
    assert flat == list(zip(table["video_id"], table["neighbour_id"], table["score"], strict=True))
    wrong = CliRunner().invoke(app, ["recommend", "--all-videos", "near.csv"])
    assert wrong.exit_code == 2
