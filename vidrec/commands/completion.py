"""What a shell may complete: names that are at hand, quickly, offline, and never an error."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from vidrec.plugins import installed

if TYPE_CHECKING:
    from vidrec.library import Library

MOST = 200  # names that a person may want to see
Find: TypeAlias = Callable[[Any, str], Iterable[str]]


def _completion(find: Find) -> Callable[[typer.Context, str], list[str]]:
    """Return what Typer calls: whatever goes wrong, there is nothing to complete."""

    @functools.wraps(find)
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return sorted({n for n in find(ctx, incomplete) if n.startswith(incomplete)})[:MOST]
        except Exception:
            return []

    return complete


@_completion
def embedders(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Built-in ones, those of plug-ins, and those whose vectors the library holds."""
    from vidrec.embedders import BUILT_IN

    found = [*BUILT_IN, *installed("vidrec.embedders")]
    if (library := _library(ctx)) is not None:
        with library:
            found += [fingerprint.embedder for fingerprint in library.fingerprints()]
    return found


@_completion
def stores(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Built-in ones and those of plug-ins."""
    from vidrec.stores import BUILT_IN

    return [*BUILT_IN, *installed("vidrec.stores")]


@_completion
def checkpoints(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """The library's; a folder with a / is the shell's affair."""
    folder = _folder(ctx) / "checkpoints"
    return [path.parent.name for path in folder.glob("*/labels.json")]


@_completion
def labels(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """The labels that videos have."""
    return _column(ctx, "SELECT DISTINCT label FROM videos WHERE label IS NOT NULL")


@_completion
def conditions(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Fields, and after ``label=`` the labels."""
    from vidrec.library.fields import COLUMNS, OTHERS

    if incomplete.startswith("label="):
        return [f"label={label}" for label in labels(ctx, incomplete.removeprefix("label="))]
    own = _column(ctx, "SELECT DISTINCT key FROM fields")
    return [f"{name}=" for name in (*COLUMNS, *OTHERS, *own)]


@_completion
def videos(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Names of the library's videos, or ids after ``id:``; files are the shell's affair."""
    if incomplete.startswith("id:"):
        ids = _column(
            ctx, "SELECT id FROM videos WHERE id GLOB ? LIMIT 200", f"{incomplete[3:]}*"
        )  # fmt: skip
        return [f"id:{one[:12]}" for one in ids]
    if not incomplete or "/" in incomplete:
        return []
    return _column(
        ctx, "SELECT filename FROM videos WHERE substr(filename, 1, ?) = ? LIMIT 200",
        len(incomplete), incomplete,
    )  # fmt: skip


def _column(ctx: typer.Context, query: str, *values: object) -> list[str]:
    library = _library(ctx)
    if library is None:
        return []
    with library:
        return [str(row[0]) for row in library.read(query, *values)]


def _library(ctx: typer.Context) -> Library | None:
    from vidrec.library import Library
    from vidrec.library.catalog import has_catalog

    folder = _folder(ctx)
    return Library(folder, create=False) if has_catalog(folder) else None


def _folder(ctx: typer.Context) -> Path:
    """Return the library's folder; all settings would take ten times as long to read."""
    from platformdirs import user_data_path

    from vidrec.files import expanded
    from vidrec.origins import read_given

    root = ctx.find_root().params
    flags = {"library": ctx.params.get("library")}
    value = read_given(root.get("config"), flags).origin("library").value
    return expanded(Path(value)) if value else user_data_path("vidrec", appauthor=False)
