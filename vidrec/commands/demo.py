"""demo: the main job on a library that makes itself."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vidrec.commands.options import command, named_config, option
from vidrec.display import Bar, count, note, show_command

if TYPE_CHECKING:
    from vidrec.config import Settings


@command()
def demo(
    settings: Settings,
    dest: Path | None = option(
        "Folder for the clips and their library.", show_default="in the cache"
    ),
) -> None:
    """Render a small library, embed it, and ask it three texts and a clip.

    Each command is printed before it runs, to be typed again. Example: vidrec demo
    """
    from vidrec.demo import prepare

    ready = prepare(settings, dest, Bar())
    kept = f", kept {ready.kept}" if ready.kept else ""
    note(f"rendered {count(ready.rendered, 'clip')}{kept} in {ready.clips}")
    for name, value in ready.environment.items():
        show_command(f"export {name}={shlex.quote(value)}")
        os.environ[name] = value
    config = named_config()
    root = ["--config", str(config)] if config else []
    for arguments in ready.commands:
        # What a terminal shows as a table would be JSON lines in a pipe.
        plain = [] if sys.stdout.isatty() else ["--format", "table"]
        _run([*root, *arguments, *plain])


def _run(arguments: list[str]) -> None:
    from vidrec.cli import app

    show_command(shlex.join(["vidrec", *arguments]))
    code = app(arguments, standalone_mode=False)
    if code:
        raise typer.Exit(code)
