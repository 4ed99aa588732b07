"""Evaluate: how well the library's embeddings find what they should, against chance.

Three questions. *Text to video*: each caption asks for its own video among all embedded ones,
ranked as ``recommend`` ranks (by default each video by its best clip). *Queries*: the same where
several videos fit a text. *Neighbours*: each labelled whole-video vector asks for all others, and
those with its label are right (leave-one-out); where splits are known, each test video asks for
training videos instead.
Intervals are 95 % bootstrap percentiles over queries, which they take as independent of each
other; chance is computed exactly for the same queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from vidrec.conditions import Condition
from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import UsageError
from vidrec.evaluate import metrics
from vidrec.evaluate.calibrate import calibrate as measure_confidence
from vidrec.evaluate.captions import Caption, SkippedRow, VideoNames, match_captions, read_captions
from vidrec.evaluate.corpus import Corpus, Rows, drawn, numbered
from vidrec.evaluate.quality import (
    AskedQuery,
    EvaluateReport,
    Metric,
    NeighbourReport,
    QueriesReport,
    TextReport,
)
from vidrec.library import Library
from vidrec.search.query import QueryScope

if TYPE_CHECKING:
    from numpy.typing import NDArray

Splits: TypeAlias = Literal["auto", "ignore"]

# Neighbour queries beyond this many are drawn at random: the interval is then narrow anyway.
MAX_QUERIES = 2000


def evaluate(
    settings: Settings,
    *,
    captions: Path | None = None,
    queries: Path | None = None,
    by: str | None = None,
    exclude_group: bool = False,
    scope: QueryScope = "clip",
    conditions: Sequence[Condition] = (),
    seed: int = 0,
    calibrate: bool = False,
    splits: Splits = "auto",
) -> EvaluateReport:
    """Measure the embeddings of the settings' embedder.

    Args:
        settings: name the library and the embedder.
        captions: a CSV with the columns ``file`` and ``caption``.
        queries: a CSV with the columns ``file`` and ``query``, a row for each file that fits.
        by: what makes two videos alike: ``label``, ``group``, or a column of the captions.
        exclude_group: neighbours of the query's own group are no candidates.
        scope: rank videos for a text by their best ``clip``, by the whole-``video`` vector, or by
            the ``best`` of all.
        conditions: only videos that meet them are asked for and found.
        seed: of the bootstrap, and of the draw of queries in a very large library.
        calibrate: measure what scores mean and keep it in the library.
        splits: ``auto``: where there are labelled test and training videos, each test video asks
            for training videos; ``ignore``: each asks for all others.

    Raises:
        UsageError: the captions or queries cannot be used, or there is nothing to measure with.
        LibraryError: the library holds no embeddings of this embedder.
        CapabilityError: captions or queries were given but this embedder embeds no text.
    """
    rows = read_captions(captions) if captions else []
    asked = read_captions(queries, "query") if queries else []
    embedder = load_embedder(settings)
    try:
        with Library(settings.library, create=False) as library:
            corpus = Corpus(library, embedder, conditions)
            names = VideoNames(corpus.videos.values())
            ranked = corpus.ranked(scope) if rows or asked else corpus.whole
            matched, skipped = match_captions(rows, names, set(ranked.video_ids))
            if captions and not matched:
                raise _unmatched(captions, skipped)
            text = found = None
            if matched:
                measured = _text_metrics(corpus, ranked, matched, seed)
                total = len(set(ranked.video_ids))
                text = TextReport(len(matched), total, scope, measured, skipped)
            if queries:
                found = _queries(corpus, ranked, queries, asked, names, scope, seed)
            labels = _labels(corpus, by, matched)
            sides = corpus.splits() if splits == "auto" else {}
            neighbours = _neighbours(corpus, labels, sides, by or "label", exclude_group, seed)
            confidence = []
            if calibrate:
                least = settings.embedder.min_confidence
                confidence = measure_confidence(corpus, matched, labels, least, MAX_QUERIES, seed)
    finally:
        embedder.close()
    if neighbours is None and (by or not (captions or queries)):
        raise UsageError(
            f"no two videos share a {by or 'label'}, so there is nothing to compare: "
            f"{_how_to_share(by)} or give --captions CSV or --queries CSV"
        )
    return EvaluateReport(
        embedder.name, corpus.fingerprint, len(corpus.whole.video_ids), seed, text, neighbours,
        found, confidence,
    )  # fmt: skip


def _numbers(rows: Rows) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Return a number for each video, and that of each row's."""
    numbers = {video_id: at for at, video_id in enumerate(sorted(set(rows.video_ids)))}
    return numbers, np.array([numbers[video_id] for video_id in rows.video_ids], np.int64)


def _text_metrics(
    corpus: Corpus, rows: Rows, matched: Sequence[tuple[Caption, str]], seed: int
) -> list[Metric]:
    numbers, videos = _numbers(rows)
    texts = corpus.text_vectors([caption.text for caption, _ in matched])
    targets = np.array([numbers[video_id] for _, video_id in matched])
    ranks = metrics.target_ranks(texts, targets, rows.vectors, videos).astype(float)
    total = len(numbers)
    found = [
        _metric(f"R@{k}", (ranks <= k).astype(float), min(k, total) / total, seed)
        for k in (1, 5, 10)
    ]
    chance = float(metrics.harmonic_numbers(total)[-1]) / total
    found.append(_metric("MRR", 1 / ranks, chance, seed))
    low, high = metrics.bootstrap_interval(ranks, np.median, seed=seed)
    median = Metric("median rank", float(np.median(ranks)), low, high, (total + 1) / 2)
    return [*found, median]


