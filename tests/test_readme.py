"""The documents say what the program does: README, help and the example of a config file."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

from tests.clips import write_clips
from vidrec import cli
from vidrec.cli import app
from vidrec.config import Settings, load_settings
from vidrec.files import parsed_toml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "vidrec" / "GUIDE.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "config.example.toml").read_text(encoding="utf-8")
GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = {name: GROUP.get_command(None, name) for name in cli.COMMANDS}

# A shell block of the README runs as it stands if this comment is the line before it.
RUNS = "<!-- tests run this block -->"
BLOCK = re.compile(rf"({re.escape(RUNS)}\n)?```sh\n(.*?)```", re.DOTALL)


def options(command: Any) -> Iterator[Any]:
    for parameter in command.params:
        if parameter.param_type_name == "option":
            yield parameter


def shell_lines() -> Iterator[list[str]]:
    """The words of every `vidrec` command in the README's shell blocks."""
    for _, block in BLOCK.findall(README):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            starts = [at for at, word in enumerate(words) if word.split("/")[-1] == "vidrec"]
            for start in starts:
                stops = ("&&", "|", ">", ";", "2>")
                rest = words[start + 1 :]
                end = next((at for at, word in enumerate(rest) if word in stops), len(rest))
                yield rest[:end]


def test_every_command_is_in_the_readme_and_no_other() -> None:
    table = re.findall(r"^\| `vidrec ([\w-]+)", README, re.MULTILINE)
    assert sorted(table) == sorted(COMMANDS)
    named = {words[0] for words in shell_lines() if not words[0].startswith("-")}
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    command = COMMANDS[name]
    assert (command.help or "").splitlines()[0] == cli.COMMANDS[name]
    sentence, _, example = (command.help or "").partition("Example: ")
    assert sentence.strip()[:1].isupper() and "." in sentence, f"{name}: one sentence first"
    assert example.startswith(f"vidrec {name}"), f"{name}: help ends in an example"
    for option in options(command):
        assert option.help, f"{name} {option.opts[0]} has no help"
    words = shlex.split(example.splitlines()[0])
    assert flags(words[2:]) <= known_flags(command)


def flags(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}


def known_flags(command: Any) -> set[str]:
    known = {flag for option in options(command) for flag in (*option.opts, *option.secondary_opts)}
    return known | {"-h", "--help"}


def test_the_readmes_commands_have_only_options_that_exist() -> None:
    lines = list(shell_lines())
    assert len(lines) >= 5
    root = known_flags(typer.main.get_command(app))
    for words in lines:
        at = next((at for at, word in enumerate(words) if word in COMMANDS), len(words))
        known = known_flags(COMMANDS[words[at]]) if at < len(words) else set()
        assert flags(words[:at]) <= root, words
        assert flags(words[at + 1 :]) <= known, words


def test_options_that_the_text_names_exist() -> None:
    text = BLOCK.sub("", README) + GUIDE
    every = {flag for command in COMMANDS.values() for flag in known_flags(command)}
    every |= known_flags(typer.main.get_command(app))
    named = set(re.findall(r"`(--[a-z][a-z-]+)", text))
    assert named and named <= every


def test_files_that_the_readme_names_exist() -> None:
    """They are no links: a link to a file of the sources is broken on PyPI."""
    assert not re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    named = set(re.findall(r"`((?:vidrec|tests)/[\w/]+\.\w+|[\w.]+\.(?:toml|py)|LICENSE)`", README))
    assert "vidrec/GUIDE.md" in named
    for name in named - {"config.toml"}:
        assert (ROOT / name).exists(), name


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_blocks_run(tmp_path: Path) -> None:
    """In a home with a folder of videos, and with a clip in the working folder."""
    blocks = [block for marked, block in BLOCK.findall(README) if marked]
    assert blocks
    write_clips(tmp_path / "Videos", ["red", "blue", "green"])
    shutil.copy(next((tmp_path / "Videos").glob("*")), tmp_path / "clip.mp4")
    programs = tmp_path / "bin"
    programs.mkdir()
    vidrec = programs / "vidrec"
    vidrec.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m vidrec "$@"\n')
    vidrec.chmod(0o755)
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "VIDREC_EMBEDDER_MIN_CONFIDENCE": "0",  # there is no dog in these videos
    }
    for block in blocks:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block],
            cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=250, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_the_test_command_is_one_line() -> None:
    """`.ci/run` takes it from here."""
    found = [line for line in README.splitlines() if "'.[dev]'" in line]
    assert len(found) == 1 and "pytest" in found[0]


def sections(model: type[BaseModel]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield name, dict(kind.model_fields)


def uncommented() -> dict[str, Any]:
    return parsed_toml(re.sub(r"(?m)^# (?=[a-z_]+ = )", "", EXAMPLE))


def test_the_example_names_every_setting() -> None:
    example = uncommented()
    expected = {name: set(fields) for name, fields in sections(Settings)}
    found = {name: set(value) for name, value in example.items() if isinstance(value, dict)}
    assert found == expected
    top = {name for name, value in example.items() if not isinstance(value, dict)}
    assert top == set(Settings.model_fields) - set(expected)


def test_what_the_example_comments_out_is_valid_too(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(re.sub(r"(?m)^# (?=[a-z_]+ = )", "", EXAMPLE), encoding="utf-8")
    settings = load_settings(path)
    assert settings.qdrant.port == 6333


def test_the_examples_defaults_are_written_out() -> None:
    """Only what has no fixed default is commented out."""
    written = parsed_toml(EXAMPLE)
    for name, fields in sections(Settings):
        for key, field in fields.items():
            fixed = field.default_factory is None and field.default is not None
            assert (key in written.get(name, {})) == fixed, f"[{name}] {key}"
