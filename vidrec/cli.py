"""The command line. A command is options, settings, one call, one display call.

Exit codes: 0 done; 1 error; 2 wrong usage; 3 no confident match; 4 part of a batch failed; 5 the
library is in use; 130 interrupted. Results go to stdout, all else to stderr. Only what `--help`
needs is imported here; each command imports its own stage.
"""

from __future__ import annotations

import errno
import gc
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from vidrec import __version__, display, interrupts
from vidrec.commands import (
    demo,
    doctor,
    embed,
    evaluate,
    export,
    fetch_ucf,
    import_,
    index,
    list_,
    recommend,
    remove,
    status,
    train,
    upload,
    usage,
)  # fmt: skip
from vidrec.commands.options import use_config
from vidrec.errors import UsageError, VidrecError
from vidrec.voice import with_voice

# Typer's own copy of Click's UsageError has no public name.
_WrongUsage: Any = typer.BadParameter.__base__


class _Commands(typer.core.TyperGroup):
    """Turns what a command raises into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        words = [*ctx._protected_args, *ctx.args]
        display.choose_format(display.Format.auto)
        try:
            return super().invoke(ctx)
        except _WrongUsage as exc:
            if not display.asks_for_json(words):
                raise
            display.show_error(UsageError(exc.format_message()))
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


app = typer.Typer(
    cls=_Commands,
    name="vidrec",
    help="Recommend videos by what is in them.",
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 3 no confident match, "
    "4 part of a batch failed, 5 the library is in use, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wished: bool) -> None:
    if wished:
        print(f"vidrec {__version__}")
        raise typer.Exit


@app.callback()
def root(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Config file.", show_default=False)
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    use_config(config)


for _command in (
    demo.demo, embed.embed, index.index, recommend.recommend, evaluate.evaluate,
    fetch_ucf.fetch_ucf, train.train, upload.upload, usage.usage,
    export.export, import_.import_,
    status.status, doctor.doctor, list_.list_, remove.remove,
):  # fmt: skip
    app.command(name=_command.__name__.rstrip("_").replace("_", "-"))(with_voice(_command))


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
