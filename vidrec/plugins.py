"""Installed plug-ins: their names, which are sections of the config, and their variables."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from vidrec.errors import ConfigError
from vidrec.files import parsed_json


def installed(*groups: str) -> set[str]:
    """Return the names of all plug-ins, or of some groups of them."""
    from importlib.metadata import entry_points

    wanted = groups or ("vidrec.embedders", "vidrec.stores")
    return {entry.name for group in wanted for entry in entry_points(group=group)}


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