def _queries(
    corpus: Corpus,
    rows: Rows,
    path: Path,
    asked: Sequence[Caption],
    names: VideoNames,
    scope: QueryScope,
    seed: int,
) -> QueriesReport:
    matched, skipped = match_captions(asked, names, set(rows.video_ids))
    if not matched:
        raise _unmatched(path, skipped)
    texts = list(dict.fromkeys(query.text for query, _ in matched))
    numbers, videos = _numbers(rows)
    relevant = np.zeros((len(texts), len(numbers)), np.bool_)
    for query, video_id in matched:
        relevant[texts.index(query.text), numbers[video_id]] = True
    vectors = corpus.text_vectors(texts)
    quality, best = metrics.relevant_quality(vectors, relevant, rows.vectors, videos)
    figures = (
        quality.relevant, quality.average_precision, quality.precision_5,
        quality.relevant / quality.candidates, best,
    )  # fmt: skip
    table = zip(texts, *(column.tolist() for column in figures), strict=True)
    found = _metrics(quality, {"AP": "average_precision", "P@5": "precision_5"}, seed)
    return QueriesReport([AskedQuery(*row) for row in table], len(numbers), scope, found, skipped)


def _labels(
    corpus: Corpus, by: str | None, matched: Sequence[tuple[Caption, str]]
) -> dict[str, str]:
    """Return the label of each video that has one."""
    if by in (None, "label", "group"):
        name = "group" if by == "group" else "label"
        known = ((video.id, getattr(video, name)) for video in corpus.videos.values())
        labels = {video_id: label for video_id, label in known if label}
        if labels or not any("label" in caption.columns for caption, _ in matched):
            return labels
        by = name
    assert by is not None
    column = by.strip().lower()
    columns = sorted({name for caption, _ in matched for name in caption.columns})
    if column not in columns:
        raise UsageError(
            f"--by is label, group or a column of the captions ({', '.join(columns) or 'none'}). "
            f"Received: {by}"
        )
    named = {video_id: caption.columns.get(column, "") for caption, video_id in matched}
    return {video_id: label for video_id, label in named.items() if label}


def _neighbours(
    corpus: Corpus,
    labels: Mapping[str, str],
    sides: Mapping[str, str],
    by: str,
    exclude_group: bool,
    seed: int,
) -> NeighbourReport | None:
    """Return None where no two videos have one label."""
    kept = [at for at, video_id in enumerate(corpus.whole.video_ids) if video_id in labels]
    ids = [corpus.whole.video_ids[at] for at in kept]
    groups = numbered([corpus.videos[video_id].group for video_id in ids])
    tested = np.array([sides.get(video_id) == "test" for video_id in ids], np.bool_)
    trained = np.array([sides.get(video_id) == "train" for video_id in ids], np.bool_)
    if exclude_group:  # with splits: a group on both sides is left out of the training side
        trained &= (groups < 0) | ~np.isin(groups, groups[tested])
    by_split = bool(tested.any() and trained.any())
    if by_split:
        chosen = np.flatnonzero(tested | trained)
        kept, ids = [kept[at] for at in chosen], [ids[at] for at in chosen]
        groups = np.where(tested[chosen], 0, -1)  # test videos are no answers
    if not kept:
        return None
    numbers = numbered([labels[video_id] for video_id in ids])
    asking = np.flatnonzero(groups == 0) if by_split else np.arange(len(ids))
    queries = asking[drawn(len(asking), MAX_QUERIES, seed)]
    quality = metrics.neighbour_quality(
        corpus.whole.vectors[kept], numbers, queries, groups if exclude_group or by_split else None
    )
    if not len(quality.relevant):
        return None
    learnt = corpus.embedder.splits
    known = sum(learnt.get(ids[at]) in ("train", "val") for at in queries)
    names = {"P@1": "precision_1", "P@10": "precision_10", "mAP": "average_precision"}
    found = _metrics(quality, names, seed)
    asked = len(quality.relevant)
    return NeighbourReport(
        by, len(set(labels.values())), len(ids), asked, len(queries) - asked, exclude_group, found,
        by_split, known,
    )  # fmt: skip


def _metrics(quality: metrics.Quality, names: Mapping[str, str], seed: int) -> list[Metric]:
    chance, average = metrics.chance_precision(quality), metrics.chance_average_precision(quality)
    return [
        _metric(name, getattr(quality, of), average if of == "average_precision" else chance, seed)
        for name, of in names.items()
    ]


def _metric(name: str, values: NDArray[np.float64], chance: float, seed: int) -> Metric:
    low, high = metrics.bootstrap_interval(values, seed=seed)
    return Metric(name, float(values.mean()), low, high, chance)


def _how_to_share(by: str | None) -> str:
    if by == "group":
        return "groups come from file names such as v_Name_g01_c02.mp4; use --by label"
    return "label them (`vidrec embed --label-from folder`)"


def _unmatched(captions: Path, skipped: Sequence[SkippedRow]) -> UsageError:
    first = skipped[0]
    where = f"line {first.line}, {first.file or 'no file'}"
    return UsageError(f"no row of {captions} could be used; {where}: {first.reason}")
