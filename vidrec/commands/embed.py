"""Embed videos into the library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidrec import display
from vidrec.commands.options import (
    CheckpointFolder,
    EmbedderName,
    Library,
    NulSeparated,
    OutputFormat,
    settings_for,
    with_stdin,
)
from vidrec.display import Format, count, dollars, moment, note, plain
from vidrec.errors import PartialFailure, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vidrec.config import Settings
    from vidrec.ingest.embed import EmbedReport

SCHEMA = 1  # of the JSON objects that a run writes


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
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Leave out files and folders below a named folder whose name or path "
                     "there fits a pattern (*.part, old/*); may be repeated.",
                     show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; embed nothing.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Videos in work at once.", show_default="one a processor"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where networks run: auto (a GPU where onnxruntime-gpu finds one), cpu or cuda.",
            show_default="auto",
        ),
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
    metadata: Annotated[
        Path | None,
        typer.Option(
            help="Set your own fields from a CSV or JSON lines file, joined by its column file.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointFolder = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Do only part I of N (1/4): files are told apart by their content, URLs "
                     "by themselves. `vidrec import --library` joins the libraries.",
                     metavar="I/N", show_default=False),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Where: local, or ray for a cluster (needs vidrec[ray]).")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="The Ray cluster (auto, HOST:PORT).",
                     show_default="one on this machine"),
    ] = None,
    gpus: Annotated[
        float, typer.Option(min=0, help="GPUs, or parts of one, a Ray worker takes.")
    ] = 0.0,
    index: Annotated[
        bool,
        typer.Option("--index/--no-index", help="Bring the local index up to date at the end."),
    ] = True,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait while another run embeds into the library.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 4 also for what failed before.")
    ] = False,
    nul: NulSeparated = False,
    format: OutputFormat = Format.auto,
    library: Library = None,
) -> None:  # fmt: skip
    """Embed videos into the library; what is done already is skipped.

    At the end the local index is brought up to date. Under --format jsonl, and in a pipe, each
    video is one JSON object as soon as it is done or has failed, and the last object sums up.

    Example: vidrec embed ~/Videos
    """
    from vidrec.ingest import embed as stage

    if label_from not in (None, "folder", "none"):
        raise UsageError(f"--label-from is folder or none. Received: {label_from}")
    if engine not in ("local", "ray"):
        raise UsageError(f"--engine is local or ray. Received: {engine}")
    wished = display.choose_format(format, paths=False)
    settings = settings_for(
        embedder__name=embedder,
        embedder__clip_seconds=clip_seconds,
        embedder__workers=workers,
        embedder__device=device,
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
        exclude=tuple(exclude or ()),
        dry_run=dry_run,
        wait=wait,
        shard=_shard(shard),
        engine=engine,  # type: ignore[arg-type]
        address=address,
        workers=workers,
        gpus=gpus,
    )
    named = with_stdin(paths, nul=nul) if paths else None
    rows: list[Mapping[str, Any]] = []
    told = {Format.jsonl: _show_row, Format.json: rows.append}.get(wished, lambda row: None)
    report = stage.embed(settings, named, options, display.Bar(), told)
    if dry_run:
        show_plan(report, wished)
    else:
        show_embed_report(report, wished, rows)
    if report.interrupted:
        raise typer.Exit(130)
    if metadata is not None and not dry_run:
        _describe(settings, metadata)
    if index and not dry_run and (report.videos or report.skipped):
        _follow(settings, report)
    if report.failed or (strict and report.known_failures):
        raise typer.Exit(PartialFailure.exit_code)


def _describe(settings: Settings, path: Path) -> None:
    from vidrec.commands.tag import show_metadata
    from vidrec.ingest.metadata import read_metadata
    from vidrec.search.conditions import scalar

    show_metadata(read_metadata(settings, path, scalar), strict=False)


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    which, slash, of = text.partition("/")
    if not (slash and which.isdecimal() and of.isdecimal() and 1 <= int(which) <= int(of)):
        raise UsageError(f"--shard is I/N, the I-th of N parts. Received: {text}")
    return int(which), int(of)


def _show_row(row: Mapping[str, Any]) -> None:
    display.show_lines([{"schema": SCHEMA, "event": "video", **row}], flush=True)


def _follow(settings: Settings, report: EmbedReport) -> None:
    """Bring the local index up to date; of a remote one only tell."""
    from vidrec.stores.base import index_command

    if settings.store.name != "knn":
        if report.videos:
            command = index_command(settings.store.name, report.embedder)
            note(f"the index in {settings.store.name} is not up to date: run `{command}`")
        return
    from vidrec.ingest.index import index

    done = index(settings, progress=display.Bar())
    if done.written or done.deleted:
        note(f"the local index serves {count(done.total, 'point')}")


def show_embed_report(
    report: EmbedReport, wished: Format = Format.table, rows: list[Mapping[str, Any]] | None = None
) -> None:
    """Sum up a run of `embed`: as JSON on stdout where that is wished, for a person on stderr."""
    summary = {
        "schema": SCHEMA, "event": "summary", "embedder": report.embedder,
        "fingerprint": report.fingerprint, "videos": report.videos, "clips": report.clips,
        "footage_sec": report.footage_sec, "seconds": report.seconds, "skipped": report.skipped,
        "known_failures": report.known_failures, "failed": report.failed, "left": report.left,
        "over_cap": report.over_cap,
        "elsewhere": report.elsewhere, "interrupted": report.interrupted,
        "paid_jobs": report.bill.jobs if report.bill else 0,
        "paid_minutes": report.bill.minutes if report.bill else 0.0,
    }  # fmt: skip
    if wished is Format.jsonl:
        display.show_lines([summary])
    elif wished is Format.json:
        display.show_json({**summary, "rows": rows or []})
    parts = [
        f"{count(report.videos, 'video')}, {count(report.clips, 'clip')}, "
        f"{report.footage_sec / 60:.1f} minutes of footage in {report.seconds:.1f} s",
        f"{report.skipped} skipped (done before)" if report.skipped else "",
        f"{report.known_failures} skipped (failed before; --retry-failed)"
        if report.known_failures
        else "",
        f"{report.failed} failed" if report.failed else "",
        f"{report.left} left by --limit" if report.left else "",
        f"{report.over_cap} left by --max-minutes" if report.over_cap else "",
        f"{report.elsewhere} of other shards" if report.elsewhere else "",
        f"{report.bill.jobs} paid jobs, {report.bill.minutes:.1f} minutes" if report.bill else "",
    ]
    counted = (report.videos, report.skipped, report.known_failures, report.failed, report.left,
               report.over_cap, report.elsewhere)  # fmt: skip
    if not any(counted) and not report.interrupted:
        note("no video was found: folders are searched for files with a video's extension")
    head = "interrupted; embedded" if report.interrupted else "embedded"
    note(f"{head} {'; '.join(part for part in parts if part)}")


def show_plan(report: EmbedReport, wished: Format) -> None:
    """List what `embed` would do."""
    if wished is not Format.table:
        _show_plan_rows(report, wished)
    else:
        for path, seconds in report.todo:
            print(f"{moment(seconds):>8}  {plain(path)}")
    for path, problem in report.problems:
        note(f"would fail: {path}: {problem}")
    known = sum(seconds or 0.0 for _, seconds in report.todo)
    note(
        f"would embed {count(len(report.todo), 'video')}, {known / 60:.1f} minutes of footage, "
        f"with {report.fingerprint}; {report.skipped} done before, {report.known_failures} failed "
        f"before, {len(report.problems)} that would fail"
    )
    unknown = sum(seconds is None for _, seconds in report.todo)
    if unknown:
        note(f"{unknown} of them are remote and of unknown length: they are read when embedded")
    if report.bill is not None:
        cost = dollars(report.price)
        over = f"; {report.over_cap} left by --max-minutes" if report.over_cap else ""
        note(
            f"would pay for {count(report.bill.jobs, 'job')}, {report.bill.minutes:.1f} minutes "
            f"of footage, in at least {2 * report.bill.jobs} requests; cost {cost}{over}"
        )


def _show_plan_rows(report: EmbedReport, wished: Format) -> None:
    rows = [
        {"schema": SCHEMA, "event": "video", "status": "planned", "source": source,
         "duration_sec": seconds}
        for source, seconds in report.todo
    ]  # fmt: skip
    display.show_lines(rows) if wished is Format.jsonl else display.show_json(rows)
