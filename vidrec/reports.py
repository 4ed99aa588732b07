"""How each stage's outcome is shown: a table for a person, JSON for a program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.display import (
    Format,
    dollars,
    escaped,
    moment,
    note,
    plain,
    show_json,
    show_lines,
    show_table,
    size,
)

if TYPE_CHECKING:
    from vidrec.pipeline.doctor import Check
    from vidrec.pipeline.embed import EmbedReport
    from vidrec.pipeline.fetch_ucf import ClassCount, FetchReport
    from vidrec.pipeline.index import IndexReport
    from vidrec.pipeline.plan import EmbedPlan
    from vidrec.pipeline.quality import ConfidenceReport, EvaluateReport, Metric
    from vidrec.pipeline.recommend import Recommended
    from vidrec.pipeline.remove import RemoveReport
    from vidrec.pipeline.status import EmbedderStatus, Status
    from vidrec.pipeline.train import TrainReport
    from vidrec.pipeline.upload import UploadReport
    from vidrec.pipeline.usage import Usage
    from vidrec.types import Recommendation, Video


def show_recommended(answer: Recommended, wished: Format) -> None:
    """Write the results of a query."""
    match wished:
        case Format.json:
            head = {"query": answer.query, "embedder": answer.embedder, "store": answer.store}
            rows = [asdict(row) for row in answer.results]
            show_json({**head, "results": rows})
        case Format.paths:
            for row in answer.results:
                print(row.path or row.url or row.filename)
        case Format.table:
            _recommended_table(answer)
        case _:
            show_lines(asdict(row) for row in answer.results)
    if answer.paid_minutes:
        note(f"note: {answer.paid_minutes:.1f} minutes of footage were paid for to ask with")
    if answer.unindexed:
        from vidrec.stores.base import index_command

        again = index_command(answer.store, answer.embedder.partition(":")[0])
        note(f"note: the library has changed since it was indexed: run `{again}`")


def _recommended_table(answer: Recommended) -> None:
    labelled = any(row.label for row in answer.results)
    sure = any(row.confidence is not None for row in answer.results)
    columns = [
        "#", "score", *(["confidence"] if sure else []), "video", "best moment", "length",
        *(["label"] if labelled else []),
    ]  # fmt: skip
    rows = [
        [
            str(row.rank),
            f"{row.score:.3f}",
            *([_share(row.confidence)] if sure else []),
            _linked(row),
            f"{moment(row.start_sec)}–{moment(row.end_sec)}",
            moment(row.duration_sec),
            *([escaped(row.label or "")] if labelled else []),
        ]
        for row in answer.results
    ]
    show_table(columns, rows, right=("#", "score", "confidence", "best moment", "length"))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _linked(row: Recommendation) -> str:
    """The file name, clickable where the terminal can."""
    name = escaped(row.filename)
    path = Path(row.path) if row.path else None
    # An imported path may be relative, or of another system: nothing can be opened there.
    target = path.as_uri() if path is not None and path.is_absolute() else row.url
    return f"[link={target}]{name}[/link]" if target and "]" not in target else name


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


def show_upload_report(report: UploadReport, dry_run: bool) -> None:
    """Sum up a run of `upload`, or list what it would send."""
    for path, count, url in report.planned:
        print(f"{size(count):>9}  {plain(str(path))}  {url}")
    many = len(report.planned) if dry_run else report.uploaded
    head = "interrupted; uploaded" if report.interrupted else "uploaded"
    parts = [
        f"{'would upload' if dry_run else head} {many} videos, {size(report.sent_bytes)}, "
        f"to {report.where}",
        f"{report.present} there before" if report.present else "",
        f"{report.verified} verified" if report.verified else "",
        f"{report.failed} failed (run again to retry)" if report.failed else "",
    ]
    note("; ".join(part for part in parts if part))


def show_usage(usage: Usage, wished: Format) -> None:
    """Say what was paid for."""
    if wished in (Format.json, Format.jsonl):
        show_json(asdict(usage), wished)
        return
    show_table(
        ["embedder", "model", "jobs", "minutes", "cost", "texts", "cost of texts"],
        [
            [row.embedder, escaped(row.model), str(row.jobs), f"{row.minutes:.1f}",
             dollars(row.video_cost), str(row.texts), dollars(row.text_cost)]
            for row in usage.spent
        ],
        right=("jobs", "minutes", "cost", "texts", "cost of texts"),
    )  # fmt: skip
    print(f"{usage.uploads} videos uploaded, {size(usage.uploaded_bytes)}")


def show_checks(checks: Iterable[Check], wished: Format) -> bool:
    """Write each check as it is made; return whether one of them is a failure."""
    failed = False
    rows = []
    for check in checks:
        failed = failed or check.state == "failure"
        if wished is Format.json:
            rows.append(asdict(check))
        elif wished is Format.jsonl:
            show_lines([asdict(check)])
        else:
            mend = f"  → {check.mend}" if check.mend else ""
            print(f"{check.state:<8} {check.name}: {' '.join(check.detail.split())}{mend}")
            sys.stdout.flush()
    if wished is Format.json:
        show_json({"checks": rows})
    return failed


def show_index_report(report: IndexReport) -> None:
    """Sum up a run of `index`."""
    rate = report.written / report.seconds if report.seconds else 0.0
    note(
        f"indexed {report.written} points in {report.seconds:.1f} s ({rate:,.0f} a second), "
        f"deleted {report.deleted}; {report.where} serves {report.total} points of "
        f"{report.fingerprint}"
    )
    if report.stale:
        note(f"{report.stale} points are no longer in the library: --prune deletes them")


def show_status(status: Status, wished: Format, config: Path | None) -> None:
    """Describe the library."""
    if wished in (Format.json, Format.jsonl):
        show_json(asdict(status), wished)
        return
    print(f"library  {status.library} ({size(status.library_bytes)}, "
          f"catalog {size(status.catalog_bytes)})")  # fmt: skip
    print(f"config   {config or 'none (defaults)'}")
    missing = f"; the files of {status.missing} are gone" if status.missing else ""
    print(f"videos   {status.videos}, {status.footage_sec / 60:.1f} minutes{missing}")
    if status.embedders:
        show_table(
            ["embedder", "fingerprint", "videos", "embeddings", f"indexed ({status.store})"],
            [_embedder_row(row, status.store) for row in status.embedders],
            right=("videos", "embeddings"),
        )
    for problem in dict.fromkeys(row.problem for row in status.embedders if row.problem):
        print(plain(f"store    {problem}"))
    for failure in status.failures:
        print(plain(f"failed   {failure.source}: {failure.reason} ({failure.stage})"))


def _embedder_row(row: EmbedderStatus, store: str) -> list[str]:
    from vidrec.stores.base import index_command

    indexed = "no" if row.indexed is None else f"{row.indexed} points"
    indexed = "unknown" if row.problem else indexed
    if row.stale:
        indexed += f", not up to date: run `{index_command(store, row.embedder)}`"
    cells = [row.embedder, row.fingerprint, str(row.videos), str(row.embeddings), indexed]
    return [escaped(cell) for cell in cells]


def show_videos(videos: Sequence[tuple[Video, Sequence[str]]], wished: Format) -> None:
    """List videos with their embedders."""
    if wished is Format.paths:
        for video, _ in videos:
            print(video.path or video.url or video.filename)
        return
    rows = [
        {
            "video_id": video.id, "path": str(video.path) if video.path else None,
            "url": video.url, "filename": video.filename, "label": video.label,
            "group": video.group, "size": video.size, "duration_sec": video.duration_sec,
            "embedders": list(embedders),
        }
        for video, embedders in videos
    ]  # fmt: skip
    if wished is Format.json:
        show_json({"videos": rows})
    elif wished is Format.jsonl:
        show_lines(rows)
    else:
        show_table(
            ["id", "video", "length", "size", "label", "embedders"],
            [
                [video.id[:12], escaped(video.filename), moment(video.duration_sec),
                 size(video.size), escaped(video.label or ""), ", ".join(embedders)]
                for video, embedders in videos
            ],
            right=("id", "length", "size"),
        )  # fmt: skip


def show_removed(report: RemoveReport) -> None:
    """Say what was removed."""
    for video in report.videos:
        note(f"removed {video.filename} ({video.id[:12]})")
    note(f"removed {len(report.videos)} videos and {report.points} points; the files stay")


def show_evaluation(report: EvaluateReport, wished: Format) -> None:
    """Write what `evaluate` measured: as a table, one object, or one metric a line."""
    if wished is Format.json:
        show_json(asdict(report))
    elif wished is Format.jsonl:
        show_lines(asdict(metric) for metric in report.metrics)
    else:
        print(f"{report.fingerprint}, {report.videos} videos")
    if text := report.text:
        if wished is Format.table:
            print(f"\ntext → video: {text.queries} captions, {text.videos} videos by {text.scope}")
            _metric_table(text.metrics)
        for row in text.skipped[:5]:
            note(f"left out: line {row.line}, {row.file or 'no file'}: {row.reason}")
        if len(text.skipped) > 5:
            note(f"left out: {len(text.skipped) - 5} more rows")
    if (near := report.neighbours) and wished is Format.table:
        without = ", without the query's group" if near.exclude_group else ""
        alone = f"; {near.alone} more are alone with theirs" if near.alone else ""
        print(
            f"\nneighbours by {near.by}{without}: {near.queries} of {near.labelled} videos asked "
            f"with, {near.labels} labels{alone}"
        )
        _metric_table(near.metrics)
    if report.confidence and wished is Format.table:
        _confidence_table(report.confidence)


def _confidence_table(measured: Sequence[ConfidenceReport]) -> None:
    print("\nconfidence, kept in the library: does the best score show whether anything fits?")
    columns = ["query", "queries", "area under ROC", "refused, something fits", "refused, nothing"]
    rows = [
        [
            row.kind, str(row.queries), f"{row.separation:.3f}",
            f"{row.refused_present:.3f}", f"{row.refused_absent:.3f}",
        ]
        for row in measured
    ]  # fmt: skip
    show_table(columns, rows, right=columns[1:])


def _metric_table(metrics: Sequence[Metric]) -> None:
    rows = []
    for metric in metrics:
        places = 1 if metric.name == "median rank" else 3
        numbers = [
            f"{number:.{places}f}"
            for number in (metric.value, metric.low, metric.high, metric.chance)
        ]
        rows.append([metric.name, numbers[0], f"{numbers[1]}–{numbers[2]}", numbers[3]])
    columns = ["metric", "value", "95 % interval", "chance"]
    show_table(columns, rows, right=columns[1:])


def show_classes(classes: Sequence[ClassCount], wished: Format) -> None:
    """List the classes of an archive."""
    rows = [asdict(row) for row in classes]
    if wished is Format.json:
        show_json({"classes": rows})
    elif wished is Format.paths:
        for row in classes:
            print(row.label)
    elif wished is Format.jsonl:
        show_lines(rows)
    else:
        cells = [[escaped(row.label), str(row.clips), str(row.groups)] for row in classes]
        show_table(["class", "clips", "groups"], cells, right=("clips", "groups"))


def show_fetch_report(report: FetchReport) -> None:
    """Sum up a run of `fetch-ucf`."""
    counts = "/".join(map(str, report.counts))
    note(
        f"fetched {report.new} clips ({size(report.n_bytes)}), {report.there} were there; "
        f"{report.dest} holds {counts} clips for train/val/test"
    )
    for label, got in report.short.items():
        note(f"note: the groups of {label} allow only {'/'.join(map(str, got))}")


def show_train_report(report: TrainReport) -> None:
    """Sum up a run of `train`: figures on the test clips, beside random weights."""
    found, test = report.metrics, report.metrics["test"]
    head = "interrupted; kept the best of" if report.interrupted else "trained"
    seconds = found["seconds"]
    note(
        f"{head} {found['epochs']} epochs in {seconds['training']:.0f} s (best: "
        f"{found['best_epoch']}; reading {seconds['reading']:.0f} s, in all {seconds['all']:.0f} s)"
    )
    if report.skipped:
        note(f"{report.skipped} clips could not be read")
    rows = []
    for name, figures in (
        ("test → train", test.get("test_to_train")),
        ("within test", test.get("within_test")),
        ("test → train, random weights", found.get("random_weights", {}).get("test_to_train")),
    ):
        if figures and figures["queries"]:
            row = [_with_interval(figures, key) for key in ("p_at_1", "p_at_10", "map")]
            rows.append([name, *row, f"{figures['chance_map']:.2f}"])
    if rows:
        show_table(["retrieval", "P@1", "P@10", "mAP", "chance mAP"], rows)
        note(f"accuracy on {found['clips']['test']} test clips: {_with_interval(test, 'accuracy')}")
    note(f"checkpoint: {report.folder}")


def _with_interval(figures: Mapping[str, Any], key: str) -> str:
    low, high = figures[f"{key}_95"]
    return f"{figures[key]:.2f} ({low:.2f}–{high:.2f})"
