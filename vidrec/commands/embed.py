"""Embed videos into the library."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from typer import Argument

from vidrec.commands.options import NulSeparated, ReportFormat, command, flag, leave, option, sets
from vidrec.commands.stdin import agrees, nothing_in, with_stdin
from vidrec.display import (
    Bar,
    Format,
    count,
    dollars,
    moment,
    note,
    plain,
    show_data,
    show_lines,
    some,
)
from vidrec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vidrec.config import Settings
    from vidrec.ingest.embed import EmbedOptions, EmbedReport

SCHEMA = 1  # of the JSON objects that a run writes


@command(
    "embedder", "checkpoint", "library",
    clip_seconds=sets(
        "embedder.clip_seconds", float, "Target length of a clip, in seconds.", show_default="10"
    ),
    workers=sets(
        "embedder.workers", int, "Embed N videos at a time.",
        min=1, show_default="one per processor",
    ),
    device=sets(
        "embedder.device", Literal["auto", "cpu", "cuda"], "Device that runs the networks; auto "
        "uses a GPU where onnxruntime-gpu finds one.", show_default="auto",
    ),
    source=sets(
        "marengo.source", Literal["auto", "url", "asset"], "Let the service fetch the video "
        "(url), or send it the file (asset) (marengo).", show_default="auto",
    ),
    jobs=sets("marengo.jobs", int, "Run N jobs at a time (marengo).", min=1, show_default="4"),
    rpm=sets(
        "marengo.rpm", int, "Send at most N requests a minute (marengo).", min=1, show_default="60"
    ),
)  # fmt: skip
def embed(
    settings: Settings,
    paths: list[str] | None = Argument(None, help="Videos, folders, or - for a list on stdin."),
    label_from: Literal["auto", "folder", "none"] = option(
        "Label each video with the name of its folder (folder), only those found in "
        "subfolders of PATHS (auto), or not at all (none).",
        default="auto",
    ),
    limit: int | None = option("Embed at most N videos.", min=1),
    retry_failed: bool = flag("Retry videos that failed before.", "--retry-failed"),
    force: bool = flag("Embed again what is done.", "--force"),
    exclude: list[str] | None = option(
        "Skip files and folders that match a pattern (*.part, old/*); may be repeated.",
        metavar="GLOB",
    ),
    dry_run: bool = flag("Show what would be embedded, and embed nothing.", "--dry-run"),
    workers: int | None = None,
    max_minutes: float | None = option(
        "Pay for at most X minutes (marengo).",
        min=0,
        show_default="[paid] ask_minutes, then it asks",
    ),
    allow_paid: bool = flag("Pay without asking (marengo).", "--allow-paid"),
    repair: bool = flag(
        "Embed a fitting copy of videos that would be refused (marengo).", "--repair"
    ),
    metadata: Path | None = option(
        "Set fields of your own from a CSV or JSON lines file with a column `file`."
    ),
    shard: str | None = option(
        "Embed only part I of N (1/4); `vidrec import --library` joins the libraries.",
        metavar="I/N",
    ),
    engine: Literal["local", "ray"] = option(
        "Embed on this machine, or on a Ray cluster (needs vidrec[ray]).", default="local"
    ),
    address: str | None = option(
        "Address of the Ray cluster: HOST:PORT, or auto.", show_default="a new one on this machine"
    ),
    gpus: float = option("GPUs per Ray worker; may be a fraction.", default=0.0, min=0),
    index: bool = option(
        "Bring the local index up to date at the end.", "--index/--no-index", default=True
    ),
    wait: bool = flag("Wait until no other run embeds into the library.", "--wait"),
    strict: bool = flag("Exit with code 4 also for failures of earlier runs.", "--strict"),
    nul: NulSeparated = False,
    format: ReportFormat = "auto",
) -> None:
    """Embed videos into the library; what is done already is skipped.

    At the end the local index is brought up to date. Under --format jsonl, and in a pipe, each
    video is one JSON object as soon as it is done or has failed, and the last object sums up.

    Example: vidrec embed ~/Videos
    """
    from vidrec.ingest import embed as stage

    options = stage.EmbedOptions(
        limit=limit, retry_failed=retry_failed, force=force, label_from=label_from,
        max_minutes=max_minutes, allow_paid=allow_paid, repair=repair,
        exclude=tuple(exclude or ()), dry_run=dry_run, wait=wait, shard=_shard(shard),
        engine=engine, address=address, workers=workers, gpus=gpus,
    )  # fmt: skip
    named = with_stdin(paths, nul=nul) if paths else None
    rows: list[Mapping[str, Any]] = []
    told = {"jsonl": _show_row, "json": rows.append}.get(format, lambda row: None)
    report = stage.embed(settings, named, options, Bar(), told)
    if _pays_on(report, options):
        show_embed_report(report)
        options = replace(options, allow_paid=True, force=False)
        report = stage.embed(settings, named, options, Bar(), told)
    if dry_run:
        _show_plan(report, format)
    else:
        show_embed_report(report, format, rows, nothing_in(named))
    leave(interrupted=report.interrupted)
    if metadata is not None and not dry_run:
        _describe(settings, metadata)
    if index and not dry_run and (report.videos or report.skipped):
        _follow(settings, report)
    undone = report.over_cap and report.limit != "--max-minutes" and not dry_run
    leave(failed=report.failed or undone or (strict and report.known_failures))


def _pays_on(report: EmbedReport, options: EmbedOptions) -> bool:
    """Ask whether to pay for what the settings leave to be asked."""
    if options.dry_run or report.interrupted or report.limit != "[paid] ask_minutes":
        return False
    left = count(report.over_cap, "video")
    return agrees(f"{left} would cost more than [paid] ask_minutes. Pay for what is left?")


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
    show_lines([{"schema": SCHEMA, "event": "video", **row}], flush=True)


def _follow(settings: Settings, report: EmbedReport) -> None:
    """Bring the local index up to date; of a remote one only tell."""
    from vidrec.stores.base import index_command

    if settings.store.name != "knn":
        if report.videos:
            command = index_command(settings.store.name, report.embedder)
            note(f"the index in {settings.store.name} is not up to date: run `{command}`")
        return
    from vidrec.ingest.index import index

    done = index(settings, progress=Bar())
    if done.written or done.deleted:
        note(f"the local index serves {count(done.total, 'point')}")


def show_embed_report(
    report: EmbedReport,
    wished: Format = "table",
    rows: list[Mapping[str, Any]] | None = None,
    nothing: str = "",
) -> None:
    """Sum up a run of `embed`: as JSON on stdout where that is wished, for a person on stderr.

    ``nothing`` is said where it found no video.
    """
    from vidrec.commands.rows import EmbedSummary

    bill = report.bill
    summary = asdict(
        EmbedSummary(
            SCHEMA, "summary", report.embedder, report.fingerprint, report.videos, report.clips,
            report.footage_sec, report.seconds, report.skipped, report.known_failures,
            report.failed, report.left, report.over_cap, report.elsewhere, report.interrupted,
            bill.jobs if bill else 0, bill.minutes if bill else 0.0, bill.unclear if bill else 0,
            report.price,
        )
    )  # fmt: skip
    show_data(wished, {**summary, "rows": rows or []}, [summary])
    parts = [
        f"{count(report.videos, 'video')}, {count(report.clips, 'clip')}, "
        f"{report.footage_sec / 60:.1f} minutes of footage in {report.seconds:.1f} s",
        some(report.skipped, "skipped (done before)"),
        some(report.known_failures, "skipped (failed before; --retry-failed)"),
        some(report.failed, "failed"),
        some(report.left, "left by --limit"),
        _left_by_cap(report),
        some(report.elsewhere, "of other shards"),
        _paid(report),
    ]
    counted = (report.videos, report.skipped, report.known_failures, report.failed, report.left,
               report.over_cap, report.elsewhere)  # fmt: skip
    if not any(counted) and not report.interrupted:
        note(nothing)
        return
    head = "interrupted; embedded" if report.interrupted else "embedded"
    note(f"{head} {'; '.join(part for part in parts if part)}")


def _left_by_cap(report: EmbedReport) -> str:
    hint = " (--allow-paid pays for them)" if report.limit == "[paid] ask_minutes" else ""
    return some(report.over_cap, f"left by {report.limit}{hint}")


def _paid(report: EmbedReport) -> str:
    if report.bill is None:
        return ""
    cost = "" if report.price is None else f", {dollars(report.price)}"
    some = f"{count(report.bill.jobs, 'paid job')}, {report.bill.minutes:.1f} minutes{cost}"
    unclear = report.bill.unclear
    return f"{some}, {unclear} of unclear fate counted" if unclear else some


def _show_plan(report: EmbedReport, wished: Format) -> None:
    video = {"schema": SCHEMA, "event": "video", "status": "planned"}
    rows = [{**video, "source": path, "duration_sec": seconds} for path, seconds in report.todo]
    if not show_data(wished, rows, rows):
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
    if report.expected is not None:
        jobs, minutes = report.expected.jobs, f"{report.expected.minutes:.1f} minutes"
        least = "at least " if report.expected.unknown else ""
        over = f"; {_left_by_cap(report)}" if report.over_cap else ""
        note(
            f"would pay for {count(jobs, 'job')}, {least}{minutes} of footage, in at least "
            f"{2 * jobs} requests; cost {dollars(report.price)}{over}"
        )
