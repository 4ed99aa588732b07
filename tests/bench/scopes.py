"""By clip or whole: what finds a film when only one of its parts fits the text.

    python -m tests.bench.scopes FOLDER [--joins 200]

FOLDER holds short videos and a ``captions.csv`` with the columns file and caption. They are
embedded by the default embedder and then joined, as vectors, to films of n at random, many times;
each caption asks for its film, which stands where its best clip stands (``clip``), where the mean
of its clips stands (``video``), or where the better of both does (``best``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tests.bench.captioned import Captioned, embedded
from vidrec.vectors import unit

FILMS_OF = (1, 2, 4, 8)
SCOPES = ("clip", "video", "best")


def joined(found: Captioned, films: np.ndarray) -> list[tuple[float, float]]:
    """Return (R@1, MRR) by each scope, where video i is a part of film ``films[i]``."""
    of_clip = films[found.videos]
    n = int(films.max()) + 1
    by_clip = np.full((len(found.texts), n), -np.inf)
    for film in range(n):
        by_clip[:, film] = found.scores[:, of_clip == film].max(axis=1)
    whole = np.stack([unit(found.clips[of_clip == film].mean(axis=0)) for film in range(n)])
    by_video = found.texts @ whole.T
    figures = []
    for scores in (by_clip, by_video, np.maximum(by_clip, by_video)):
        own = scores[np.arange(len(films)), films]
        ranks = 1 + (scores > own[:, None]).sum(axis=1)
        figures.append((float((ranks == 1).mean()), float((1 / ranks).mean())))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--joins", type=int, default=200, help="Random ways of joining.")
    options = parser.parse_args()
    found = embedded(options.folder)
    noise = np.random.default_rng(0)
    names = " | ".join(f"{figure} `{scope}`" for figure in ("R@1", "MRR") for scope in SCOPES)
    print(f"| clips a film | films | {names} |\n|{'--:|' * 8}")
    for size in FILMS_OF:
        count = len(found.texts)
        ways = [noise.permutation(count) // size for _ in range(options.joins if size > 1 else 1)]
        middle = np.mean([joined(found, films) for films in ways], axis=0)
        row = " | ".join(f"{value:.3f}" for value in middle.T.ravel())
        print(f"| {size} | {-(-count // size)} | {row} |")


if __name__ == "__main__":
    main()
