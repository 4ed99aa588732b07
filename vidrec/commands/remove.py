"""Forget videos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer import Argument

from vidrec.commands import completion
from vidrec.commands.options import NulSeparated, ReportFormat, command, flag
from vidrec.commands.stdin import agrees, may_ask, with_stdin
from vidrec.display import Format, count, note, show_data
from vidrec.errors import UsageError
from vidrec.wording import not_held

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.ingest.remove import RemoveReport


@command("library")
def remove(
    settings: Settings,
    videos: list[str] | None = Argument(
        None,
        help="Videos (id:…, paths, names) or folders, or - for a list on stdin.",
        autocompletion=completion.videos,
    ),
    missing: bool = flag("Forget videos whose files are gone.", "--missing"),
    yes: bool = flag(
        "With --missing: also forget videos that were paid for, or whose whole folder is gone.",
        "--yes",
        "-y",
    ),
    dry_run: bool = flag("Show what would be removed, and remove nothing.", "--dry-run"),
    nul: NulSeparated = False,
    format: ReportFormat = "auto",
) -> None:
    """Forget videos: their embeddings leave the library and its index. Files stay.

    What is not in the library is removed already: that is no error.

    Example: vidrec remove old.mp4
    """
    from vidrec.ingest.remove import remove as stage

    if videos is None and not missing:
        raise UsageError("nothing to remove: name videos or folders, or give --missing")
    names = with_stdin(videos or [], nul=nul)
    report = stage(settings, names, missing=missing, yes=yes, dry_run=dry_run)
    if report.kept and not dry_run and may_ask():
        for video in report.kept:
            note(f"{video.path or video.filename}: {video.reason}")
        if agrees(f"Forget {count(len(report.kept), 'such video')} as well?"):
            _show_removed(report, format)
            ids = [f"id:{video.video_id}" for video in report.kept]
            report = stage(settings, ids)
    _show_removed(report, format)


def _show_removed(report: RemoveReport, wished: Format) -> None:
    show_data(wished, report)
    verb = "would remove" if report.dry_run else "removed"
    for video in report.videos:
        note(f"{verb} {video.path or video.url or video.filename} ({video.video_id[:12]})")
    for name in report.unknown:
        note(not_held(name))
    for video in report.kept:
        note(f"kept {video.path} ({video.video_id[:12]}): {video.reason}; --yes forgets it")
    for reason in report.behind:
        note(f"the index is not up to date, `vidrec index` will be: {reason}")
    points = "" if report.dry_run else f" and {count(report.points, 'point')}"
    note(f"{verb} {count(len(report.videos), 'video')}{points}; the files stay")
