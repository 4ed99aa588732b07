"""Fetch a subset of UCF101."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidrec.commands.options import ReportFormat, command, flag, option, settings_for
from vidrec.display import Bar, Format, count, note, show_data, show_table, size

if TYPE_CHECKING:
    from vidrec.training.fetch_ucf import ClassCount, FetchReport


UCF101_URL = "https://storage.googleapis.com/thumos14_files/UCF101_videos.zip"


@command()
def fetch_ucf(
    dest: Path = option("Folder for the clips.", default=Path("ucf101")),
    classes: int = option("Fetch the first N classes by name.", default=10, min=1),
    class_: list[str] | None = option(
        "Fetch this class; may be repeated.", "--class", metavar="NAME"
    ),
    per_class: str = option("Clips per class, or all.", default="50", metavar="N"),
    split: str = option(
        "Clips for train/val/test, or their ratio.", default="30/10/10", metavar="N/N/N"
    ),
    split_by: Literal["group", "file"] = option(
        "Keep clips of one source on one side (group), or go by file name alone (file).",
        default="group",
    ),
    seed: int = option("Random seed of the choice of clips.", default=0),
    url: str = option(
        "URL of the archive; its server must answer range requests.",
        default=UCF101_URL,
        metavar="URL",
        show_default=False,
    ),
    workers: int = option("Download N clips at a time.", default=8, min=1, max=64),
    list_: bool = flag("List the classes, and fetch nothing.", "--list"),
    format: ReportFormat = "auto",
) -> None:
    """Fetch a subset of UCF101, only the bytes of the chosen clips.

    Example: vidrec fetch-ucf --classes 5 --dest ucf101
    """
    from vidrec.datasets.split import Wish
    from vidrec.training import fetch_ucf as stage

    settings_for()  # has no setting of its own, but a wrong config file is told here, too
    if list_:
        _show_classes(stage.list_classes(url), format)
        return
    wish = Wish(
        class_ or classes,
        stage.parse_per_class(per_class),
        stage.parse_split(split),
        split_by,
        seed,
    )
    report = stage.fetch_ucf(url, dest, wish, workers=workers, progress=Bar())
    show_data(format, report)
    _show_fetch(report)


def _show_classes(classes: Sequence[ClassCount], wished: Format) -> None:
    if not show_data(wished, {"classes": classes}, classes):
        show_table(
            [{"class": row.label, "clips": str(row.clips), "groups": str(row.groups)}
             for row in classes],
            right=("clips", "groups"),
        )  # fmt: skip


def _show_fetch(report: FetchReport) -> None:
    counts = "/".join(map(str, report.counts))
    note(
        f"fetched {count(report.new, 'clip')} ({size(report.n_bytes)}), {report.there} were there; "
        f"{report.dest} holds {counts} clips for train/val/test"
    )
    for label, got in report.short.items():
        note(f"note: the groups of {label} allow only {'/'.join(map(str, got))}")
