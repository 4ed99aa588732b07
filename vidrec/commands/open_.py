"""Play a result."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import typer
from typer import Argument

from vidrec.commands.options import command, flag, option
from vidrec.display import moment, note
from vidrec.errors import UsageError

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.types import Recommendation

# Players that can begin at a moment; the first that is installed plays.
PLAYERS = {
    "mpv": ["--start={}"], "vlc": ["--start-time={}"], "mplayer": ["-ss", "{}"],
    "ffplay": ["-ss", "{}"],
}  # fmt: skip


@command("library")
def open_(
    settings: Settings,
    number: int = Argument(1, min=1, help="Number of a result of the last answer."),
    player: str | None = option(
        "Player to use: mpv, vlc, mplayer, ffplay or another.", show_default="the first installed"
    ),
    dry_run: bool = flag("Show the command, and play nothing.", "--dry-run"),
) -> None:
    """Play a result of the last answer at its moment.

    Example: vidrec open 2
    """
    from vidrec.search.last import last_result

    result = last_result(settings.library, number)
    command, starts = command_for(_place(settings, result), result.start_sec, player)
    if dry_run:
        import shlex

        print(shlex.join(command))
        return
    if not starts and result.start_sec:
        note(f"this player begins at the start: the moment is at {moment(result.start_sec)}")
    if command[0] == "startfile":
        os.startfile(command[1])  # type: ignore[attr-defined,unused-ignore]
        return
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise typer.Exit(1)


def command_for(place: str, start_sec: float, player: str | None) -> tuple[list[str], bool]:
    """Return the command that plays a file or URL, and whether it begins at the moment.

    Raises:
        UsageError: there is no player.
    """
    names = [player] if player else list(PLAYERS)
    for name in names:
        found = shutil.which(name)
        if found is None:
            continue
        begin = PLAYERS.get(os.path.basename(name).removesuffix(".exe"), [])  # noqa: PTH119
        return [found, *(word.format(f"{start_sec:.2f}") for word in begin), place], bool(begin)
    if player:
        raise UsageError(f"no player {player} is installed")
    if sys.platform == "win32":
        return ["startfile", place], False
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    if (found := shutil.which(opener)) is None:
        raise UsageError(f"no player is installed: install {', '.join(PLAYERS)}, or name --player")
    return [found, place], False


def _place(settings: Settings, result: Recommendation) -> str:
    from pathlib import Path

    if result.path and Path(result.path).is_file():
        return result.path
    if result.url is None:
        raise UsageError(f"the file of {result.filename} is gone, and it has no URL")
    if result.url.startswith(("https://", "http://")):
        return result.url
    if not result.url.startswith("s3://"):  # an imported row's; a player may see an option in it
        raise UsageError(f"{result.filename} lies at no address that can be played: {result.url}")
    from vidrec.storage.s3 import S3Storage

    return S3Storage(settings.s3, settings.cache).presign(result.url, 3600)
