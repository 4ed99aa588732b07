"""Check everything that vidrec needs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import typer

from vidrec.commands.options import (
    EmbedderName,
    Library,
    ReportFormat,
    StoreName,
    flag,
    settings_for,
)
from vidrec.display import Bar, Format, choose_format, note, show_data, show_lines

if TYPE_CHECKING:
    from vidrec.care.doctor import Check
    from vidrec.config import Settings


def doctor(
    fetch: bool = flag("First download the weights that the embedder lacks (clip).", "--fetch"),
    deep: bool = flag("Also read all of the library and its indexes; compare them.", "--deep"),
    embedder: EmbedderName = None,
    store: StoreName = None,
    format: ReportFormat = "auto",
    library: Library = None,
) -> None:
    """Check config, credentials, services, packages and disk; say how to mend each.

    Example: vidrec doctor
    """
    from vidrec.care.deep import deep as deep_stage
    from vidrec.care.doctor import Check
    from vidrec.care.doctor import doctor as stage
    from vidrec.commands.options import config_in_use
    from vidrec.errors import ConfigError

    wished = choose_format(format)
    try:
        settings = settings_for(embedder__name=embedder, store__name=store, library=library)
        if fetch:
            _fetch_for(settings)
        checks = stage(settings, config_in_use())
        if deep:
            checks = chain(checks, deep_stage(settings, Bar()))
    except ConfigError as exc:
        checks = iter([Check("config", "failure", str(exc))])
    if _show_checks(checks, wished):
        raise typer.Exit(1)


def _fetch_for(settings: Settings) -> None:
    """Download what the embedder lacks; how much that may be is said before."""
    from vidrec.embedders import load_embedder

    embedder = load_embedder(settings)
    if (gigabytes := embedder.gigabytes()) > 0:
        note(f"fetching {embedder.name}: up to {gigabytes:.1f} GB, once, into {settings.cache}")
    note(f"{embedder.name}: {embedder.fetch()}")


def _show_checks(checks: Iterable[Check], wished: Format) -> bool:
    """Write each check as it is made; return whether one of them is a failure."""
    failed = False
    rows = []
    for check in checks:
        failed = failed or check.state == "failure"
        if wished == "json":
            rows.append(check)
        elif wished == "jsonl":
            show_lines([check])
        else:
            mend = f"  → {check.mend}" if check.mend else ""
            print(f"{check.state:<8} {check.name}: {' '.join(check.detail.split())}{mend}")
            sys.stdout.flush()
    if wished == "json":
        show_data(wished, {"checks": rows})
    return failed
