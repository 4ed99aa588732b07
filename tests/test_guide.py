"""The guide that comes with the package: whole, by parts, and for people as for pipes."""

import os
import pty
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from vidrec.cli import app
from vidrec.commands.guide import topics


def test_every_part_can_be_shown_alone() -> None:
    parts = topics()
    assert {"Asking", "Which store", "What it costs", "Changes"} <= parts.keys()
    whole = CliRunner().invoke(app, ["guide"]).stdout
    for heading, text in parts.items():
        alone = CliRunner().invoke(app, ["guide", heading.upper()])
        assert alone.exit_code == 0 and text in alone.stdout and text in whole


def test_a_part_that_is_not_there_is_named_with_its_like() -> None:
    said = CliRunner().invoke(app, ["guide", "askin gs"])
    assert said.exit_code == 2
    assert "did you mean Asking?" in said.stderr and "Traceback" not in said.output


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_a_terminal_shows_no_markdown() -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vidrec", "guide", "stor"],
        stdout=theirs, env={**os.environ, "COLUMNS": "60", "LINES": "40"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # how Linux says that the other side is closed
        pass
    assert process.wait() == 0
    lines = shown.decode().splitlines()
    assert any("Which store" in line for line in lines)
    assert not any(line.startswith(("##", "|---")) for line in lines)
