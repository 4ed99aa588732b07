"""Show what the library holds and what is indexed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.commands.options import ReportFormat, command
from vidrec.display import count, plain, show_data, show_table, size

if TYPE_CHECKING:
    from vidrec.care.status import EmbedderStatus, Status
    from vidrec.config import Settings


@command("library")
def status(settings: Settings, format: ReportFormat = "auto") -> None:
    """Show what the library holds, what is indexed, and what failed.

    Example: vidrec status
    """
    from vidrec.care.status import status as stage
    from vidrec.commands.options import config_in_use

    found = stage(settings)
    if not show_data(format, found):
        _show_status(found, config_in_use())


def _show_status(status: Status, config: Path | None) -> None:
    print(f"library  {status.library} ({size(status.library_bytes)}, "
          f"catalog {size(status.catalog_bytes)})")  # fmt: skip
    print(f"config   {config or 'none (defaults)'}")
    missing = f"; the files of {status.missing} are gone" if status.missing else ""
    print(f"videos   {status.videos:,}, {status.footage_sec / 60:.1f} minutes{missing}")
    if status.tones:
        told = ", ".join(f"{word} {number:,}" for word, number in status.tones.items())
        print(f"tone     {told}")
    if status.embedders:
        show_table(
            [_embedder_row(row, status.store) for row in status.embedders],
            right=("videos", "vectors"),
        )
    _advise(status)
    if status.checkpoints:
        show_table(
            [
                {"checkpoint": row.name, "recipe": row.recipe, "classes": str(row.classes),
                 "videos": str(row.videos), "default": "yes" if row.default else ""}
                for row in status.checkpoints
            ],
            right=("classes", "videos"),
        )  # fmt: skip
    for problem in dict.fromkeys(row.problem for row in status.embedders if row.problem):
        print(plain(f"store    {problem}"))
    for failure in status.failures:
        print(plain(f"failed   {failure.source}: {failure.reason} ({failure.stage})"))


def _embedder_row(row: EmbedderStatus, store: str) -> dict[str, str]:
    indexed = "no" if row.indexed is None else count(row.indexed, "point")
    indexed = "unknown" if row.problem else f"{indexed}, stale" if row.stale else indexed
    return {"embedder": row.embedder, "fingerprint": row.fingerprint, "videos": str(row.videos),
            "vectors": str(row.embeddings), f"in {store}": indexed}  # fmt: skip


def _advise(status: Status) -> None:
    from vidrec.stores.base import index_command

    for name in dict.fromkeys(row.embedder for row in status.embedders if row.stale):
        again = index_command(status.store, name)
        print(f"stale    the index of {name} is not up to date: run `{again}`")
