"""What mixing gains: frames of a clip into one vector, and two embedders into one ranking.

    python -m tests.bench.mixtures FOLDER [--checkpoint CHECKPOINT]

FOLDER holds videos and a ``captions.csv`` with the columns file, category and caption. *Pooling*:
the default embedder's vectors of 16 single frames of each video are put together in several ways;
a caption has to find its video. *Fusion*, where a checkpoint of `vidrec train` is named: rankings
by the default embedder and by that network are mixed by reciprocal ranks (Cormack et al. 2009,
constant 60) or by the sum of their confidences, for captions, and for neighbours of one category
(mean average precision; each video is the query once).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.media.sampling import iter_clip_frames
from vidrec.types import Video
from vidrec.vectors import unit

FRAMES, WHOLE_SEC, CONSTANT = 16, 600.0, 60
Matrix = NDArray[np.float64]


def of_texts(scores: Matrix) -> str:
    """R@1, R@10 and mean reciprocal rank where row i is to find column i."""
    ranks = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return f"{(ranks < 1).mean():.2f} | {(ranks < 10).mean():.2f} | {(1 / (ranks + 1)).mean():.3f}"


def of_categories(scores: Matrix, categories: list[str]) -> str:
    """Mean average precision of finding one's own category, without oneself."""
    found = []
    for row, own in enumerate(categories):
        order = [i for i in np.argsort(-scores[row]) if i != row]
        right = np.array([categories[i] == own for i in order])
        found.append((np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean())
    return f"{np.mean(found):.3f}"


POOLS: dict[str, Callable[[Any], Any]] = {
    "mean of unit vectors": lambda v: v.mean(axis=0),
    "median": lambda v: np.median(v, axis=0),
    "the frame in the middle": lambda v: v[len(v) // 2],
    "the frame most like the others": lambda v: v[(v @ v.T).sum(axis=0).argmax()],
    "mean, those near to it more": lambda v: np.exp(5 * (v @ unit(v.mean(axis=0)))) @ v,
    "mean without the farthest quarter": lambda v: v[
        np.argsort(-(v @ unit(v.mean(axis=0))))[: max(1, len(v) * 3 // 4)]
    ].mean(axis=0),
    "third power mean": lambda v: np.cbrt((v**3).mean(axis=0)),
}


def pooling(embedder: Embedder, paths: list[Path], texts: Any) -> None:
    made: Any = embedder
    frames = [
        unit(np.concatenate([made._encode_frames(clip.frames) for clip in iter_clip_frames(
            path, WHOLE_SEC, FRAMES, made.size, warnings=[])]))
        for path in paths
    ]  # fmt: skip
    print("| a vector a video | R@1 | R@10 | MRR |\n|---|--:|--:|--:|")
    for name, pool in POOLS.items():
        print(f"| {name} | {of_texts(texts @ np.stack([unit(pool(v)) for v in frames]).T)} |")
    best = np.array([[(v @ text).max() for v in frames] for text in texts])
    print(f"| all frames are kept, the best counts | {of_texts(best)} |")


def vectors(embedder: Embedder, paths: list[Path]) -> Any:
    """Return the whole-video vector of each."""
    context = EmbedContext(clip_seconds=10.0)
    found = []
    for number, path in enumerate(paths):
        (outcome,) = embedder.embed_videos([Video(f"{number:064x}", path.name, path)], context)
        found.append(next(e.vector for e in outcome.embeddings if e.scope == "video"))
    return np.stack(found)


def by_rank(scores: Matrix) -> Matrix:
    ranks = np.argsort(np.argsort(-scores, axis=1), axis=1)
    return 1.0 / (CONSTANT + 1 + ranks)


def by_confidence(embedder: Embedder, kind: Any, scores: Matrix) -> Matrix:
    meaning = embedder.calibration(kind)
    assert meaning is not None
    return np.vectorize(meaning.confidence)(scores)


def fusion(embedders: list[Embedder], paths: list[Path], rows: list[dict[str, str]]) -> None:
    categories = [row["category"] for row in rows]
    captions = [row["caption"] for row in rows]
    seen = {e.name: vectors(e, paths) for e in embedders}
    texts = {e.name: e.embed_texts(captions) @ seen[e.name].T for e in embedders}
    alike = {e.name: seen[e.name] @ seen[e.name].T for e in embedders}
    print("| ranked by | R@1 | R@10 | MRR | mAP of the category |\n|---|--:|--:|--:|--:|")
    for e in embedders:
        asked, near = texts[e.name], of_categories(alike[e.name], categories)
        print(f"| {e.name} | {of_texts(asked)} | {near} |")
    ranked = [sum(by_rank(found[e.name]) for e in embedders) for found in (texts, alike)]
    print(f"| reciprocal ranks | {of_texts(ranked[0])} | {of_categories(ranked[1], categories)} |")
    sure = [
        sum(by_confidence(e, kind, found[e.name]) for e in embedders)
        for kind, found in (("text", texts), ("video", alike))
    ]
    print(f"| confidences | {of_texts(sure[0])} | {of_categories(sure[1], categories)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    with (options.folder / "captions.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    paths = [options.folder / row["file"] for row in rows]
    conse = load_embedder(load_settings())
    pooling(conse, paths, conse.embed_texts([row["caption"] for row in rows]))
    if options.checkpoint:
        flags = {"embedder.name": "resnet", "resnet.checkpoint": options.checkpoint}
        fusion([conse, load_embedder(load_settings(overrides=flags))], paths, rows)


if __name__ == "__main__":
    main()
