"""The figures of quality that the documents state, on research clips that are not distributed.

Where ``../shared`` has them: 64 captioned clips, and labels of mood given by eye with the program
that scores against them.
"""

from __future__ import annotations

import csv
import importlib.util
import os
from pathlib import Path
from statistics import mean
from types import ModuleType

import pytest

from vidrec.config import Settings, load_settings
from vidrec.evaluate.evaluate import evaluate
from vidrec.ingest.embed import EmbedOptions, embed
from vidrec.ingest.index import index
from vidrec.progress import Silent
from vidrec.search.answers import Answer
from vidrec.search.query import Part, Query
from vidrec.search.session import Session

SHARED = Path(__file__).parents[2] / "shared"
CLIPS, MOOD = SHARED / "data" / "captioned", SHARED / "mood"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif("VIDREC_TEST_SLOW" not in os.environ, reason="VIDREC_TEST_SLOW is not set"),
    pytest.mark.skipif(not (CLIPS.is_dir() and MOOD.is_dir()), reason="no ../shared"),
]


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("captioned")
    settings = load_settings(overrides={"library": folder, "cache": folder / "cache"})
    embed(settings, [str(CLIPS)], EmbedOptions(), Silent())
    index(settings)
    return settings


@pytest.fixture
def scorer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", MOOD / "score.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_moods(captioned: Settings, scorer: ModuleType) -> None:
    rows = scorer.load("all", MOOD / "moods.csv")
    with (MOOD / "queries.csv").open(newline="", encoding="utf-8") as file:
        asked = [row for row in csv.DictReader(file) if int(row["relevant"]) >= 3]
    with Session(captioned) as session:
        answers = session.recommend_each(
            [Query((Part("text", row["query"]),), k=len(rows)) for row in asked]
        )
    precisions, averages, refused = [], [], 0
    for row, answer in zip(asked, answers, strict=True):
        assert isinstance(answer, Answer)
        order = [result.filename for result in answer.results]
        relevant = scorer.relevant(row["rule"], rows)
        precisions.append(scorer.patk(order, relevant, 5))
        averages.append(scorer.ap(order, relevant))
        refused += not answer.confident
    assert len(asked) == 41 and refused <= 1
    assert mean(averages) == pytest.approx(0.489, abs=0.002)
    assert mean(precisions) == pytest.approx(0.537, abs=0.005)


def test_captions(captioned: Settings) -> None:
    report = evaluate(captioned, captions=CLIPS / "captions.csv")
    assert report.text is not None
    found = {metric.name: metric.value for metric in report.text.metrics}
    assert found["R@1"] == pytest.approx(0.547, abs=0.001)
    assert found["R@10"] == pytest.approx(0.922, abs=0.001)
