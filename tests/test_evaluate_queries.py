"""Evaluate with queries that several videos fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.test_evaluate import add, captions_file, settings, values  # noqa: F401
from vidrec.cli import app
from vidrec.config import Settings
from vidrec.errors import BelowMinimum, UsageError
from vidrec.evaluate.evaluate import evaluate
from vidrec.evaluate.metrics import chance_average_precision, relevant_quality
from vidrec.evaluate.quality import check_minimums, parse_minimums

HEADER = "query,file"


def four(settings: Settings) -> None:  # noqa: F811
    add(settings, "1.mp4", "red", "cat")
    add(settings, "2.mp4", "red red green")
    add(settings, "3.mp4", "red green green")
    add(settings, "4.mp4", "blue")


def test_queries_by_hand(settings: Settings, tmp_path: Path) -> None:  # noqa: F811
    four(settings)
    # Red ranks 1 2 3, and 1 has a second clip, which counts no more; cat ranks 1 and then ties.
    rows = ["red,1.mp4", "red,3.mp4", "cat,1.mp4"]
    report = evaluate(settings, queries=captions_file(tmp_path, *rows, header=HEADER))
    assert report.queries is not None and report.text is None and report.neighbours is None
    red, cat = report.queries.queries
    assert (red.query, red.relevant, red.chance) == ("red", 2, 0.5)
    assert red.average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert (red.precision_5, red.score) == (pytest.approx(2 / 4), pytest.approx(1))
    assert (cat.relevant, cat.average_precision) == (1, 1)
    assert report.queries.videos == 4
    assert values(report.metrics) == pytest.approx({"AP": (5 / 6 + 1) / 2, "P@5": 0.375})
    for metric in report.metrics:
        assert metric.low <= metric.value <= metric.high


def test_rows_that_fit_nothing_are_named(settings: Settings, tmp_path: Path) -> None:  # noqa: F811
    four(settings)
    path = captions_file(tmp_path, "red,1.mp4", "red,absent.mp4", ",2.mp4", header=HEADER)
    report = evaluate(settings, queries=path)
    assert report.queries is not None
    assert [row.reason for row in report.queries.skipped] == [
        "no such video in the library", "no text",
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"no row of .* could be used"):
        evaluate(settings, queries=captions_file(tmp_path, "red,absent.mp4", header=HEADER))
    with pytest.raises(UsageError, match="needs one column 'query'"):
        evaluate(settings, queries=captions_file(tmp_path, "1.mp4,red"))


def test_chance_and_order_of_equals() -> None:
    """All vectors alike: rows decide, and over many draws AP is what chance says."""
    random = np.random.default_rng(3)
    vectors = np.tile(np.float32([1, 0]), (6, 1))
    relevant = np.array([random.permutation([1, 1, 0, 0, 0, 0]) for _ in range(4000)], bool)
    asked = np.tile(np.float32([0.6, 0.8]), (4000, 1))
    quality, _ = relevant_quality(asked, relevant, vectors, np.arange(6))
    assert quality.average_precision.mean() == pytest.approx(
        chance_average_precision(quality), abs=0.01
    )
    relevant = np.array([[1, 0, 0, 0, 0, 1]], bool)
    first, _ = relevant_quality(asked[:1], relevant, vectors, np.arange(6))
    assert first.average_precision[0] == pytest.approx((1 + 2 / 6) / 2)


def test_the_command_tells_each_query(settings: Settings, tmp_path: Path) -> None:  # noqa: F811
    four(settings)
    path = captions_file(tmp_path, "red,1.mp4", "red,2.mp4", "blue,4.mp4", header=HEADER)
    shared = ["evaluate", "--queries", str(path), "--library", str(settings.library), "-e", "words"]
    table = CliRunner().invoke(app, [*shared, "--format", "table"])
    assert table.exit_code == 0, table.output
    assert "2 queries, 4 videos by clip" in table.output and "blue" in table.output
    told = json.loads(CliRunner().invoke(app, [*shared, "--format", "json"]).output)
    assert [query["query"] for query in told["queries"]["queries"]] == ["red", "blue"]
    done = CliRunner().invoke(app, [*shared, "--min", "P@5=0.9"])
    assert done.exit_code == 1 and "P@5 is 0.375, below the 0.9" in done.output
    report = evaluate(settings, queries=path)
    check_minimums(report, parse_minimums(["AP=0.9"]))
    with pytest.raises(BelowMinimum, match="it needs --captions"):
        check_minimums(report, parse_minimums(["R@1=0.1"]))
