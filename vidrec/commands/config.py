"""Show the settings in force, or trust a folder's config file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typer import Argument

from vidrec.commands.options import OutputFormat, command, flag, named_config, option
from vidrec.display import Format, note, plain, show_data, show_table
from vidrec.errors import UsageError

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.origins import Given


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting: its value, as it may be shown, and where that comes from."""

    setting: str
    value: Any
    source: str


@command()
def config(
    action: Literal["show", "trust"] = Argument(
        "show",
        help="show: every setting and where its value comes from. trust: let the config file "
        "of a folder decide where your keys are sent.",
    ),
    file: Path | None = Argument(None, help="Config file to trust.", show_default="./vidrec.toml"),
    forget: bool = flag("Stop trusting the file.", "--forget"),
    format: OutputFormat = "auto",
    library: Path | None = option("Library folder.", "--library"),
) -> None:
    """Show every setting with where it comes from, or trust a folder's config file.

    Example: vidrec config show
    """
    if action == "trust":
        trust_file(file, forget)
    elif file is not None or forget:
        raise UsageError("show takes no file: name one with `vidrec --config FILE config show`")
    else:
        show(library, format)


def trust_file(file: Path | None, forgets: bool) -> None:
    """Remember a config file as it is now, or forget it."""
    from vidrec.config import settings_of
    from vidrec.origins import IN_FOLDER, read_given
    from vidrec.trust import forget, trust

    path = file or IN_FOLDER
    if forgets:
        known = forget(path)
        note(f"{path} is {'no longer' if known else 'not'} trusted")
        return
    given = read_given(path, {})
    settings_of(given)
    trust(path, given.content)
    note(f"{path} is trusted as it is now: where it changes, you are asked again")


def show(library: Path | None, wished: Format) -> None:
    """Show all settings; that a file is not trusted yet is said, and stops nothing."""
    from vidrec.config import secret_settings, settings_of
    from vidrec.errors import ConfigError
    from vidrec.origins import read_given
    from vidrec.trust import require_trust

    given = read_given(named_config(), {"library": library})
    try:
        require_trust(given, secret_settings())
    except ConfigError as exc:
        note(f"not trusted: {exc}")
    if wished == "paths":
        if given.path:
            print(plain(str(given.path)))
        return
    rows = [_effective(given, name, value) for name, value in _values(settings_of(given)).items()]
    settings = {row.setting: {"value": row.value, "source": row.source} for row in rows}
    if not show_data(wished, {"file": given.path, "settings": settings}, rows):
        show_table(
            [{"setting": r.setting, "value": _text(r.value), "from": r.source} for r in rows]
        )
        note(f"config file: {given.path or 'none'}")


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(settings: Settings) -> dict[str, Any]:
    """Return all values by dotted name, those of plug-ins last."""
    values: dict[str, Any] = {}
    for name, value in {**settings.model_dump(), **settings._plugins}.items():
        whole = not isinstance(value, dict)
        values |= {name: value} if whole else {f"{name}.{key}": its for key, its in value.items()}
    return values


def _effective(given: Given, dotted: str, value: Any) -> Effective:
    from vidrec.origins import MASK, shown

    name = tuple(dotted.split(".", 1))
    origin = given.origin(*name)
    if value is None and origin.kind == "env":  # another tool's variable, read when it is needed
        value = origin.value
    if hasattr(value, "get_secret_value"):
        value = MASK if value.get_secret_value() else None
    return Effective(dotted, shown(name[-1], value), str(origin))
