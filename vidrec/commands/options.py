"""Options that several commands share, and the settings that they make."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

from typer import Option

from vidrec.commands import completion
from vidrec.display import Format, note
from vidrec.errors import UsageError

if TYPE_CHECKING:
    from vidrec.config import Settings

_config: Path | None = None
_told = False

Library = Annotated[Path | None, Option("--library", help="Library folder.")]
EmbedderName = Annotated[
    str | None,
    Option(
        "--embedder",
        "-e",
        help="Embedder to use.",
        metavar="NAME",
        show_default="conse",
        autocompletion=completion.embedders,
    ),
]
CheckpointFolder = Annotated[
    Path | None,
    Option(
        "--checkpoint",
        metavar="NAME",
        help="Use the embedder resnet with this trained network: a name in the library, or a "
        "folder.",
        show_default="the newest in the library",
        autocompletion=completion.checkpoints,
    ),
]
StoreName = Annotated[
    str | None,
    Option(
        "--store", "-s", help="Store to use.", metavar="NAME", show_default="knn",
        autocompletion=completion.stores,
    ),
]  # fmt: skip
Where = Annotated[
    list[str] | None,
    Option(
        help='Only videos that meet a condition, as label=Cats, "duration_sec >= 60", "year in '
        '2006,2007", "filename ~ *.mkv", "added > 2026-11-01", tone=dark, "tone.light < 0.3" (of '
        "conse; 0 to 1, 0.5 is usual); may be repeated.",
        metavar="CONDITION",
        autocompletion=completion.conditions,
    ),
]
AllowPaid = Annotated[bool, Option("--allow-paid", help="Pay without asking (marengo).")]
_FORMAT = Option(
    "--format", "-f", help="auto: a table on a terminal, JSON lines in a pipe.", show_default=False
)
OutputFormat = Annotated[Format, _FORMAT]
ReportFormat = Annotated[Literal["auto", "table", "json", "jsonl"], _FORMAT]


def option(help: str, *names: str, default: Any = None, **more: Any) -> Any:
    """Return a command's own option; without names it is called as its parameter is."""
    return Option(default, *names, help=help, **more)


def flag(help: str, *names: str) -> Any:
    """Return the option of a switch that is off by default and has no ``--no-`` form."""
    return Option(False, *names, help=help)


def use_config(path: Path | None) -> None:
    """Remember the config file that the command line names."""
    global _config
    _config = path


def named_config() -> Path | None:
    """Return the config file that the command line names, if any."""
    return _config


def settings_for(**flags: Any) -> Settings:
    """Settings with the flags that were given; ``section__key`` names a section's key."""
    from vidrec.config import load_settings
    from vidrec.media import limits

    _tell_of_file()
    if flags.get("resnet__checkpoint") is not None:
        if flags["embedder__name"] not in (None, "resnet"):
            raise UsageError(
                "--checkpoint is a network of the embedder resnet. Received: --embedder "
                f"{flags['embedder__name']}"
            )
        flags["embedder__name"] = "resnet"
    settings = load_settings(_config, {name.replace("__", "."): v for name, v in flags.items()})
    limits.use(settings.media)
    if settings.embedder.name == "resnet" and "embedder__name" in flags:
        from vidrec.embedders.resnet import chosen_checkpoint

        if remark := chosen_checkpoint(settings)[1]:
            note(f"note: {remark}")
    if not gc.isenabled():  # since main(); what was imported stays, so never look through it
        gc.freeze()
        gc.enable()
    return settings


def config_in_use() -> Path | None:
    """Return the config file that the settings were read from, if any."""
    from vidrec.origins import config_file

    return config_file(_config)


def _tell_of_file() -> None:
    """Say once that settings come from the working folder: nobody named that file."""
    global _told
    from vidrec.origins import IN_FOLDER, config_file

    if not _told and config_file(_config) == IN_FOLDER:
        _told = True
        note(f"settings from ./{IN_FOLDER}")


FileFormat = Annotated[
    Literal["parquet", "jsonl"] | None,
    Option("--file-format", help="Format of the file.", show_default="by its name"),
]
RankScope = Annotated[
    Literal["clip", "video", "best"],
    Option(help="Rank a video by its best clip, as a whole, or by the better of both."),
]
PaidQuestions = Annotated[int, Option(min=0, help="Pay for at most N questions (marengo).")]
NulSeparated = Annotated[
    bool, Option("--null", "-0", help="Names on stdin are separated by NUL (find -print0).")
]


def with_stdin(paths: list[str], *, nul: bool = False) -> list[str]:
    """Put the names on stdin where a dash stands: one a line, or each before a NUL.

    No file name holds a NUL, so where one is found the names are apart by it, asked or not.
    """
    if "-" not in paths:
        return paths
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # names are bytes, whatever the encoding
    text = sys.stdin.read() if sys.stdin else ""
    if nul or "\0" in text:
        listed = [name for name in text.split("\0") if name]
    else:
        listed = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    return [path for path in paths if path != "-"] + listed


def may_ask() -> bool:
    """Whether somebody is there to answer a question."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty())


@contextmanager
def opened(source: Path) -> Iterator[BinaryIO]:
    """Open a file that is read, or stdin where ``-`` is named.

    Raises:
        UsageError: it cannot be opened.
    """
    if str(source) == "-":
        yield sys.stdin.buffer
        return
    try:
        file = source.open("rb")
    except OSError as exc:
        raise UsageError(f"cannot read {source}: {exc.strerror or exc}") from exc
    with file:
        yield file
