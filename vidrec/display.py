"""What a person or a program sees: results on stdout, all else on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from vidrec.errors import VidrecError

if TYPE_CHECKING:
    from rich.console import Console

    from vidrec.pipeline.doctor import Check
    from vidrec.pipeline.embed import EmbedReport
    from vidrec.pipeline.fetch_ucf import ClassCount, FetchReport
    from vidrec.pipeline.index import IndexReport
    from vidrec.pipeline.plan import EmbedPlan
    from vidrec.pipeline.quality import EvaluateReport, Metric
    from vidrec.pipeline.recommend import Recommended
    from vidrec.pipeline.remove import RemoveReport
    from vidrec.pipeline.status import EmbedderStatus, Status
    from vidrec.pipeline.train import TrainReport
    from vidrec.pipeline.upload import UploadReport
    from vidrec.pipeline.usage import Usage
    from vidrec.types import Recommendation, Video

PLAIN_SECONDS = 5.0  # between two lines of progress where there is no terminal


class Format(str, Enum):
    """How results are written. auto is a table on a terminal and JSON lines in a pipe."""

    auto = "auto"
    table = "table"
    json = "json"
    jsonl = "jsonl"
    paths = "paths"


_format = Format.auto  # of the command that runs: errors are JSON when results are


def choose_format(wished: Format) -> Format:
    """Settle ``auto`` and remember the choice for errors."""
    global _format
    if wished is Format.auto:
        wished = Format.table if sys.stdout.isatty() else Format.jsonl
        _format = Format.auto
    else:
        _format = wished
    return wished


def show_error(error: VidrecError) -> None:
    """Write an error as one line, or as one JSON object under a JSON format."""
    message = " ".join(str(error).split())
    if _format in (Format.json, Format.jsonl):
        line = json.dumps(
            {"error": message, "kind": type(error).__name__, "exit_code": error.exit_code},
            ensure_ascii=False,
        )
    else:
        line = f"error: {message}"
    print(line, file=sys.stderr)


def command(line: str) -> None:
    """Write a command that is about to run, as one would type it."""
    print(f"\n$ {line}", flush=True)


def note(message: str) -> None:
    """Write a line to stderr."""
    print(message, file=sys.stderr)


def show_recommended(answer: Recommended, wished: Format) -> None:
    """Write the results of a query."""
    match wished:
        case Format.json:
            head = {"query": answer.query, "embedder": answer.embedder, "store": answer.store}
            rows = [asdict(row) for row in answer.results]
            print(json.dumps({**head, "results": rows}, ensure_ascii=False, indent=2))
        case Format.paths:
            for row in answer.results:
                print(row.path or row.url or row.filename)
        case Format.table:
            _recommended_table(answer)
        case _:
            show_lines(asdict(row) for row in answer.results)
    if answer.unindexed:
        note("note: the library has changed since it was indexed: run `vidrec index`")


def show_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))


def _recommended_table(answer: Recommended) -> None:
    labelled = any(row.label for row in answer.results)
    columns = ["#", "score", "video", "best moment", "length", *(["label"] if labelled else [])]
    rows = [
        [
            str(row.rank),
            f"{row.score:.3f}",
            _linked(row),
            f"{moment(row.start_sec)}–{moment(row.end_sec)}",
            moment(row.duration_sec),
            *([_escaped(row.label or "")] if labelled else []),
        ]
        for row in answer.results
    ]
    show_table(columns, rows, right=("#", "score", "best moment", "length"))


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Write a table to stdout; cells may hold rich's markup."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column, justify="right" if column in right else "left", no_wrap=column in right,
            overflow="fold",
        )  # fmt: skip
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _console() -> Console:
    from rich.console import Console

    # Without a terminal there is no width to fit: never cut what a program may read.
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _linked(row: Recommendation) -> str:
    """The file name, clickable where the terminal can."""
    name = _escaped(row.filename)
    target = Path(row.path).as_uri() if row.path else row.url
    return f"[link={target}]{name}[/link]" if target and "]" not in target else name


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


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
    head = "interrupted; embedded" if report.interrupted else "embedded"
    note(f"{head} {'; '.join(part for part in parts if part)}")


def show_plan(plan: EmbedPlan) -> None:
    """List what `embed` would do."""
    for path, seconds in plan.todo:
        print(f"{moment(seconds):>8}  {path}")
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
        print(f"{size(count):>9}  {path}  {url}")
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
        indent = 2 if wished is Format.json else None
        print(json.dumps(asdict(usage), ensure_ascii=False, indent=indent))
        return
    show_table(
        ["embedder", "model", "jobs", "minutes", "cost", "texts", "cost of texts"],
        [
            [row.embedder, _escaped(row.model), str(row.jobs), f"{row.minutes:.1f}",
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
        print(json.dumps({"checks": rows}, ensure_ascii=False, indent=2))
    return failed


def dollars(cost: float | None) -> str:
    """Write a cost; one that no price is set for is not known."""
    return "not known" if cost is None else f"${cost:.2f}"


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
        indent = 2 if wished is Format.json else None
        print(json.dumps(asdict(status), default=str, ensure_ascii=False, indent=indent))
        return
    print(f"library  {status.library} ({size(status.library_bytes)}, "
          f"catalog {size(status.catalog_bytes)})")  # fmt: skip
    print(f"config   {config or 'none (defaults)'}")
    missing = f"; the files of {status.missing} are gone" if status.missing else ""
    print(f"videos   {status.videos}, {status.footage_sec / 60:.1f} minutes{missing}")
    if status.embedders:
        show_table(
            ["embedder", "fingerprint", "videos", "embeddings", f"indexed ({status.store})"],
            [_embedder_row(row) for row in status.embedders],
            right=("videos", "embeddings"),
        )
    for failure in status.failures:
        print(f"failed   {failure.source}: {failure.reason} ({failure.stage})")


def _embedder_row(row: EmbedderStatus) -> list[str]:
    indexed = "no" if row.indexed is None else f"{row.indexed} points"
    if row.stale:
        indexed += ", not up to date: run `vidrec index`"
    cells = [row.embedder, row.fingerprint, str(row.videos), str(row.embeddings), indexed]
    return [_escaped(cell) for cell in cells]


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
        print(json.dumps({"videos": rows}, ensure_ascii=False, indent=2))
    elif wished is Format.jsonl:
        show_lines(rows)
    else:
        show_table(
            ["id", "video", "length", "size", "label", "embedders"],
            [
                [video.id[:12], _escaped(video.filename), moment(video.duration_sec),
                 size(video.size), _escaped(video.label or ""), ", ".join(embedders)]
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
        print(json.dumps(asdict(report), ensure_ascii=False, indent=2))
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
        print(json.dumps({"classes": rows}, ensure_ascii=False, indent=2))
    elif wished is Format.paths:
        for row in classes:
            print(row.label)
    elif wished is Format.jsonl:
        show_lines(rows)
    else:
        cells = [[_escaped(row.label), str(row.clips), str(row.groups)] for row in classes]
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


def moment(seconds: float | None) -> str:
    """Write seconds as ``m:ss`` or ``h:mm:ss``; a dash where they are not known."""
    if seconds is None:
        return "–"
    whole = int(seconds + 0.5)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    """Write a number of bytes for a person."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class Bar:
    """Progress on stderr: a bar with count and estimate on a terminal, plain lines otherwise."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._task = ""
        self._total: int | None = None
        self._unit = ""
        self._done = 0
        self._said = self._started = 0.0

    def start(self, task: str, total: int | None, unit: str) -> None:
        self._task, self._total, self._unit, self._done = task, total, unit, 0
        self._said = self._started = time.monotonic()
        if self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=task, total=total, unit=unit if unit == "B" else f" {unit}",
                unit_scale=unit == "B", file=self._stream, dynamic_ncols=True, leave=False,
            )  # fmt: skip

    def step(self, count: int = 1, detail: str = "") -> None:
        self._done += count
        if self._bar is not None:
            if detail:
                self._bar.set_postfix_str(detail[:30], refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._said >= PLAIN_SECONDS:
            self._said = time.monotonic()
            of = "" if self._total is None else f"/{self._total}"
            rate = self._done / (self._said - self._started)
            more = f"; {detail}" if detail else ""
            self._stream.write(
                f"{self._task}: {self._done}{of} {self._unit} ({rate:,.1f} a second{more})\n"
            )
            self._stream.flush()

    def warn(self, message: str) -> None:
        if self._bar is not None:
            self._bar.write(message, file=self._stream)
        else:
            self._stream.write(message + "\n")
            self._stream.flush()

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
