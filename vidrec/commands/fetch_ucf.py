"""Fetch a subset of UCF101."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidrec import display
from vidrec.commands.options import (
    ReportFormat,
    settings_for,
)
from vidrec.display import (
    Format,
    Report,
    count,
    note,
    show_json,
    show_lines,
    show_summary,
    show_table,
    size,
)

if TYPE_CHECKING:
    from vidrec.training.fetch_ucf import ClassCount, FetchReport


UCF101_URL = "https://storage.googleapis.com/thumos14_files/UCF101_videos.zip"


def fetch_ucf(
    dest: Annotated[Path, typer.Option(help="Folder for the clips.")] = Path("ucf101"),
    classes: Annotated[int, typer.Option(min=1, help="Fetch the first N classes by name.")] = 10,
    class_: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="Fetch this class; may be repeated.", metavar="NAME", show_default=False
        ),
    ] = None,
    per_class: Annotated[str, typer.Option(help="Clips per class, or all.", metavar="N")] = "50",
    split: Annotated[
        str,
        typer.Option(help="Clips for train/val/test, or their ratio.", metavar="N/N/N"),
    ] = "30/10/10",
    split_by: Annotated[
        Literal["group", "file"],
        typer.Option(
            help="Keep clips of one source on one side (group), or go by file name alone (file)."
        ),
    ] = "group",
    seed: Annotated[int, typer.Option(help="Random seed of the choice of clips.")] = 0,
    url: Annotated[
        str,
        typer.Option(
            help="URL of the archive; its server must answer range requests.",
            metavar="URL",
            show_default=False,
        ),
    ] = UCF101_URL,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Download N clips at a time.")] = 8,
    list_: Annotated[
        bool, typer.Option("--list", help="List the classes, and fetch nothing.")
    ] = False,
    format: ReportFormat = Report.auto,
) -> None:
    """Fetch a subset of UCF101, only the bytes of the chosen clips.

    Example: vidrec fetch-ucf --classes 5 --dest ucf101
    """
    from vidrec.training import fetch_ucf as stage

    wished = display.choose_format(format)
    settings_for()  # has no setting of its own, but a wrong config file is told here, too
    if list_:
        show_classes(stage.list_classes(url), wished)
        return
    options = stage.FetchOptions(
        class_ or classes,
        stage.parse_per_class(per_class),
        stage.parse_split(split),
        split_by,
        seed,
    )
    report = stage.fetch_ucf(url, dest, options, workers=workers, progress=display.Bar())
    show_summary(report, wished)
    show_fetch_report(report)


def show_classes(classes: Sequence[ClassCount], wished: Format) -> None:
    """List the classes of an archive."""
    rows = [asdict(row) for row in classes]
    if wished is Format.json:
        show_json({"classes": rows})
    elif wished is Format.jsonl:
        show_lines(rows)
    else:
        cells = [[row.label, str(row.clips), str(row.groups)] for row in classes]
        show_table(["class", "clips", "groups"], cells, right=("clips", "groups"))


def show_fetch_report(report: FetchReport) -> None:
    """Sum up a run of `fetch-ucf`."""
    counts = "/".join(map(str, report.counts))
    note(
        f"fetched {count(report.new, 'clip')} ({size(report.n_bytes)}), {report.there} were there; "
        f"{report.dest} holds {counts} clips for train/val/test"
    )
    for label, got in report.short.items():
        note(f"note: the groups of {label} allow only {'/'.join(map(str, got))}")
