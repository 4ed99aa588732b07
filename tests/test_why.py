"""Why: the parts' gifts are the score, the moments are where the video is like the part."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.asking import ask
from tests.clips import plain, write_clip
from tests.word_embedder import WORDS
from tests.word_library import FINGERPRINT, put, word_settings
from vidrec.calibration import Calibration
from vidrec.cli import app
from vidrec.config import Settings, load_settings
from vidrec.embedders.conse import ConseEmbedder
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.models.conse import LABELS
from vidrec.search.answers import document


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = word_settings(tmp_path, monkeypatch)
    rng = random.Random(8)
    with Library(settings.library) as library:
        for number in range(25):
            clips = [" ".join(rng.choices(WORDS, k=rng.randint(1, 5))) for _ in range(4)]
            put(library, f"{number}.mp4", clips)
        put(library, "two.mp4", ["dog", "dog", "cat", "cat", "blue", "dog"])
    index(settings)
    return settings


ASKED: list[dict[str, Any]] = [
    {"like": ["red cat"]}, {"like": ["red", "2:dog"]}, {"like": ["2:dog"], "unlike": ["cat"]},
    {"like": ["red", "0.5:dog"], "unlike": ["cat", "3:blue"]}, {"like": ["3.mp4", "green"]},
    {"like": ["red", "dog"], "unlike": ["blue"], "clips": True},
]  # fmt: skip


@pytest.mark.parametrize("pool", ["mean", "max"])
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("calibrated", [False, True])
def test_what_the_parts_gave_is_the_score(
    words: Settings, asked: dict[str, Any], pool: str, calibrated: bool
) -> None:
    if calibrated:  # then scores of texts and videos are brought to one scale
        with Library(words.library) as library:
            library.set_calibration(str(FINGERPRINT), "text", Calibration(9.0, -2.0))
            library.set_calibration(str(FINGERPRINT), "video", Calibration(3.0, -1.0))
    answer = ask(words, [], pool=pool, why=True, k=30, **asked)
    assert len(answer.results) > 20 and answer.why is not None
    for row in answer.results:
        assert row.why is not None
        gave = [part["gave"] for part in row.why["parts"]]
        assert sum(gave) == pytest.approx(row.score, abs=1e-5)
        assert [part["part"] for part in row.why["parts"]] == [part["part"] for part in answer.why]
        for part, amount in zip(row.why["parts"], gave, strict=True):
            assert amount == 0 or (amount > 0) == (part["weight"] * part["score"] > 0) or calibrated


def test_moments_are_where_the_video_is_like_the_part(words: Settings) -> None:
    answer = ask(words, [], like=["dog", "cat"], unlike=["blue"], why=True, k=60)
    (row,) = [row for row in answer.results if row.filename == "two.mp4"]
    assert row.why is not None
    spans = [[tuple(moment.values()) for moment in part["moments"]] for part in row.why["parts"]]
    assert spans == [
        [(0.0, 20.0, 1.0), (50.0, 60.0, 1.0)], [(20.0, 40.0, 1.0)], [(40.0, 50.0, 1.0)],
    ]  # fmt: skip


def test_nothing_is_told_that_was_not_asked_for(words: Settings) -> None:
    plain = document(ask(words, ["red"]))
    assert "why" not in plain and all("why" not in row for row in plain["results"])
    told = document(ask(words, ["red"], why=True))
    assert told["why"] == [
        {"part": "red", "kind": "text", "weight": 1.0, "understood": 1.0, "near": [], "tone": ""}
    ]
    for row in told["results"]:  # this embedder has no words, and does not say what is where
        why = row.pop("why")
        assert (why["seen"], why["tone"], why["parts"][0]["of"]) == ([], "", {})
    del told["why"]
    assert told == plain


def test_the_default_embedder_says_what_it_understood_and_saw(tmp_path: Path) -> None:
    write_clip(tmp_path / "clips" / "night.mp4", plain("#040618"))
    write_clip(tmp_path / "clips" / "day.mp4", plain("#f0ecdc"))
    done = CliRunner().invoke(app, ["embed", str(tmp_path / "clips")])
    assert done.exit_code == 0, done.output
    command = ["recommend", "a dark night", "--why", "--min-confidence", "0", "--format"]
    done = CliRunner().invoke(app, [*command, "json"])
    answer = json.loads(done.stdout)
    labels = set(LABELS.read_text().splitlines())
    (part,) = answer["why"]
    assert len(labels) == 998 and {near["word"] for near in part["near"]} <= labels
    assert part["tone"].startswith("dark") and part["understood"] > 0.5
    best, other = answer["results"]
    assert best["filename"] == "night.mp4" and "dark" in best["why"]["tone"]
    assert "bright" in other["why"]["tone"]
    for row in answer["results"]:
        assert len(row["why"]["seen"]) == 5
        (given,) = row["why"]["parts"]
        assert sum(given["of"].values()) == pytest.approx(row["score"], abs=1e-5)
    assert best["why"]["parts"][0]["of"]["tone"] > 0 > other["why"]["parts"][0]["of"]["tone"]
    shown = CliRunner().invoke(app, [*command, "table"])
    assert "seen: dark" in shown.stdout and "why: a dark night: near" in shown.stderr


def test_a_label_lies_nearest_to_its_own_name() -> None:
    embedder = ConseEmbedder(load_settings())
    names = ["goldfish", "volcano", "fire truck", "acorn"]
    found = embedder.words(embedder.embed_texts(names), 1)
    assert [word for ((word, _),) in found] == names
