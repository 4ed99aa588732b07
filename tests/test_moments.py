"""Moments: neighbouring clips that match are one result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.asking import ask
from tests.word_library import put, word_settings
from vidrec.config import Settings
from vidrec.ingest.index import index
from vidrec.library import Library


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = word_settings(tmp_path, monkeypatch)
    with Library(settings.library) as library:
        put(library, "film.mp4", ["cat", "dog", "dog dog", "dog", "cat", "cat", "dog cat", "red"])
        put(library, "other.mp4", ["red dog", "dog", "blue"])
    index(settings)
    return settings


def spans(settings: Settings, word: str, **options: object) -> list[tuple[str, float, float]]:
    rows = ask(settings, [word], clips=True, **options).results
    return [(row.filename, row.start_sec, row.end_sec) for row in rows]


def test_neighbours_that_match_are_one_moment(words: Settings) -> None:
    found = spans(words, "dog", k=3)
    assert set(found[:2]) == {("film.mp4", 10, 40), ("other.mp4", 10, 20)}
    assert found[2] in {("film.mp4", 60, 70), ("other.mp4", 0, 10)}  # 0.71 of the best is another
    assert set(spans(words, "cat", k=2)) == {("film.mp4", 40, 60), ("film.mp4", 0, 10)}


def test_moments_of_a_longer_list_begin_with_the_shorter(words: Settings) -> None:
    longest = spans(words, "dog cat", k=30)
    assert len(longest) == len(set(longest))
    for k in range(1, len(longest)):
        assert spans(words, "dog cat", k=k) == longest[:k]
    for one, other in ((a, b) for a in longest for b in longest if a != b and a[0] == b[0]):
        assert one[2] <= other[1] or other[2] <= one[1]  # none overlaps another


def test_what_fits_badly_is_not_merged(words: Settings) -> None:
    assert all(end - start == 10 for _, start, end in spans(words, "green", k=20))
