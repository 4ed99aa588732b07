"""Words of the command line become the parts of a query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.word_library import put, word_settings
from vidrec.api import Videos
from vidrec.errors import UsageError
from vidrec.library import Library
from vidrec.search.query import Part, Query, parse_parts


def text(value: str, weight: float = 1.0) -> Part:
    return Part("text", value, weight)


@pytest.mark.parametrize(
    "words",
    [
        ["sci-fi - dark"], ["sci-fi", "-", "dark"], ["AC/DC"], ["AC/DC on stage"], ["2:dog"],
        ["cat + dog"], ["3:10 to Yuma"], ["2001: A Space Odyssey - remake"], ["3:10 - yuma"],
        ["dog -cat"], ["C++ - a tour"], ["a 2:1 ratio + more"], ["and/or"],
    ],
)  # fmt: skip
def test_what_may_be_a_text_is_one(words: list[str]) -> None:
    assert parse_parts(words) == (text(" ".join(words)),)


def test_a_sum_has_signs_between_spaces_and_a_weight() -> None:
    assert parse_parts(["2:dog - cat + beach"]) == (text("dog", 2), text("cat", -1), text("beach"))
    assert parse_parts(["a dog + 0.5:the sea"]) == (text("a dog"), text("the sea", 0.5))
    assert parse_parts(["night", "2:dog - cat"]) == (text("night"), text("dog", 2), text("cat", -1))


def test_likes_and_dislikes_may_have_weights(tmp_path: Path) -> None:
    clip = tmp_path / "2:a clip.mp4"
    clip.write_bytes(b"")
    parts = parse_parts(
        ["3:sci-fi dark tone"], like=["2:a city at night", "id:ab"], unlike=["comedy", str(clip)]
    )
    assert parts == (
        text("sci-fi dark tone", 3), text("a city at night", 2), Part("id", "ab"),
        text("comedy", -1), Part("video", str(clip), -1),
    )  # fmt: skip
    assert str(Query(parts[:4])) == "3:sci-fi dark tone + 2:a city at night + ab - comedy"


def test_a_name_that_is_no_file_may_be_the_librarys() -> None:
    assert parse_parts(["dune.mp4"]) == (Part("name", "dune.mp4"),)


@pytest.mark.parametrize("words", [["no/such/thing"], ["./here"], ["/absent"], [""], []])
def test_what_can_only_be_a_path_must_exist(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_parts(words)


def test_a_folder_makes_a_slash_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_parts(["AC/DC"]) == (text("AC/DC"),)
    (tmp_path / "AC").mkdir()
    with pytest.raises(UsageError, match="does not exist"):
        parse_parts(["AC/DC"])


@pytest.mark.parametrize(
    "part",
    [("text", ""), ("text", " \n"), ("text", "caf\udce9"), ("text", 5), ("song", "a"),
     ("text", "a", 100), ("text", "a", float("nan"))],
)  # fmt: skip
def test_a_part_that_cannot_be_meant_is_refused(part: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError):
        Part(*part)


def test_one_dislike_is_not_its_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = word_settings(tmp_path, monkeypatch)
    with Library(settings.library) as library:
        for name in ("red dog", "blue dog", "cat"):
            put(library, f"{name}.mp4", [name])
    with Videos(settings) as videos:
        videos.index()
        for unlike in ("red", ["red"], Part("text", "red")):
            answer = videos.recommend("dog", unlike=unlike, min_confidence=0)
            assert answer.query == "dog - red"
            assert answer.results[0].filename == "blue dog.mp4"
