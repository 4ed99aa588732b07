"""The command line. A command is options, settings, one call, one display call.

Exit codes: 0 done; 1 error; 2 wrong usage; 3 no confident match; 4 part of a batch failed; 5 the
library is in use; 130 interrupted. Results go to stdout, all else to stderr. Only what `--help`
needs is imported here; each command imports its own stage.
"""

from __future__ import annotations

import errno
import gc
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
from typer import Option
from typer.main import get_command_from_info
from typer.models import CommandInfo

from vidrec import __version__, display, interrupts
from vidrec.commands.help import WIDEST, PlainCommand, PlainGroup
from vidrec.commands.options import use_config
from vidrec.errors import UsageError, VidrecError
from vidrec.wording import did_you_mean

# Typer's own copy of Click's UsageError has no public name.
_WrongUsage: Any = typer.BadParameter.__base__


# Each command and the first line of its help, which stands here so that the list of them needs no
# command's module: it is imported, and its options are read, when the command is asked for.
COMMANDS = {
    "demo": "Render a small library, embed it, and ask it three texts and a clip.",
    "embed": "Embed videos into the library; what is done already is skipped.",
    "index": "Bring a store up to date with the library; no model is called.",
    "recommend": "Recommend videos for a text, a clip, an image or a video of the library.",
    "serve": "Serve the page and the API that play what is recommended.",
    "evaluate": "Measure how well texts and similar videos find what they should, against chance.",
    "fetch-ucf": "Fetch a subset of UCF101, only the bytes of the chosen clips.",
    "train": "Train a network on labelled clips, for the resnet embedder.",
    "upload": "Upload videos to S3; objects that are there already are skipped.",
    "jobs": "Show jobs of paid services: state, age, minutes, and what is stuck.",
    "usage": "Show what was paid for, by the library's own record.",
    "export": "Write an embedder's vectors and their metadata to a file.",
    "import": "Import vectors made elsewhere, or another library.",
    "status": "Show what the library holds, what is indexed, and what failed.",
    "doctor": "Check config, credentials, services, packages and disk; say how to mend each.",
    "config": "Show every setting with where it comes from, or trust a folder's config file.",
    "guide": "Show the guide: what can be asked, stores, costs, the page, other machines.",
    "schema": "Print the JSON Schema of the lines that a command writes under --format jsonl.",
    "list": "List the videos of the library.",
    "open": "Play a result of the last answer at its moment.",
    "mcp": "Let agents search the library: tools over stdin and stdout (MCP).",
    "tag": "Give videos fields of your own, which --where can ask for.",
    "label": "Label videos; the index shows it after the next `vidrec index`.",
    "remove": "Forget videos: their embeddings leave the library and its index. Files stay.",
}


class _Built(Mapping[str, Any]):
    """The commands, each built when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        word = name.replace("-", "_") + "_" * (iskeyword(name) or name in ("list", "open"))
        function = getattr(import_module(f"vidrec.commands.{word}"), word)
        info = CommandInfo(name=name, cls=PlainCommand, callback=function)
        return get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Commands(PlainGroup):
    """Turns what a command raises into one line and an exit code."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands: Any = _Built()
        self._listing = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        self._listing = True  # names are enough
        return super().shell_complete(ctx, incomplete)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._listing and cmd_name in COMMANDS:
            return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        return super().get_command(ctx, cmd_name)

    def make_context(
        self, info_name: Any, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        words = [*args]
        try:
            return super().make_context(info_name, args, parent, **extra)
        except _WrongUsage as exc:
            if not words:  # the help is shown
                raise
            _show_wrong_usage(exc, words)
            raise typer.Exit(UsageError.exit_code) from None

    def invoke(self, ctx: Any) -> Any:
        words = [*ctx._protected_args, *ctx.args]
        display.choose_format("auto")
        try:
            return super().invoke(ctx)
        except _WrongUsage as exc:
            _show_wrong_usage(exc, words)
            raise typer.Exit(UsageError.exit_code) from None
        except OSError as exc:
            if exc.errno == errno.EPIPE:  # whoever read us has enough
                raise typer.Exit(VidrecError.exit_code) from None
            where = f"{exc.filename}: " if exc.filename else ""
            display.show_error(VidrecError(f"{where}{exc.strerror or exc}"))
            raise typer.Exit(VidrecError.exit_code) from None
        except VidrecError as exc:
            display.show_error(exc)
            raise typer.Exit(exc.exit_code) from None
        except UnicodeEncodeError as exc:  # a name in another encoding, where text is needed
            text = exc.object if isinstance(exc.object, str) else ""
            display.show_error(UsageError(f"{text} is not UTF-8: check the terminal's encoding"))
            raise typer.Exit(UsageError.exit_code) from None
        except ModuleNotFoundError as exc:
            from vidrec.extras import missing_package

            error = missing_package(exc)
            if error is None:
                raise
            display.show_error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            display.note("interrupted")
            raise typer.Exit(130) from None


def _show_wrong_usage(exc: Any, words: list[str]) -> None:
    """Say what cannot be understood and where the help is."""
    message = str(exc.format_message()).rstrip(".").replace("Value error, ", "")
    message = message.partition(", unable to parse")[0]
    if found := re.search(r"'([^']*)' is not one of (.*)", message):
        message += did_you_mean(found[1], re.findall(r"'(.*?)'", found[2]))
    if not display.asks_for_json(words):
        message += f" (see `{exc.ctx.command_path if exc.ctx else 'vidrec'} --help`)"
    display.show_error(UsageError(message))


app = typer.Typer(
    cls=_Commands,
    name="vidrec",
    help="Recommend videos by what is in them.",
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 3 no confident match, "
    "4 part of a batch failed, 5 the library is in use, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)


def _show_version(wished: bool) -> None:
    if wished:
        print(f"vidrec {__version__}")
        raise typer.Exit


@app.callback()
def root(
    config: Annotated[Path | None, Option("--config", "-c", help="Config file.")] = None,
    version: Annotated[
        bool,
        Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    use_config(config)


def main() -> None:
    """Run the command line."""
    # Importing makes some hundred thousand objects and no garbage; to look for it all the while
    # costs a one-shot query a tenth of its time. settings_for, which commands call, ends this.
    gc.disable()
    display.accept_any_text()
    interrupts.watch()
    try:
        app()
    except SystemExit as exc:
        code = exc.code or display.flush()
        display.flush(silent=True)
        if exc.code == interrupts.EXIT_CODE:
            interrupts.end()
        sys.exit(code)
