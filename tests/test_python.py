"""The Python interface: what a notebook may write, and what is refused instead of misunderstood."""

from __future__ import annotations

import enum
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vidrec
from tests import word_embedder
from tests.clips import plain, write_clip
from tests.word_library import put, word_settings
from vidrec.api import Videos
from vidrec.config import Settings
from vidrec.errors import LibraryError, UsageError
from vidrec.ingest.index import index
from vidrec.ingest.options import EmbedOptions
from vidrec.library import Library
from vidrec.options import Asking, Embedding
from vidrec.search.session import Session


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Videos:
    word_embedder.install(tmp_path, monkeypatch, "colours", "tests.embedder_kinds:ColourEmbedder")
    write_clip(tmp_path / "clips" / "red.mp4", plain("red"), seconds=0.5)
    return vidrec.open(tmp_path / "library", embedder="colours")


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = word_settings(tmp_path, monkeypatch)
    with Library(settings.library) as library:
        put(library, "cat.mp4", ["red cat"], about={"label": "Cats"})
        put(library, "dog.mp4", ["dog"], about={"label": "Dogs"})
    index(settings)
    return settings


def test_a_dry_run_makes_no_library_and_no_index(colours: Videos, tmp_path: Path) -> None:
    report = colours.embed(tmp_path / "clips", dry_run=True)
    assert [Path(name).name for name, _ in report.todo] == ["red.mp4"]
    assert not (tmp_path / "library").exists()


def test_where_nothing_could_be_embedded_the_report_comes_all_the_same(
    colours: Videos, tmp_path: Path
) -> None:
    told: list[Any] = []
    report = colours.embed(tmp_path / "nothing.mp4", told=told.append)
    assert (report.failed, report.videos) == (1, 0)
    assert told[0]["error"] == "no such file or folder"


def test_without_sources_what_failed_is_tried_again(colours: Videos, tmp_path: Path) -> None:
    bad = tmp_path / "clips" / "bad.mp4"
    bad.write_bytes(b"no video")
    assert colours.embed(bad).failed == 1
    assert colours.embed().failed == 0
    write_clip(bad, plain("blue"), seconds=0.5)
    assert colours.embed(retry_failed=True).videos == 1


@pytest.mark.parametrize("source", [["a.mp4"], b"a.mp4", None, 3, (name for name in "ab")])
def test_what_is_no_source_is_refused(colours: Videos, source: Any) -> None:
    with pytest.raises(UsageError, match="a source is a str or a Path"):
        colours.embed(source)


@pytest.mark.parametrize(
    "option",
    [
        {"limit": 0}, {"limit": "2"}, {"max_minutes": -1}, {"workers": 0}, {"gpus": "1"},
        {"shard": (0, 4)}, {"shard": (5, 4)}, {"shard": "1/4"}, {"exclude": "*.part"},
        {"label_from": "name"}, {"engine": "spark"},
    ],
)  # fmt: skip
def test_an_option_of_another_kind_is_refused(colours: Videos, option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(UsageError, match=name):
        colours.embed("clips", **option)


@pytest.mark.parametrize(
    "option",
    [
        {"k": "3"}, {"k": 2.5}, {"k": None}, {"max_per": "label=2"}, {"max_per": {"label": 2}},
        {"history": "cat.mp4"}, {"diversity": "much"}, {"min_score": "0.2"},
        {"conditions": ("label=Cats",)}, {"conditions": vidrec.Condition("label", "=", "Cats")},
    ],
)  # fmt: skip
def test_a_question_of_another_kind_is_refused(words: Settings, option: dict[str, Any]) -> None:
    (name,) = option
    with Videos(words) as videos, pytest.raises(UsageError, match=name):
        videos.recommend("cat", **option)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("id", 3), ("name", Path("cat.mp4")), ("image", None), ("text", None), ("vector", None),
     ("vector", np.ones((1, 5))), ("vector", ["a"] * 5)],
)  # fmt: skip
def test_a_part_of_another_kind_is_refused(words: Settings, kind: Any, value: Any) -> None:
    with Videos(words) as videos, pytest.raises(UsageError):
        videos.recommend(vidrec.Part(kind, value))


class Label(str, enum.Enum):
    CATS = "Cats"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["Cats", "None"], ["cat.mp4"]), ({"Cats"}, ["cat.mp4"]), (Label.CATS, ["cat.mp4"]),
        (np.str_("Dogs"), ["dog.mp4"]), (np.array("Dogs"), ["dog.mp4"]),
    ],
)  # fmt: skip
def test_a_condition_takes_what_python_and_numpy_have(
    words: Settings, value: Any, found: list[str]
) -> None:
    condition = vidrec.Condition("label", "in", value)
    with Videos(words) as videos:
        rows = videos.recommend("cat", conditions=(condition,)).results
    assert [row.filename for row in rows] == found


def test_a_number_of_numpys_is_a_number() -> None:
    assert vidrec.Condition("year", ">", np.float32(1.5)) == vidrec.Condition("year", ">", 1.5)
    assert type(vidrec.Condition("year", "in", (np.int64(3),)).value[0]) is int


@pytest.mark.parametrize(("op", "value"), [("==", 1), ("like", "a"), ("=", {"a": 1}), ("=", b"a")])
def test_a_condition_that_could_never_be_met_is_refused(op: Any, value: Any) -> None:
    with pytest.raises(UsageError, match="Received"):
        vidrec.Condition("year", op, value)


def test_a_history_may_hold_paths(words: Settings) -> None:
    with Videos(words) as videos:
        (row,) = videos.recommend("cat", history=(Path("/films/cat.mp4"),)).results
    assert row.filename == "dog.mp4"


def test_type_checkers_know_every_option() -> None:
    assert list(Embedding.__annotations__) == [one.name for one in fields(EmbedOptions)]
    known = [one.name for one in fields(vidrec.Query)]
    assert list(Asking.__annotations__) == [n for n in known if n not in ("parts", "k")]


def test_a_closed_session_says_so(words: Settings) -> None:
    session = Session(words)
    session.close()
    session.close()
    with pytest.raises(LibraryError, match="was closed meanwhile: open it again"):
        session.recommend(vidrec.Query((vidrec.Part("text", "cat"),)))
