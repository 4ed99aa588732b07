"""Where a setting comes from: a flag, an environment variable, a line of the config file, nowhere.

The strongest wins, setting by setting. Nothing here knows which settings there are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_config_path

from vidrec.errors import ConfigError
from vidrec.files import is_file, parsed_toml
from vidrec.records import dataclass
from vidrec.urls import shown_url
from vidrec.wording import did_you_mean

ENV_PREFIX = "VIDREC_"
IN_FOLDER = Path("vidrec.toml")
LARGEST_FILE = 1 << 20  # bytes
MASK = "**********"
_SECRET = re.compile(r"(?i)(key|token|secret|password|passphrase|credential)s?$")
_PATH = re.compile(r"/(?!/)|[~.]|[A-Za-z]:[\\/]")  # a path may have any sign in its names
_LIKE_URL = re.compile(r"(?:^|.*/)[A-Za-z][A-Za-z0-9+.-]+:/")

# What other tools call it; looked at where vidrec's own name is not set.
OTHER_NAMES = {
    ("marengo", "api_key"): ("TWELVE_LABS_API_KEY", "TWELVELABS_API_KEY"),
    ("marengo", "base_url"): ("TWELVELABS_BASE_URL",),
    ("qdrant", "api_key"): ("QDRANT_API_KEY",),
    ("qdrant", "url"): ("QDRANT_URL",),
    ("s3", "endpoint_url"): ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    ("s3", "profile"): ("AWS_PROFILE",),
    ("s3", "region"): ("AWS_DEFAULT_REGION",),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one setting comes from. ``where`` is a variable's name, or a file and line."""

    kind: Literal["flag", "env", "file", "default"]
    where: str = ""
    value: Any = None

    def __str__(self) -> str:
        return self.where or self.kind


@dataclass(frozen=True, slots=True)
class Given:
    """What was set: flags by section, and a config file with its bytes."""

    flags: Mapping[str, Any]
    path: Path | None = None
    content: bytes = b""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def in_folder(self) -> bool:
        """Whether the file was met in the working folder: nobody named it."""
        return self.path == IN_FOLDER

    def origin(self, *name: str) -> Origin:
        """Return where a setting (or a table of settings) comes from."""
        if (value := _inside(self.flags, name)) is not None:
            return Origin("flag", value=value)
        if (variable := set_variable(_variable(name))) is not None:
            return Origin("env", variable, os.environ[variable])
        if (value := _inside(self.values, name)) is not None:
            return Origin("file", f"{self.path}:{self.line_of(name)}", value)
        for other in OTHER_NAMES.get((name[0], name[-1]), ()):
            if os.environ.get(other):
                return Origin("env", other, os.environ[other])
        return Origin("default")

    def line_of(self, name: Sequence[str]) -> int:
        """Return the line of the file on which a setting is set.

        The file is read as far as each line in turn: what first knows the setting sets it.
        """
        lines = self.content.decode("utf-8", "replace").splitlines(keepends=True)
        begins = 1
        for number in range(1, len(lines) + 1):
            try:
                values = parsed_toml("".join(lines[:number]))
            except ValueError:  # amid a value of several lines
                continue
            if _inside(values, name) is not None:
                return begins
            begins = number + 1
        return begins


def _variable(name: Sequence[str]) -> str:
    return ENV_PREFIX + re.sub(r"\W", "_", "_".join(name))


def _inside(values: Any, name: Sequence[str]) -> Any:
    for part in name:
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def set_variable(name: str) -> str | None:
    """Return an environment variable that is set, however its letters are written."""
    if os.environ.get(name.upper()):
        return name.upper()
    wanted = name.lower()
    return next((n for n, value in os.environ.items() if n.lower() == wanted and value), None)


def config_file(explicit: Path | None = None) -> Path | None:
    """Return the config file that applies, or None.

    Raises:
        ConfigError: a file named by flag or by ``VIDREC_CONFIG`` does not exist.
    """
    named = explicit or (Path(value) if (value := os.environ.get("VIDREC_CONFIG")) else None)
    if named is not None:
        if not is_file(named):
            origin = "--config" if explicit else "VIDREC_CONFIG"
            raise ConfigError(f"no config file {named} (named by {origin})")
        return named.absolute() if named == IN_FOLDER else named  # it was named: see in_folder
    own = user_config_path("vidrec", appauthor=False) / "config.toml"
    return next((path for path in (IN_FOLDER, own) if is_file(path)), None)


def read_given(explicit: Path | None, overrides: Mapping[str, Any]) -> Given:
    """Read the config file that applies; flags have dotted names, and those of None are not given.

    Raises:
        ConfigError: the file is missing, unreadable or no TOML.
    """
    flags: dict[str, Any] = {}
    for name, value in overrides.items():
        if value is not None:
            section, _, key = name.rpartition(".")
            (flags.setdefault(section, {}) if section else flags)[key] = value
    path = config_file(explicit)
    if path is None:
        return Given(flags)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ConfigError(f"{path} is larger than {LARGEST_FILE >> 20} MB: that is no config")
        return Given(flags, path, content, parsed_toml(content.decode("utf-8")))
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path} is not valid TOML: {exc}") from exc
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from exc


def is_secret(name: str) -> bool:
    """Whether a setting of that name holds what nobody else may read."""
    return bool(_SECRET.search(name))


def shown(name: str, value: Any) -> Any:
    """Return a setting's value as it may be shown: no key, no password inside a URL."""
    if value is None or value == "":
        return value
    if is_secret(name):
        return MASK
    if isinstance(value, Mapping):
        return {key: shown(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(name, inner) for inner in value]
    if isinstance(value, os.PathLike) or (isinstance(value, str) and _PATH.match(value)):
        return shown_url(str(value)) if _LIKE_URL.match(str(value)) else str(value)
    return shown_url(value) if isinstance(value, str) else value


def problem_of(given: Given, error: Mapping[str, Any], known: Sequence[str] = ()) -> str:
    """Return one problem that pydantic found as a line: which setting, its value, where it is set.

    ``known`` names the settings that there are. The value of a secret, or of what may be one, is
    never told.
    """
    name = tuple(str(part) for part in error["loc"][:2])
    dotted = ".".join(name)
    origin = given.origin(*name)
    where = {"flag": "a flag", "default": "by default"}.get(origin.kind, origin.where)
    if error["type"] == "extra_forbidden":
        return f"unknown setting {dotted} ({where}){did_you_mean(dotted, known)}"
    if error["type"] == "missing":
        return f"setting {dotted} is needed: set {_variable(name).upper()}, or it in [{name[0]}]"
    message = str(error["msg"]).removeprefix("Value error, ")
    tellable = origin.value is not None and len(name) > 1 and not is_secret(name[-1])
    if not isinstance(origin.value, (str, int, float, bool, os.PathLike)) or not tellable:
        return f"setting {dotted}: {message} ({where})"
    received = str(shown(name[-1], origin.value))
    return f"setting {dotted}: {message}. Received: {received[:80]} ({where})"
