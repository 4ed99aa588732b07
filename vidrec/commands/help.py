"""`--help`: plain text in groups, with the choices listed, that fits a narrow terminal.

Typer's own boxes need rich, which takes longer to import than the rest of the help, and spend
half of a narrow terminal on types.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer.core

from vidrec.display import bold
from vidrec.errors import UsageError

WIDEST = 100  # columns: longer lines are hard to read
# Options by what they are about, under every command; the rest are the command's own.
GROUPS = {
    "Filters": ("where", "unlabelled", "exclude", "min_score", "min_confidence", "max_per",
                "dedupe", "history", "limit", "exclude_group"),
    "Cloud and cluster": ("option", "source", "jobs", "rpm", "max_minutes", "allow_paid", "repair",
                          "bucket", "prefix", "endpoint_url", "profile", "region", "public",
                          "url_expires", "engine", "address", "gpus", "shard"),
    "Common": ("embedder", "store", "checkpoint", "library", "config"),
    "Output": ("format", "sheet", "save_clips", "exact", "all_videos", "quiet", "verbose",
               "log_file", "version", "install_completion", "show_completion", "help"),
}  # fmt: skip
# Commands by what one is about to do, each with the first line of its help, which stands here so
# that the list of them needs no command's module.
JOURNEYS = {
    "Start": {
        "demo": "Render a small library, embed it, and ask it three texts and a clip.",
        "embed": "Embed videos into the library; what is done already is skipped.",
        "recommend": "Recommend videos for a text, a clip, an image or a video of the library.",
        "open": "Play a result of the last answer at its moment.",
        "serve": "Serve the page and the API that play what is recommended.",
    },
    "Library": {
        "list": "List the videos of the library.",
        "label": "Label videos; the index shows it after the next `vidrec index`.",
        "tag": "Give videos fields of your own, which --where can ask for.",
        "remove": "Forget videos: their embeddings leave the library and its index. Files stay.",
        "status": "Show what the library holds, what is indexed, and what failed.",
        "index": "Bring a store up to date with the library; no model is called.",
        "evaluate": "Measure how well texts and videos find what they should, against chance.",
    },
    "Cloud": {
        "upload": "Upload videos to S3; objects that are there already are skipped.",
        "jobs": "Show jobs of paid services: state, age, minutes, and what is stuck.",
        "usage": "Show what was paid for, by the library's own record.",
    },
    "Training": {
        "fetch-ucf": "Fetch a subset of UCF101, only the bytes of the chosen clips.",
        "train": "Train a network on labelled clips, for the resnet embedder.",
    },
    "Exchange": {
        "export": "Write an embedder's vectors and their metadata to a file.",
        "import": "Import vectors made elsewhere, or another library.",
        "schema": "Print the JSON Schema of the lines that a command writes under --format jsonl.",
        "mcp": "Let agents search the library: tools over stdin and stdout (MCP).",
    },
    "Set-up": {
        "doctor": "Check config, credentials, services, packages and disk; say how to mend each.",
        "config": "Show every setting with where it comes from, or trust a folder's config file.",
        "guide": "Show the guide: what can be asked, stores, costs, the page, other machines.",
    },
}
COMMANDS = {name: line for commands in JOURNEYS.values() for name, line in commands.items()}
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
METAVARS = {int: "N", float: "X", str: "TEXT"}


def narrow() -> int | None:
    """Return how wide help is on a terminal narrower than Click would have it, else None."""
    columns = shutil.get_terminal_size().columns
    return max(20, columns - 2) if columns < 52 else None


def value_of(option: Any) -> str:
    """Return how help names the value of an option: its choices, its metavar or its kind."""
    if option.is_flag or option.count:
        return ""
    if option.metavar:
        return f" {option.metavar}"
    kind = option.type_descriptor
    if kind.is_choice:
        return f" {'|'.join(kind.choices or ())}"
    if kind.is_path:
        return " PATH"
    if option.min is not None and option.max is not None:
        return f" {option.min:g}–{option.max:g}"
    one = (getattr(kind.annotation, "__args__", None) or (kind.annotation,))[0]  # of a list
    return f" {METAVARS.get(one, 'PATH')}"


def row_of(option: Any, ctx: Any) -> tuple[str, str]:
    """Return an option's names and what help says of it."""
    names = sorted(option.opts, key=len)  # the short one first
    names = [*names, *option.secondary_opts]
    first = f"{', '.join(names)}{value_of(option)}"
    default = option.show_default
    if not isinstance(default, str):
        found = option.get_default(ctx, call=False)
        flag = option.is_flag and not option.secondary_opts
        default = "" if not default or flag or found in (None, ()) else _written(option, found)
    help = option.help or ""
    return first, f"{help} [default: {default}]" if default else help


def _written(option: Any, value: Any) -> str:
    if isinstance(value, bool):  # --index/--no-index
        return str((option.opts if value else option.secondary_opts)[0]).removeprefix("--")
    return f"{value:g}" if isinstance(value, float) else str(value)


class _Plain:
    """What a command and the group of them have in common."""

    def format_usage(self: Any, ctx: Any, formatter: Any) -> None:
        pieces = ["[OPTIONS]", *(_argument(p) for p in _arguments(self, ctx))]
        if hasattr(self, "list_commands"):
            pieces.append("COMMAND …")
        formatter.write_usage(ctx.command_path, " ".join(pieces), prefix=bold("Usage: "))

    def format_options(self: Any, ctx: Any, formatter: Any) -> None:
        if arguments := [(_argument(p), p.help or "") for p in _arguments(self, ctx)]:
            with _section(formatter, "Arguments"):
                formatter.write_dl(arguments)
        if hasattr(self, "list_commands"):
            wide = max(map(len, COMMANDS))
            for title, commands in JOURNEYS.items():
                with _section(formatter, title):
                    formatter.write_dl(
                        [(f"{name:<{wide}}", line) for name, line in commands.items()]
                    )
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Options", *GROUPS)}
        for option in self.get_params(ctx):
            if option.param_type_name == "option" and not option.hidden:
                groups[GROUP_OF.get(option.name, "Options")].append(row_of(option, ctx))
        for group, rows in groups.items():
            if rows:
                with _section(formatter, group):
                    formatter.write_dl(rows, col_max=max(16, min(30, formatter.width // 3)))


def _arguments(command: Any, ctx: Any) -> list[Any]:
    return [p for p in command.get_params(ctx) if p.param_type_name == "argument"]


def _argument(argument: Any) -> str:
    name = str(argument.metavar or argument.name).upper() + ("…" if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


@contextmanager
def _section(formatter: Any, name: str) -> Iterator[None]:
    formatter.write_paragraph()
    formatter.write(f"{bold(name)}\n")
    with formatter.indentation():
        yield


class PlainCommand(_Plain, typer.core.TyperCommand):
    """A command whose help is plain."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an empty path, which would be the working folder.

        Raises:
            UsageError: one is given, as of a variable of the shell that is not set.
        """
        empty = any(not word or (word[:2] == "--" and word[-1] == "=") for word in args)
        rest = super().parse_args(ctx, args)
        if empty and Path() in (value for value in ctx.params.values() if value is not None):
            raise UsageError("a path is empty: is a variable of the shell not set?")
        return rest


class PlainGroup(_Plain, typer.core.TyperGroup):
    """The program, whose help is plain."""
