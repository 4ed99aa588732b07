"""A command's options: those of its own, those that several share, and the settings they make."""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from typer import Exit, Option

from vidrec.commands import completion
from vidrec.display import Format, choose_format, note
from vidrec.errors import PartialFailure, UsageError
from vidrec.interrupts import EXIT_CODE
from vidrec.voice import speak

if TYPE_CHECKING:
    from vidrec.config import Settings

_config: Path | None = None
_told = False


def option(help: str, *names: str, default: Any = None, **more: Any) -> Any:
    """Return a command's own option; without names it is called as its parameter is."""
    return Option(default, *names, help=help, **more)


def flag(help: str, *names: str) -> Any:
    """Return the option of a switch that is off by default and has no ``--no-`` form."""
    return Option(False, *names, help=help)


class Setting(NamedTuple):
    """An option that stands for a setting, by its dotted name, for one run."""

    name: str
    kind: Any
    option: Any


def sets(name: str, kind: Any, help: str, *names: str, **more: Any) -> Setting:
    """Return the option of a setting; where it is not given, the setting is as it was."""
    make = flag if kind is bool else option
    return Setting(name, kind if kind is bool else kind | None, make(help, *names, **more))


SHARED = {
    "embedder": sets(
        "embedder.name", str, "Embedder to use.", "--embedder", "-e",
        metavar="NAME", show_default="conse", autocompletion=completion.embedders,
    ),
    "store": sets(
        "store.name", str, "Store to use.", "--store", "-s",
        metavar="NAME", show_default="knn", autocompletion=completion.stores,
    ),
    "checkpoint": sets(
        "resnet.checkpoint", Path, "Use the embedder resnet with this trained network: a name in "
        "the library, or a folder.", metavar="NAME", show_default="the newest in the library",
        autocompletion=completion.checkpoints,
    ),
    "library": sets("library", Path, "Library folder."),
}  # fmt: skip
_VOICE = {
    "quiet": (bool, flag("Show only warnings and errors.", "--quiet", "-q")),
    "verbose": (
        bool,
        flag("Show more: each step, and traces of unexpected errors.", "--verbose", "-v"),
    ),
    "log_file": (
        Path | None,
        option("Append all messages to a file, with time stamps and traces."),
    ),
}

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
_FORMAT = Option(
    "--format", "-f", help="auto: a table on a terminal, JSON lines in a pipe.", show_default=False
)
OutputFormat = Annotated[Format, _FORMAT]
ReportFormat = Annotated[Literal["auto", "table", "json", "jsonl"], _FORMAT]
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


def command(
    *shared: str, lazy: bool = False, **own: Setting
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what makes a command of a function: it also takes options that commands share.

    The function is called with ``settings``, if it has such a parameter, and with the ``format``
    that is meant. Every command takes ``--quiet``, ``--verbose`` and ``--log-file``.

    Args:
        shared: names of ``SHARED``.
        lazy: ``settings`` is a function that reads them, not yet called.
        own: settings for which this command alone has an option, by the option's name.
    """
    setting = own | {name: SHARED[name] for name in shared}

    def make(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True, locals={"Settings": Any})
        wanted = signature.parameters

        @functools.wraps(function)
        def run(quiet: bool, verbose: bool, log_file: Path | None, **given: Any) -> None:
            speak(quiet=quiet, verbose=verbose, log_file=log_file)
            if "format" in given:
                given["format"] = choose_format(given["format"])
            flags = {its.name: given[name] for name, its in setting.items()}
            given = {name: value for name, value in given.items() if name in wanted}
            if "settings" in wanted:
                read = functools.partial(settings_for, flags)
                given["settings"] = read if lazy else read()
            function(**given)

        named = {name: (its.kind, its.option) for name, its in setting.items()}
        mine = {
            name: (p.annotation, p.default)
            for name, p in wanted.items()
            if name != "settings" and name not in named
        }
        parameters = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default
            )
            for name, (kind, default) in {**named, **mine, **_VOICE}.items()
        ]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return make


def leave(*, interrupted: object = False, failed: object = False) -> None:
    """End a command with the exit code of a batch that was cut off, or part of which failed."""
    if interrupted or failed:
        raise Exit(EXIT_CODE if interrupted else PartialFailure.exit_code)


def use_config(path: Path | None) -> None:
    """Remember the config file that the command line names."""
    global _config
    _config = path


def named_config() -> Path | None:
    """Return the config file that the command line names, if any."""
    return _config


def settings_for(flags: dict[str, Any] | None = None) -> Settings:
    """Settings with flags by dotted name; None, and a switch that is off, were not given."""
    from vidrec.config import load_settings
    from vidrec.media import limits

    _tell_of_file()
    flags = {name: None if value is False else value for name, value in (flags or {}).items()}
    if flags.get("resnet.checkpoint") is not None:
        if flags["embedder.name"] not in (None, "resnet"):
            raise UsageError(
                "--checkpoint is a network of the embedder resnet. Received: --embedder "
                f"{flags['embedder.name']}"
            )
        flags["embedder.name"] = "resnet"
    settings = load_settings(_config, flags)
    limits.use(settings.media)
    if settings.embedder.name == "resnet" and "embedder.name" in flags:
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
    from vidrec.origins import IN_FOLDER

    if not _told and config_in_use() == IN_FOLDER:
        _told = True
        note(f"settings from ./{IN_FOLDER}")
