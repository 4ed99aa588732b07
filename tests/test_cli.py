"""What every command does alike: errors, encodings, pipes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.clips import write_clips
from tests.test_pipeline import runner, vidrec
from vidrec.cli import COMMANDS, app
from vidrec.display import plain
from vidrec.library import Library
from vidrec.types import Video


def run(
    *arguments: object, stdout: int | IO[bytes] = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vidrec", *map(str, arguments)],
        stdout=stdout, stderr=subprocess.PIPE, check=False, timeout=60,
        env={**os.environ, **environment},
    )  # fmt: skip


def library(tmp_path: Path, *names: str) -> None:
    with Library(tmp_path / "library") as made:
        for number, name in enumerate(names):
            made.add_video(Video(f"{number:064x}", name, Path("/videos", name)))


@pytest.mark.parametrize(
    "words",
    [
        ["recommend", "--format", "json"],
        ["recommend", "dog", "--format=jsonl", "--nope"],
        ["list", "-f", "json", "too", "many"],
        ["evaluate", "--seed", "x", "--format", "json"],
    ],
)
def test_wrong_usage_is_json_too(words: list[str]) -> None:
    result = vidrec(*words, code=2)
    error = json.loads(result.stderr)
    assert (error["kind"], error["exit_code"]) == ("UsageError", 2)
    assert result.stdout == ""


def test_wrong_usage_is_told_to_people_as_before() -> None:
    assert "No such option" in vidrec("recommend", "dog", "--nope", code=2).stderr


def test_a_terminal_that_lacks_letters(tmp_path: Path) -> None:
    folder = write_clips(tmp_path / "clips")["rocket"].parent
    (folder / "rocket.mp4").rename(folder / "ракета.mp4")
    vidrec("embed", folder)
    vidrec("index")
    asked = ("recommend", "a rocket", "--format")
    table = run(*asked, "table", PYTHONIOENCODING="ascii")
    assert table.returncode == 0, table.stderr
    assert b"coffee.mp4" in table.stdout
    document = run(*asked, "json", PYTHONIOENCODING="ascii")
    rows = json.loads(document.stdout.decode("ascii"))["results"]
    assert rows[0]["filename"] == "ракета.mp4"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    library(tmp_path, "a.mp4")
    with Path("/dev/full").open("wb") as full:
        done = run("list", "--format", "json", stdout=full)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_has_enough_is_no_crash(tmp_path: Path) -> None:
    library(tmp_path, *(f"{number}.mp4" for number in range(2000)))
    command = f"{sys.executable} -m vidrec list --format json | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (b"{\n", b"")


def test_a_name_steers_no_terminal_and_breaks_no_line(tmp_path: Path) -> None:
    assert plain("a\x1b[2J\nb\u202egpj.é ねこ") == "a\\x1b[2J\\nb\\u202egpj.é ねこ"
    library(tmp_path, "red\x1b[31m.mp4")
    table = vidrec("list", "--format", "table").stdout
    assert "red\\x1b[31m.mp4" in table
    assert "\x1b" not in vidrec("embed", tmp_path / "\x1b[31m.mp4", code=4).stderr
    assert json.loads(vidrec("list", "--format", "json").stdout)["videos"][0]["filename"] == (
        "red\x1b[31m.mp4"
    )


def test_videos_are_removed_by_any_name_that_is_theirs_alone(tmp_path: Path) -> None:
    with Library(tmp_path / "library") as made:
        for number, (path, url) in enumerate(
            [("/v/1/a.mp4", None), ("/v/2/a.mp4", None), (None, "s3://b/c.mp4"), ("/v/d.mp4", None)]
        ):
            name = Path(path or url or "").name
            made.add_video(Video(f"{number:064x}", name, Path(path) if path else None, url))
    several = vidrec("remove", "/v/1/a.mp4", "a.mp4", code=2).stderr
    assert "2 videos of the library are named a.mp4" in several
    assert "a.mp4x is not in the library" in vidrec("remove", "a.mp4x").stderr
    names = ("/v/1/a.mp4", "s3://b/c.mp4", "d.mp4", f"id:{1:064x}")
    assert "removed 4 videos" in vidrec("remove", *names).stderr
    assert vidrec("list", "--format", "paths").stdout == ""


def test_an_imported_path_need_not_be_of_this_machine(tmp_path: Path) -> None:
    rows = [
        {"vector": [1, 0], "path": "clips/a.mp4"},
        {"vector": [0.9, 0.1], "path": "C:\\clips\\b.mp4"},
    ]
    (tmp_path / "made.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    vidrec("import", tmp_path / "made.jsonl")
    vidrec("index", "--embedder", "imported")
    listed = json.loads(vidrec("list", "--format", "json").stdout)["videos"]
    found = vidrec(
        "recommend", f"id:{listed[0]['video_id']}", "--embedder", "imported", "--format", "table"
    )
    assert ".mp4" in found.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_narrow_terminal_loses_no_column(tmp_path: Path) -> None:
    import pty

    library(tmp_path, "a.mp4")
    lead, follow = pty.openpty()
    with os.fdopen(follow, "wb") as terminal, os.fdopen(lead, "rb", buffering=0) as screen:
        done = run("list", stdout=terminal, COLUMNS="20", TERM="dumb", NO_COLOR="1")
        assert done.returncode == 0, done.stderr
        shown = screen.read(4000).decode()
    assert "a.mp4" in shown
    assert "embedders" in shown
    assert "\x1b[3" not in shown  # no colours


def test_the_version_and_no_command_at_all(tmp_path: Path) -> None:
    from vidrec import __version__

    assert vidrec("--version").stdout == f"vidrec {__version__}\n"
    assert "Missing command" in vidrec("--config", tmp_path / "absent.toml", code=2).stderr
    assert "recommend" in vidrec(code=2).output


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_is_plain_and_fits_sixty_columns(name: str) -> None:
    shown = runner.invoke(app, [*name.split(), "--help"], terminal_width=58).stdout
    assert max(map(len, shown.splitlines())) <= 60
    assert not re.search(r"<(bool|str|int|float|path|list)|│|\x1b", shown)
    assert "\nOutput\n" in shown


def test_help_lists_choices_and_defaults_in_groups() -> None:
    shown = vidrec("embed", "--help").stdout
    assert "--source auto|url|asset" in shown and "--engine local|ray" in shown
    assert "-e, --embedder NAME" in shown and "[default: conse]" in shown
    groups = re.findall(r"^(\w[\w ]+)\n", shown, re.MULTILINE)
    assert groups == ["Arguments", "Options", "Filters", "Cloud and cluster", "Common", "Output"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["recommend", "x", "--scope", "clps"], "did you mean clip?"),
        (["embed", "x", "--engine", "rya"], "did you mean ray?"),
        (["recomend"], "Did you mean 'recommend'"),
        (["status", "--format", "paths"], "is not one of 'auto', 'table', 'json', 'jsonl'"),
    ],
)
def test_a_typo_is_one_line_with_a_hint(words: list[str], hint: str) -> None:
    (line,) = vidrec(*words, code=2).stderr.splitlines()
    assert line.startswith("error: ") and hint in line and line.endswith(" --help`)")
