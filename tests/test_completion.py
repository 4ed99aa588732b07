"""What a shell completes: fast, offline, and never an error."""

from pathlib import Path

import pytest

from tests.test_pipeline import runner
from vidrec.cli import app
from vidrec.library import Library
from vidrec.types import Video


def completed(*words: str) -> list[str]:
    """What bash is offered for the last word."""
    environment = {
        "_VIDREC_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(["vidrec", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = runner.invoke(app, [], prog_name="vidrec", env=environment)
    assert done.exit_code == 0 and done.stderr == "", done.output
    return done.stdout.split()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    with Library(folder) as made:
        for number, label in enumerate(["Cats", "Dogs"]):
            made.add_video(Video(f"{number}a" * 32, f"{label.lower()}.mp4", label=label))
            made.set_fields([(f"{number}a" * 32, {"year": 2021})])
    for name in ("actions", "actions-2", "half"):
        (folder / "checkpoints" / name).mkdir(parents=True)
        if name != "half":
            (folder / "checkpoints" / name / "labels.json").touch()
    return folder


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["rec"], ["recommend"]),
        (["recommend", "--embedder", "c"], ["clip", "conse"]),
        (["index", "-s", ""], ["knn", "qdrant"]),
        (["train", "ds", "--recipe", ""], ["default", "reference"]),
        (["embed", "x", "--checkpoint", "act"], ["actions", "actions-2"]),
        (["label", "x", "--label", ""], ["Cats", "Dogs"]),
        (["list", "--where", "y"], ["year="]),
        (["list", "--where", "label=D"], ["label=Dogs"]),
        (["recommend", "ca"], ["cats.mp4"]),
        (["remove", "id:1"], ["id:1a1a1a1a1a1a"]),
        (["recommend", "x", "--scope", "b"], ["best"]),
    ],
)
def test_names_are_completed(library: Path, words: list[str], offered: list[str]) -> None:
    assert completed(*words) == offered


@pytest.mark.parametrize("words", [["recommend", "ca"], ["list", "--where", "label=C"]])
def test_nothing_is_completed_where_nothing_can_be_read(tmp_path: Path, words: list[str]) -> None:
    assert completed(*words) == []  # no library
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "catalog.sqlite3").write_text("no database")
    assert completed(*words) == []
    assert completed("--config", str(tmp_path / "absent.toml"), *words) == []
