"""Settings of installed plug-ins: the table ``[name]`` and ``VIDREC_NAME_…`` of each."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Any

from vidrec.errors import ConfigError
from vidrec.files import parsed_json

ENV_PREFIX = "VIDREC_"
# Entry points whose names may be sections.
PLUGINS = ("vidrec.embedders", "vidrec.stores")


def take_plugins(
    own: Container[str],
    file_values: dict[str, Any],
    variables: Mapping[str, str],
    flags: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    """Take what is set for installed plug-ins out of file and flags, the stronger one above.

    Raises:
        ConfigError: a variable is no plug-in's either: a typo must not be ignored in silence.
    """
    names = {name for name in (*file_values, *flags) if name not in own}
    if not names and not variables:
        return {}
    from importlib.metadata import entry_points

    installed = {entry.name for group in PLUGINS for entry in entry_points(group=group)}
    found: dict[str, dict[str, Any]] = {}
    for name in installed & names:
        if isinstance(file_values.get(name, {}), dict):
            found[name] = dict(file_values.pop(name, {}))
    for variable, value in variables.items():
        top = variable[len(ENV_PREFIX) :].lower()
        of = [name for name in installed if top.startswith(f"{_variable(name)}_")]
        if not of:
            raise ConfigError(f"unknown environment variable {variable}: no such setting")
        owner = max(of, key=len)
        if value:
            found.setdefault(owner, {})[top[len(owner) + 1 :]] = _parsed(value)
    for name in installed & names & set(flags):
        found.setdefault(name, {}).update(flags.pop(name))
    return found


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name).lower()


def _parsed(value: str) -> Any:
    """A variable's list or table, as pydantic-settings reads those of our own settings."""
    if value.startswith(("[", "{")):
        with suppress(ValueError):
            return parsed_json(value)
    return value
