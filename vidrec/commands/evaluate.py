"""evaluate: how good the embeddings are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidrec.commands.options import RankScope, ReportFormat, Where, command, flag, option
from vidrec.display import Format, count, note, show_data, show_table

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.evaluate.captions import SkippedRow
    from vidrec.evaluate.quality import AskedQuery, ConfidenceReport, EvaluateReport, Metric


@command("embedder", "checkpoint", "library")
def evaluate(
    settings: Settings,
    captions: Path | None = option("CSV file with the columns file and caption; - is stdin."),
    queries: Path | None = option(
        "CSV file with the columns file and query: one row for each video that fits."
    ),
    by: str | None = option(
        "What alike videos share: label, group, or a column of the captions.",
        metavar="FIELD",
        show_default="label",
    ),
    exclude_group: bool = flag(
        "Leave out neighbours from the group of the query.", "--exclude-group"
    ),
    scope: RankScope = "clip",
    where: Where = None,
    min: list[str] | None = option(
        "Exit with code 1 if a metric is smaller (R@1=0.45); may be repeated.", metavar="METRIC=X"
    ),
    calibrate: bool = flag(
        "Calibrate the confidence of recommend on this library, and keep it.", "--calibrate"
    ),
    splits: Literal["auto", "ignore"] = option(
        "Ask with test videos for training videos where splits are known (auto), or with "
        "each labelled video for all others (ignore).",
        default="auto",
    ),
    seed: int = option("Random seed of the bootstrap.", default=0, min=0),
    format: ReportFormat = "auto",
) -> None:
    """Measure how well texts and videos find what they should, against chance.

    Example: vidrec evaluate --captions captions.csv --min R@1=0.4
    """
    from vidrec.evaluate.evaluate import evaluate as stage
    from vidrec.evaluate.quality import check_minimums, parse_minimums
    from vidrec.search.conditions import parse_conditions

    minimums = parse_minimums(min or [])
    report = stage(
        settings, captions=captions, queries=queries, by=by, exclude_group=exclude_group, seed=seed,
        scope=scope, calibrate=calibrate, splits=splits, conditions=parse_conditions(where or []),
    )  # fmt: skip
    _show_evaluation(report, format)
    check_minimums(report, minimums)


def _show_evaluation(report: EvaluateReport, wished: Format) -> None:
    """Write what `evaluate` measured: as a table, one object, or one metric a line."""
    if not show_data(wished, report, report.metrics):
        print(f"{report.fingerprint}, {count(report.videos, 'video')}")
    if text := report.text:
        if wished == "table":
            among = f"{count(text.videos, 'video')} by {text.scope}"
            print(f"\ntext → video: {count(text.queries, 'caption')}, {among}")
            _metric_table(text.metrics)
        _note_skipped(text.skipped)
    if queries := report.queries:
        if wished == "table":
            among = f"{count(queries.videos, 'video')} by {queries.scope}"
            print(f"\nqueries → videos: {count(len(queries.queries), 'query')}, {among}")
            _metric_table(queries.metrics)
            _query_table(queries.queries)
        _note_skipped(queries.skipped)
    near = report.neighbours
    for what, part, why in (
        ("captions", report.text, "there is one video"),
        ("queries", report.queries, "all videos fit"),
        ("neighbours", near, "all have the same label"),
    ):
        if part and all(metric.chance > 1 - 1e-9 for metric in part.metrics):
            note(f"note: the figures of {what} tell nothing: any answer would be right, as {why}")
    if near and near.trained_on:
        note(
            f"WARNING: the network was trained on {near.trained_on} of the "
            f"{count(near.queries, 'video')} that were asked with: the figures are too good"
            + ("" if near.by_split else "; where splits are known, --splits auto asks from test "
               "to training videos")
        )  # fmt: skip
    if near and wished == "table":
        without = ", test → train" if near.by_split else ""
        without += ", without the query's group" if near.exclude_group else ""
        lonely = f"; {count(near.alone, 'video')} without another of the same label"
        alone = lonely if near.alone else ""
        print(
            f"\nneighbours by {near.by}{without}: {near.queries} of "
            f"{count(near.labelled, 'video')} asked with, {count(near.labels, 'label')}{alone}"
        )
        _metric_table(near.metrics)
    if report.confidence and wished == "table":
        _confidence_table(report.confidence)


def _note_skipped(skipped: Sequence[SkippedRow]) -> None:
    for row in skipped[:5]:
        note(f"left out: line {row.line}, {row.file or 'no file'}: {row.reason}")
    if len(skipped) > 5:
        note(f"left out: {len(skipped) - 5} more rows")


def _query_table(queries: Sequence[AskedQuery]) -> None:
    rows = [
        {"query": row.query, "fit": str(row.relevant), "AP": f"{row.average_precision:.2f}",
         "P@5": f"{row.precision_5:.2f}", "chance": f"{row.chance:.2f}",
         "best score": f"{row.score:.3f}"}
        for row in queries
    ]  # fmt: skip
    show_table(rows, right=[*rows[0]][1:])


def _confidence_table(measured: Sequence[ConfidenceReport]) -> None:
    print("\nconfidence, kept in the library: does the best score show whether anything fits?")
    rows = [
        {"asked by": row.kind, "queries": str(row.queries), "ROC area": f"{row.separation:.3f}",
         "refused: fits": f"{row.refused_present:.3f}",
         "refused: none fits": f"{row.refused_absent:.3f}"}
        for row in measured
    ]  # fmt: skip
    show_table(rows, right=[*rows[0]][1:])


def _metric_table(metrics: Sequence[Metric]) -> None:
    rows = []
    for metric in metrics:
        places = 1 if metric.name == "median rank" else 3
        figures = (metric.value, metric.low, metric.high, metric.chance)
        value, low, high, chance = (f"{figure:.{places}f}" for figure in figures)
        rows.append({"metric": metric.name, "value": value, "95 % interval": f"{low}–{high}",
                     "chance": chance})  # fmt: skip
    show_table(rows, right=[*rows[0]][1:])
