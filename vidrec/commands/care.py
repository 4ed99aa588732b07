"""status, list, remove: looking after the library."""

from __future__ import annotations

from typing import Annotated

import typer

from vidrec import display, reports
from vidrec.commands.options import Library, OutputFormat, settings_for
from vidrec.display import Format


def status(format: OutputFormat = Format.auto, library: Library = None) -> None:
    """Show what the library holds, what is indexed, and what failed.

    Example: vidrec status
    """
    from vidrec.commands.options import config_in_use
    from vidrec.pipeline.status import status as stage

    wished = display.choose_format(format, paths=False)
    settings = settings_for(library=library)
    reports.show_status(stage(settings), wished, config_in_use())


def list_(format: OutputFormat = Format.auto, library: Library = None) -> None:
    """List the videos of the library.

    Example: vidrec list --format paths
    """
    from vidrec.pipeline.status import list_videos as stage

    wished = display.choose_format(format)
    reports.show_videos(stage(settings_for(library=library)), wished)


def remove(
    videos: Annotated[
        list[str], typer.Argument(help="id:… or paths of videos, or - for a list on stdin.")
    ],
    library: Library = None,
) -> None:
    """Forget videos: their embeddings leave the library and its index. Files stay.

    Example: vidrec remove old.mp4
    """
    from vidrec.commands.flow import with_stdin
    from vidrec.pipeline.remove import remove as stage

    report = stage(settings_for(library=library), with_stdin(videos))
    reports.show_removed(report)


def doctor(format: OutputFormat = Format.auto, library: Library = None) -> None:
    """Check config, credentials, services, packages and disk; say how to mend each.

    Example: vidrec doctor
    """
    from vidrec.commands.options import config_in_use
    from vidrec.errors import ConfigError
    from vidrec.pipeline.doctor import Check
    from vidrec.pipeline.doctor import doctor as stage

    wished = display.choose_format(format, paths=False)
    try:
        checks = stage(settings_for(library=library), config_in_use())
    except ConfigError as exc:
        checks = iter([Check("config", "failure", str(exc))])
    if reports.show_checks(checks, wished):
        raise typer.Exit(1)
