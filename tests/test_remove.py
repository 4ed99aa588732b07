"""Forgetting videos: by name, by folder, or because their files are gone."""

import json
import shutil
from pathlib import Path

import pytest

from tests.clips import plain, write_clip
from tests.test_pipeline import vidrec
from vidrec.config import load_settings
from vidrec.library import Library
from vidrec.library.jobs import CatalogJobs, Job

COLOURS = {"a": "red", "b": "blue", "old/c": "white", "old/d": "green"}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for name, colour in COLOURS.items():
        write_clip(tmp_path / "films" / f"{name}.mp4", plain(colour), seconds=0.3)
    vidrec("embed", tmp_path / "films")
    return tmp_path / "films"


def names() -> set[str]:
    listed = json.loads(vidrec("list", "--format", "json").stdout)["videos"]
    return {row["filename"].removesuffix(".mp4") for row in listed}


def test_a_folder_is_removed_once_and_again(films: Path) -> None:
    assert "would remove 2 videos" in vidrec("remove", films / "old", "--dry-run").stderr
    assert names() == {"a", "b", "c", "d"}
    assert "removed 2 videos and 4 points" in vidrec("remove", films / "old").stderr
    assert names() == {"a", "b"}
    again = vidrec("remove", films / "old", f"id:{'f' * 64}").stderr
    assert "old is not in the library" in again and "removed 0 videos" in again
    assert "nothing to remove" in vidrec("remove", code=2).output
    bare = "abcdef12 is not in the library (an id is written id:abcdef12)"
    assert bare in vidrec("remove", "abcdef12").stderr
    assert bare in vidrec("tag", "abcdef12", "mood=dark", code=2).stderr
    assert "nothing else is indexed" in vidrec("recommend", *map(str, films.glob("*.mp4")),
                                               code=3).stderr  # fmt: skip
    assert (films / "old" / "c.mp4").exists()


def test_what_is_missing_is_forgotten(films: Path) -> None:
    (films / "a.mp4").unlink()
    shutil.copy(films / "b.mp4", films / "copy of b.mp4")
    vidrec("embed", films)
    (films / "b.mp4").unlink()  # its copy is there
    (films / "text.mp4").write_text("no video")
    vidrec("embed", films, code=4)
    (films / "text.mp4").unlink()
    assert "would remove 1 video" in vidrec("remove", "--missing", "--dry-run").stderr
    assert "removed 1 video and" in vidrec("remove", "--missing").stderr
    assert len(names()) == 3 and names() > {"c", "d"}
    assert json.loads(vidrec("status", "--format", "json").stdout)["failures"] == []


def test_what_may_come_back_or_was_paid_for_is_kept_without_yes(films: Path) -> None:
    shutil.rmtree(films / "old")  # or its disk is not mounted
    (films / "a.mp4").unlink()
    with Library(load_settings().library) as library:
        video = next(video for video in library.videos() if video.filename == "a.mp4")
        CatalogJobs(library).put(Job(video.id, "marengo:x:1:y", "done", "job1", minutes=1.0))
    said = vidrec("remove", "--missing").stderr
    assert "its embedding was paid for" in said and "old is gone, too" in said
    assert "removed 0 videos" in said
    assert names() == {"a", "b", "c", "d"}
    assert "removed 3 videos" in vidrec("remove", "--missing", "--yes").stderr
    assert names() == {"b"}
