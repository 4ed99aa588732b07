"""Names that no file has, or that cannot be written down, end in one line and never in a crash."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.clips import plain, write_clip, write_clips
from tests.test_pipeline import vidrec
from vidrec.cli import app
from vidrec.config import load_settings
from vidrec.errors import ConfigError
from vidrec.files import exists, expanded, is_file, is_folder, is_text, writing
from vidrec.library import Library

TOO_LONG = "x" * 400


@pytest.mark.parametrize("name", [TOO_LONG, f"{TOO_LONG}/a.mp4", "~nobody-has-this-home/a", "a\0b"])
def test_no_name_raises(name: str) -> None:
    path = expanded(name)
    assert str(path) == name
    assert not exists(path)
    assert not is_file(path)
    assert not is_folder(path)


def test_a_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a.mp4") == tmp_path / "a.mp4"


@pytest.mark.parametrize(
    ("name", "problem"),
    [(f"{TOO_LONG}.mp4", "File name too long"), ("~nobody-has-this-home/a.mp4", "no such file")],
)
@pytest.mark.parametrize("command", [["embed"], ["embed", "--dry-run"]])
def test_an_impossible_name_is_skipped(command: list[str], name: str, problem: str) -> None:
    result = vidrec(*command, name, code=0 if "--dry-run" in command else 4)
    assert problem in result.stderr


def test_an_empty_name_is_not_this_folder() -> None:
    assert "empty name" in vidrec("embed", "", code=2).stderr


@pytest.mark.parametrize("text", [TOO_LONG, "~nobody-has-this-home and dogs", "AC/DC on a stage"])
def test_a_text_may_look_odd(tmp_path: Path, text: str) -> None:
    vidrec("embed", write_clips(tmp_path / "clips")["rocket"])
    vidrec("index")
    assert "rocket.mp4" in vidrec("recommend", text, "--min-confidence", 0).stdout


def test_a_table_may_come_on_stdin(tmp_path: Path) -> None:
    clip = write_clips(tmp_path, ["red"])["red"]
    vidrec("embed", clip)
    rows = f"file;year\n{clip};2001\n"
    done = CliRunner().invoke(app, ["tag", "--from", "-"], input=rows)
    assert done.exit_code == 0 and "set 1 value of 1 video" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips")
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "clips") + b"/caf\xe9.mp4"))
    clips["coffee"].rename(odd)
    assert not is_text(odd)
    result = vidrec("embed", odd.parent, code=4)
    assert "its name is not UTF-8: rename it" in result.stderr
    assert "embedded 3 videos" in result.stderr
    vidrec("embed", "--retry-failed")  # it was not noted as one to try again
    vidrec("index")
    assert "not UTF-8" in vidrec("recommend", "caf\udce9", code=2).stderr


@pytest.mark.skipif(os.name == "nt", reason="nobody asks there whether a process lives")
def test_what_a_killed_process_of_this_machine_began_is_dropped_at_once(tmp_path: Path) -> None:
    target = tmp_path / "v.jsonl"
    script = "import os, sys; from pathlib import Path; from vidrec.files import writing\n"
    script += "with writing(Path(sys.argv[1])) as draft: draft.touch(); os._exit(1)"
    subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert len([*tmp_path.iterdir()]) == 1
    with writing(target) as draft:
        draft.touch()
        beside = draft.with_name(draft.name.replace(str(threading.get_ident()), "1"))
        beside.touch()  # another thread's
    assert sorted(tmp_path.iterdir()) == sorted([target, beside])


@pytest.mark.parametrize("letter", ["x", "é", "漢"])
def test_a_draft_of_the_longest_name_has_none_too_long(tmp_path: Path, letter: str) -> None:
    target = tmp_path / f"{letter * (249 // len(letter.encode()))}.jsonl"
    with writing(target) as draft:
        draft.touch()
    assert [*tmp_path.iterdir()] == [target]


def test_what_a_killed_process_began_is_dropped_after_a_day(tmp_path: Path) -> None:
    target, old = tmp_path / "v.jsonl", tmp_path / ".v.1.2.partial.jsonl"
    young, other = tmp_path / ".v.3.4.partial.jsonl", tmp_path / ".w.1.2.partial.jsonl"
    for path in (old, young, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    with writing(target) as draft:
        draft.write_text("new")
    assert target.read_text() == "new"
    assert sorted(tmp_path.iterdir()) == sorted([target, young, other])


@pytest.mark.parametrize(
    "words",
    [
        ["remove", ""], ["remove", "a.mp4", ""], ["embed", ""], ["upload", "", "--bucket", "b"],
        ["list", "--library", ""], ["status", "--library="], ["train", ""], ["export", ""],
        ["recommend", "red", "--save-clips", ""], ["embed", ".", "--log-file", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_name_is_not_the_working_folder(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a variable of the shell that is not set: `vidrec remove "$OLD"` forgot all of it."""
    write_clip(tmp_path / "v" / "a.mp4", plain("red"), seconds=0.4)
    vidrec("embed", tmp_path / "v")
    monkeypatch.chdir(tmp_path / "v")
    said = vidrec(*words, code=2).stderr
    assert "is a variable of the shell not set?" in said
    with Library(tmp_path / "library", create=False) as library:
        assert [video.filename for video in library.videos()] == ["a.mp4"]
    assert [path.name for path in Path().iterdir()] == ["a.mp4"]


def test_an_empty_setting_is_not_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIDREC_LIBRARY")
    (tmp_path / "c.toml").write_text("library = ''\n")
    for arguments in ({"explicit": tmp_path / "c.toml"}, {"overrides": {"library": ""}}):
        with pytest.raises(ConfigError, match=r"library.*an empty path is no folder"):
            load_settings(**arguments)
