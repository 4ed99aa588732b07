"""Installed plug-ins: their names, which are sections of the config, and how they are opened.

What their code prints is no result, and where it ends the program only that call is over.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from vidrec.errors import ConfigError, VidrecError
from vidrec.files import parsed_json
from vidrec.wording import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_called = threading.local()


class Results:
    """The standard output of the command line; what a plug-in prints goes to standard error."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        return (sys.stderr if getattr(_called, "plug_in", False) else self._out).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


@contextmanager
def calling() -> Iterator[None]:
    """While code of a plug-in, or of a network's library, is called by this thread."""
    before, _called.plug_in = getattr(_called, "plug_in", False), True
    try:
        yield
    finally:
        _called.plug_in = before


def installed(*groups: str) -> dict[str, EntryPoint]:
    """Return all plug-ins, or those of some groups, by name."""
    from importlib.metadata import entry_points

    wanted = groups or ("vidrec.embedders", "vidrec.stores")
    return {entry.name: entry for group in wanted for entry in entry_points(group=group)}


def unknown(kind: str, name: str, choices: Iterable[str]) -> ConfigError:
    """Return what is said where nothing of a kind has a name."""
    choices = [*choices]
    hint = did_you_mean(name, choices)
    return ConfigError(f"no {kind} {name!r}{hint} (choose one of {', '.join(choices)})")


@contextmanager
def opening(kind: str, entry: EntryPoint, error: type[VidrecError]) -> Iterator[None]:
    """Whatever a plug-in raises while it is opened is an error of one line."""
    try:
        with calling():
            yield
    except VidrecError:
        raise
    except (Exception, SystemExit) as exc:
        reason = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise error(f"the {kind} {entry.name} ({entry.value}) cannot be opened: {reason}") from exc


def at_fault(exc: BaseException) -> str:
    """Return the module of the plug-in in whose code an exception arose, or nothing."""
    modules, frame = set[str](), exc.__traceback__
    while frame is not None:
        modules.add(str(frame.tb_frame.f_globals.get("__name__")).partition(".")[0])
        frame = frame.tb_next
    if not modules - {"vidrec", "typer", "contextlib"}:
        return ""
    owners = {entry.module.partition(".")[0] for entry in installed().values()}
    return next(iter(owners & modules), "")


def owner_of(variable: str) -> str:
    """Return the plug-in that an environment variable sets something for.

    Raises:
        ConfigError: there is none.
    """
    begins = {name: f"vidrec_{re.sub(r'[^a-z0-9]', '_', name.lower())}_" for name in installed()}
    owners = [name for name, begin in begins.items() if variable.lower().startswith(begin)]
    if not owners:
        raise ConfigError(f"unknown environment variable {variable}: no such setting")
    return max(owners, key=len)


def parsed(value: Any) -> Any:
    """Return a variable's list or table, as pydantic-settings reads those of our own settings."""
    if isinstance(value, str) and value.startswith(("[", "{")):
        with suppress(ValueError):
            return parsed_json(value)
    return value
