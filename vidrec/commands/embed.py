"""Embed videos into the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidrec import display
from vidrec.commands.options import (
    CheckpointFolder,
    EmbedderName,
    Library,
    settings_for,
    with_stdin,
)
from vidrec.display import (
    dollars,
    moment,
    note,
    plain,
)
from vidrec.errors import PartialFailure, UsageError

if TYPE_CHECKING:
    from vidrec.ingest.embed import EmbedReport
    from vidrec.ingest.plan import EmbedPlan


def embed(
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Videos, folders, or - for a list on stdin.", show_default=False),
    ] = None,
    embedder: EmbedderName = None,
    clip_seconds: Annotated[
        float | None, typer.Option(help="Wished length of a clip.", show_default="10")
    ] = None,
    label_from: Annotated[
        str | None,
        typer.Option(
            help="folder: label a video with its folder; none: do not. By default files below "
            "a folder that is named are labelled with theirs.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Embed at most so many videos.", show_default=False)
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Embed again what is done.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; embed nothing.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Videos in work at once.", show_default="one a processor"),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Pay for at most so much footage (marengo).", show_default=False),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Embed a fitting copy of what the service would refuse (marengo)."
        ),
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            help="Let the service fetch the video (url) or send it (asset) (marengo).",
            show_default="auto",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Jobs at once (marengo).", show_default="4")
    ] = None,
    rpm: Annotated[
        int | None,
        typer.Option(min=1, help="Requests a minute, at most (marengo).", show_default="60"),
    ] = None,
    checkpoint: CheckpointFolder = None,
    library: Library = None,
) -> None:
    """Embed videos into the library; what is done already is skipped.

    Example: vidrec embed ~/Videos
    """
    from vidrec.ingest import embed as stage

    if label_from not in (None, "folder", "none"):
        raise UsageError(f"--label-from is folder or none. Received: {label_from}")
    settings = settings_for(
        embedder__name=embedder,
        embedder__clip_seconds=clip_seconds,
        embedder__workers=workers,
        resnet__checkpoint=checkpoint,
        marengo__source=source,
        marengo__jobs=jobs,
        marengo__rpm=rpm,
        library=library,
    )
    options = stage.EmbedOptions(
        limit=limit,
        retry_failed=retry_failed,
        force=force,
        label_from=label_from or "auto",  # type: ignore[arg-type]
        max_minutes=max_minutes,
        repair=repair,
    )
    sources = with_stdin(paths or [])
    if dry_run:
        from vidrec.ingest.plan import plan

        show_plan(plan(settings, sources, options))
        return
    report = stage.embed(settings, sources, options, display.Bar())
    show_embed_report(report)
    if report.interrupted:
        raise typer.Exit(130)
    if report.failed:
        raise typer.Exit(PartialFailure.exit_code)


def show_embed_report(report: EmbedReport) -> None:
    """Sum up a run of `embed`."""
    minutes = report.footage_sec / 60
    parts = [
        f"{report.videos} videos, {report.clips} clips, {minutes:.1f} minutes of footage "
        f"in {report.seconds:.1f} s",
        f"{report.skipped} skipped (done before)" if report.skipped else "",
        f"{report.known_failures} skipped (failed before; --retry-failed)"
        if report.known_failures
        else "",
        f"{report.failed} failed" if report.failed else "",
        f"{report.left} left by --limit" if report.left else "",
        f"{report.over_cap} left by --max-minutes" if report.over_cap else "",
        f"{report.bill.jobs} paid jobs, {report.bill.minutes:.1f} minutes" if report.bill else "",
    ]
    counted = (report.videos, report.skipped, report.known_failures, report.failed, report.left,
               report.over_cap)  # fmt: skip
    if not any(counted) and not report.interrupted:
        note("no video was found: folders are searched for files with a video's extension")
    head = "interrupted; embedded" if report.interrupted else "embedded"
    note(f"{head} {'; '.join(part for part in parts if part)}")


def show_plan(plan: EmbedPlan) -> None:
    """List what `embed` would do."""
    for path, seconds in plan.todo:
        print(f"{moment(seconds):>8}  {plain(path)}")
    for path, problem in plan.problems:
        note(f"would fail: {path}: {problem}")
    known = sum(seconds or 0.0 for _, seconds in plan.todo)
    note(
        f"would embed {len(plan.todo)} videos, {known / 60:.1f} minutes of footage, with "
        f"{plan.fingerprint}; {plan.skipped} done before, {plan.known_failures} failed before, "
        f"{len(plan.problems)} that would fail"
    )
    unknown = sum(seconds is None for _, seconds in plan.todo)
    if unknown:
        note(f"{unknown} of them are remote and of unknown length: they are read when embedded")
    if plan.bill is not None:
        cost = dollars(plan.price)
        over = f"; {plan.over_cap} left by --max-minutes" if plan.over_cap else ""
        note(
            f"would pay for {plan.bill.jobs} jobs, {plan.bill.minutes:.1f} minutes of footage, "
            f"in at least {2 * plan.bill.jobs} requests; cost {cost}{over}"
        )
