"""Trust: a config file that lies in the working folder does not say where keys are sent.

Such a file may come with a folder that somebody else made. It may set what it likes, but where an
address in it would be sent a key from elsewhere (the environment, AWS's own places), it is refused
until the user has allowed it, once: by its path and its content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from vidrec.errors import ConfigError
from vidrec.files import writing
from vidrec.origins import Given, is_secret, shown

_ADDRESS = re.compile(r"(?i)(^|_)(url|uri|host|port|endpoint|address|server|proxy|profile)s?$")
_DOORS = ("host", "allowed_hosts", "cors_origins", "proxies")
_OWN_HOSTS = ("127.0.0.1", "localhost", "::1")
_MEND = "if that is meant, run `vidrec config trust` once"


def trusted_file() -> Path:
    """Return the file that remembers which config files were allowed."""
    return user_state_path("vidrec", appauthor=False) / "trusted.json"


def require_trust(given: Given, secrets_of: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a file of the working folder that redirects a key which does not stand in it.

    Args:
        given: what was set.
        secrets_of: the secrets of each section of vidrec's own. A section without any sends what
            is kept elsewhere (S3), or is a plug-in's and may.

    Raises:
        ConfigError: it does; the message names the line, the key and the address.
    """
    if not given.in_folder or not given.path:
        return
    found = next(_redirections(given, secrets_of), None)
    if found is None or is_trusted(given.path, given.content):
        return
    changed = given.path.resolve().as_posix() in _remembered()
    again = "the file changed since it was trusted: " if changed else ""
    raise ConfigError(f"{found}: {again}{_MEND}")


def _redirections(given: Given, secrets_of: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for section, table in given.values.items():
        if not isinstance(table, Mapping):
            continue
        if section == "serve":
            yield from _openings(given, table)
            continue
        key = _foreign_key(given, section, table, secrets_of)
        if not key:
            continue
        for name, value in _addresses(table):
            origin = given.origin(section, *name)
            if origin.kind == "file":
                yield (
                    f"{origin}: [{section}] {'.'.join(name)} would have {key} used for "
                    f"{shown(name[-1], value)}"
                )


def _openings(given: Given, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield what would let others ask this machine's library, by the page or its API."""
    for name in _DOORS:
        value, origin = table.get(name), given.origin("serve", name)
        if origin.kind == "file" and value and value not in _OWN_HOSTS:
            shows = shown(name, value)
            yield f"{origin}: [serve] {name} would open the page of your library to {shows}"
    token, host = (given.origin("serve", name) for name in ("token", "host"))
    if token.kind == "file" and host.value and host.value not in _OWN_HOSTS:
        yield f"{token}: [serve] token would open the page of your library at {host.value}"


def _foreign_key(
    given: Given, section: str, table: Mapping[str, Any], secrets_of: Mapping[str, tuple[str, ...]]
) -> str:
    """Name the key from elsewhere that goes to a section's address; empty where there is none."""
    if section == "s3":
        without = given.origin(section, "anonymous")
        return "" if without.kind == "file" and without.value is True else "your AWS credentials"
    names = secrets_of.get(section) or tuple(
        name for name, value in table.items() if is_secret(name) and str(value).strip()
    )
    origins = [given.origin(section, name) for name in names]
    for origin in origins:
        blank = origin.kind == "file" and not str(origin.value).strip()
        if origin.kind in ("env", "flag"):
            return f"the key of {origin}"
        if blank and (fallback := _beside(given, section, names)):
            return f"the key of {fallback}"
    return "" if origins else f"what {section} keeps elsewhere"


def _beside(given: Given, section: str, names: tuple[str, ...]) -> str:
    """The variable that is read where the file holds an empty key."""
    without = Given(given.flags)
    return next((o.where for n in names if (o := without.origin(section, n)).kind == "env"), "")


def _addresses(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from (((name, *inner), found) for inner, found in _addresses(value))
        elif value and (_ADDRESS.search(name) or "://" in str(value)):
            yield (name,), value


def is_trusted(path: Path, content: bytes) -> bool:
    """Whether a file was allowed as it is now."""
    return _remembered().get(path.resolve().as_posix()) == _digest(content)


def trust(path: Path, content: bytes) -> None:
    """Remember that a file is allowed as it is now."""
    _remember({**_remembered(), path.resolve().as_posix(): _digest(content)})


def forget(path: Path) -> bool:
    """Trust a file no more; return whether it was trusted."""
    left = _remembered()
    if left.pop(path.resolve().as_posix(), None) is None:
        return False
    _remember(left)
    return True


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remembered() -> dict[str, str]:
    """What was allowed; a file that cannot be read allows nothing."""
    try:
        found = json.loads(trusted_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(files: Mapping[str, str]) -> None:
    place = trusted_file()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with writing(place) as draft:
            draft.write_text(json.dumps(files, indent=1), encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot write {place}: {exc.strerror or exc}") from exc
