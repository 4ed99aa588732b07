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
from vidrec.commands.help import COMMANDS, WIDEST, PlainCommand, PlainGroup, narrow
from vidrec.commands.options import use_config
from vidrec.errors import UsageError, VidrecError
from vidrec.plugins import Results, at_fault
from vidrec.wording import did_you_mean

# Typer's own copy of Click's UsageError has no public name.
_WrongUsage: Any = typer.BadParameter.__base__


class _Commands(PlainGroup):
    """Turns what a command raises into one line and an exit code."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands: Any = dict.fromkeys(COMMANDS)  # the names; each is built when asked for
        self._listing = False

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        self._listing = True  # names are enough
        return super().shell_complete(ctx, incomplete)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if self._listing:
            return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        word = cmd_name.replace("-", "_")
        word += "_" * (iskeyword(word) or word in ("list", "open"))
        function = getattr(import_module(f"vidrec.commands.{word}"), word)
        info = CommandInfo(name=cmd_name, cls=PlainCommand, callback=function)
        return get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)

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
        except OSError as exc:  # nothing takes the help
            raise typer.Exit(_shown(exc)) from None

    def invoke(self, ctx: Any) -> Any:
        words = [*ctx._protected_args, *ctx.args]
        display.choose_format("auto")
        try:
            return super().invoke(ctx)
        except _WrongUsage as exc:
            _show_wrong_usage(exc, words)
            code = UsageError.exit_code
        except KeyboardInterrupt:
            display.note("interrupted")
            code = interrupts.EXIT_CODE
        except (Exception, SystemExit) as exc:
            code = _shown(exc)
        raise typer.Exit(code)


def _shown(exc: BaseException) -> int:
    """Tell of an exception; return the exit code. What is nobody's but ours is raised again."""
    if (error := _error_of(exc)) is None:
        raise exc
    if getattr(exc, "errno", None) != errno.EPIPE:  # whoever read us has enough
        display.show_error(error)
    return error.exit_code


def _error_of(exc: BaseException) -> VidrecError | None:
    """Return what is told of an exception; None: it is nobody's but ours."""
    if isinstance(exc, VidrecError):
        return exc
    if isinstance(exc, ModuleNotFoundError):
        from vidrec.extras import missing_package

        return missing_package(exc)
    if isinstance(exc, UnicodeEncodeError):  # a name in another encoding, where text is needed
        return UsageError(f"{exc.object!s} is not UTF-8: check the terminal's encoding")
    if isinstance(exc, OSError):
        where = f"{exc.filename}: " if exc.filename else ""
        return VidrecError(f"{where}{exc.strerror or exc}")
    name = at_fault(exc)
    return VidrecError(f"the plug-in {name}: {type(exc).__name__}: {exc}") if name else None


def _show_wrong_usage(exc: Any, words: list[str]) -> None:
    """Say what cannot be understood and where the help is."""
    message = str(exc.format_message()).rstrip(".").replace("Value error, ", "")
    message = message.partition(", unable to parse")[0]
    if found := re.search(r"'([^']*)' is not one of (.*)", message):
        message += did_you_mean(found[1], re.findall(r"'(.*?)'", found[2]))
    if message.endswith((" --config", " -c")):
        message += ": it goes before the command, vidrec --config FILE COMMAND"
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
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": WIDEST,
        "terminal_width": narrow(),
    },
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
    sys.stdout = Results(sys.stdout)
    interrupts.watch()
    try:
        app()
    except SystemExit as exc:
        code = exc.code or display.flush()
        display.flush(silent=True)
        if exc.code == interrupts.EXIT_CODE:
            interrupts.end()
        sys.exit(code)
