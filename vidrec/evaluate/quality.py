"""What evaluate reports, and the minimums that a report can be held to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vidrec.errors import BelowMinimum, UsageError
from vidrec.evaluate.captions import SkippedRow
from vidrec.types import Modality
from vidrec.wording import did_you_mean

TEXT_METRICS = ("R@1", "R@5", "R@10", "MRR")
QUERY_METRICS = ("AP", "P@5")
NEIGHBOUR_METRICS = ("P@1", "P@10", "mAP")


@dataclass(frozen=True, slots=True)
class Metric:
    """A measure with its 95 % interval, and what a random ranking would reach.

    All lie in [0, 1], larger is better; only the median rank counts from 1, smaller is better.
    """

    name: str
    value: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True, slots=True)
class TextReport:
    """Captions as queries: ``queries`` of them over ``videos`` ranked by ``scope``."""

    queries: int
    videos: int
    scope: str
    metrics: Sequence[Metric]
    skipped: Sequence[SkippedRow]


@dataclass(frozen=True, slots=True)
class AskedQuery:
    """One query: how many videos fit it, how well they were found, and the best score."""

    query: str
    relevant: int
    average_precision: float
    precision_5: float
    chance: float
    score: float


@dataclass(frozen=True, slots=True)
class QueriesReport:
    """Queries that several of ``videos`` fit, ranked by ``scope``.

    AP is the mean of the queries' average precisions, P@5 that of their precisions at 5.
    """

    queries: Sequence[AskedQuery]
    videos: int
    scope: str
    metrics: Sequence[Metric]
    skipped: Sequence[SkippedRow]


@dataclass(frozen=True, slots=True)
class NeighbourReport:
    """Videos as queries, right when of one label.

    ``queries`` of the ``labelled`` videos were asked with; ``alone`` of those had no other video
    of their label to find and are in no figure. ``by_split``: test videos asked for training
    videos. ``trained_on`` of those asked with are videos that the network was trained on: figures
    are then too good.
    """

    by: str
    labels: int
    labelled: int
    queries: int
    alone: int
    exclude_group: bool
    metrics: Sequence[Metric]
    by_split: bool = False
    trained_on: int = 0


@dataclass(frozen=True, slots=True)
class ConfidenceReport:
    """What the best score tells of whether anything fits, for one kind of query.

    ``separation`` is the area under the ROC curve: 1 if the best score always shows whether
    something fits, 0.5 if it never does. ``refused_present`` and ``refused_absent`` are the shares
    of ``queries`` below ``min_confidence`` with and without something that fits.
    """

    kind: Modality
    queries: int
    separation: float
    refused_present: float
    refused_absent: float
    min_confidence: float
    slope: float
    offset: float


@dataclass(frozen=True, slots=True)
class EvaluateReport:
    """The outcome; a part is None where there was nothing to measure it with."""

    embedder: str
    fingerprint: str
    videos: int
    seed: int
    text: TextReport | None
    neighbours: NeighbourReport | None
    queries: QueriesReport | None = None
    confidence: Sequence[ConfidenceReport] = ()

    @property
    def metrics(self) -> list[Metric]:
        """All metrics of all parts."""
        parts = (self.text, self.queries, self.neighbours)
        return [metric for part in parts if part is not None for metric in part.metrics]


def check_minimums(report: EvaluateReport, minimums: Mapping[str, float]) -> None:
    """Compare with what ``parse_minimums`` gave.

    Raises:
        BelowMinimum: a metric is smaller than asked, or was not measured.
    """
    measured = {metric.name: metric.value for metric in report.metrics}
    needed = dict.fromkeys(TEXT_METRICS, "--captions") | dict.fromkeys(QUERY_METRICS, "--queries")
    for name in minimums:
        if name not in measured:
            needs = needed.get(name, "labels")
            raise BelowMinimum(f"{name} was not measured (it needs {needs}), but --min asks for it")
    short = [
        f"{name} is {measured[name]:.3f}, below the {wanted:g} that --min asks for"
        for name, wanted in minimums.items()
        if measured[name] < wanted
    ]
    if short:
        raise BelowMinimum("; ".join(short))


def parse_minimums(conditions: Sequence[str]) -> dict[str, float]:
    """Read conditions such as ``R@1=0.45`` or ``mAP=45%``.

    Raises:
        UsageError: no such metric, or no number from 0 to 1.
    """
    names = {name.lower(): name for name in (*TEXT_METRICS, *QUERY_METRICS, *NEIGHBOUR_METRICS)}
    minimums = {}
    for condition in conditions:
        name, _, text = condition.partition("=")
        if name.strip().lower() not in names:
            choice = ", ".join(names.values())
            hint = did_you_mean(name, names.values()) or "."
            raise UsageError(
                f"--min takes METRIC=VALUE with one of {choice}{hint} Received: {condition}"
            )
        try:
            value = float(text.strip().removesuffix("%")) / (100 if "%" in text else 1)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise UsageError(f"--min needs a number from 0 to 1. Received: {condition}")
        minimums[names[name.strip().lower()]] = value
    return minimums
