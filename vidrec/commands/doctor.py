"""Check everything that vidrec needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING

import typer

from vidrec.commands.options import ReportFormat, command, config_in_use, flag
from vidrec.display import Bar, Format, note, show_data, show_lines

if TYPE_CHECKING:
    from vidrec.care.doctor import Check
    from vidrec.config import Settings


@command("embedder", "store", "library", lazy=True)
def doctor(
    settings: Callable[[], Settings],
    fetch: bool = flag("First download the weights that the embedder lacks (clip).", "--fetch"),
    deep: bool = flag("Also read all of the library and its indexes; compare them.", "--deep"),
    format: ReportFormat = "auto",
) -> None:
    """Check config, credentials, services, packages and disk; say how to mend each.

    Example: vidrec doctor
    """
    from vidrec.care.deep import deep as deep_stage
    from vidrec.care.doctor import Check
    from vidrec.care.doctor import doctor as stage
    from vidrec.errors import ConfigError

    try:
        read = settings()
        if fetch:
            _fetch_for(read)
        checks = stage(read, config_in_use())
        if deep:
            checks = chain(checks, deep_stage(read, Bar()))
    except ConfigError as exc:
        checks = iter([Check("config", "failure", str(exc))])
    if _show_checks(checks, format):
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
