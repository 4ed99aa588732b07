"""Calibrate: what the scores of an embedder mean on the videos of one library.

For each caption, and for each labelled video, the best score is taken twice: as `recommend` finds
it, and after all that fits was taken away. How well the two can be told apart is how much a
confidence is worth; the fit is kept in the library, where `recommend` finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidrec.calibration import MIN_QUERIES, Calibration, fit, separation
from vidrec.errors import UsageError
from vidrec.evaluate import metrics
from vidrec.evaluate.captions import Caption
from vidrec.evaluate.corpus import Corpus, drawn, numbered
from vidrec.evaluate.quality import ConfidenceReport
from vidrec.types import Modality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def calibrate(
    corpus: Corpus,
    captions: Sequence[tuple[Caption, str]],
    labels: Mapping[str, str],
    min_confidence: float,
    max_queries: int,
    seed: int,
) -> list[ConfidenceReport]:
    """Measure and keep what scores mean for texts and for videos, as far as can be.

    Args:
        corpus: what the library holds of the embedder.
        captions: each with the id of its video.
        labels: of the videos that have one, by id.
        min_confidence: below it `recommend` refuses.
        max_queries: of more captions or videos so many are drawn.
        seed: of the draw.

    Raises:
        UsageError: there are too few captions and labelled videos to learn from.
    """
    reports = []
    for kind, (present, absent) in _best_scores(corpus, captions, labels, max_queries, seed):
        if len(present) < MIN_QUERIES:
            continue
        found = fit(present, absent)
        corpus.library.set_calibration(corpus.fingerprint, kind, found)
        area = separation(present, absent)
        lost, refused = (_refused(found, some, min_confidence) for some in (present, absent))
        report = ConfidenceReport(
            kind, len(present), area, lost, refused, min_confidence, found.slope, found.offset
        )
        reports.append(report)
    if not reports:
        raise UsageError(
            f"--calibrate needs {MIN_QUERIES} captions or labelled videos at least, some with "
            "other labels"
        )
    return reports


def _refused(calibration: Calibration, scores: Floats, min_confidence: float) -> float:
    below = [calibration.confidence(score) < min_confidence for score in scores.tolist()]
    return sum(below) / len(below)


def _best_scores(
    corpus: Corpus,
    captions: Sequence[tuple[Caption, str]],
    labels: Mapping[str, str],
    max_queries: int,
    seed: int,
) -> Iterator[tuple[Modality, tuple[Floats, Floats]]]:
    clips = corpus.clips
    numbers = {video_id: at for at, video_id in enumerate(sorted(corpus.videos))}
    own = np.array([numbers[video_id] for video_id in clips.video_ids], np.int64)
    label_of = numbered([labels.get(video_id) for video_id in numbers])
    if captions:
        captions = [captions[at] for at in drawn(len(captions), max_queries, seed)]
        texts = corpus.text_vectors([caption.text for caption, _ in captions])
        asked = np.array([numbers[video_id] for _, video_id in captions], np.int64)
        yield "text", metrics.best_scores(texts, asked, clips.vectors, own, label_of)
    if labels:
        kept = [at for at, video_id in enumerate(corpus.whole.video_ids) if video_id in labels]
        kept = [kept[at] for at in drawn(len(kept), max_queries, seed)]
        asked = np.array([numbers[corpus.whole.video_ids[at]] for at in kept], np.int64)
        groups = [corpus.videos[video_id].group or video_id for video_id in numbers]
        asking = corpus.whole.vectors[kept]
        away = numbered(groups)
        yield "video", metrics.best_scores(asking, asked, clips.vectors, own, label_of, away)
