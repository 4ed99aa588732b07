"""Hubs: whether clips that stand near every text should be held back, by a bank of texts.

    python -m tests.bench.hubs FOLDER MOODS [--resamples 10000]

FOLDER is as for ``tests.bench.scopes``; MOODS holds labels given by eye (``moods.csv``), queries
with the rule that says what fits each (``queries.csv``), and the program that applies it
(``score.py``). The bank are the names of the labels of ``conse``. From each score something is
taken away by what the clip has with the bank: CSLS (Conneau et al. 2018; r is the mean of its
largest cosines) or query-bank normalisation (Bogolin et al. 2022; an inverted softmax). The figures
are those of captions and moods as they are, then differences with 95 % paired bootstrap intervals.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from tests.bench.captioned import Captioned, embedded
from vidrec.models.conse import LABELS

FIRST = 5
Adjust = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores (q, n), bank (b, n) -> (q, n)


def csls(nearest: int, weight: float) -> Adjust:
    """s - weight * r, of which 1/2 ranks as 2s - r."""

    def adjusted(scores: np.ndarray, bank: np.ndarray) -> np.ndarray:
        return scores - weight * np.sort(bank, axis=0)[-nearest:].mean(axis=0)

    return adjusted


def query_bank(beta: float) -> Adjust:
    """The logarithm of the inverted softmax, over beta."""
    return lambda scores, bank: scores - np.log(np.exp(beta * bank).sum(axis=0)) / beta


REMEDIES: dict[str, Adjust] = {
    "as it is": lambda scores, bank: scores,
    "CSLS, 10 nearest, s − r/4": csls(10, 0.25),
    "CSLS, 10 nearest, 2s − r": csls(10, 0.5),
    "CSLS, 50 nearest, 2s − r": csls(50, 0.5),
    "query bank, β = 5": query_bank(5),
    "query bank, β = 10": query_bank(10),
    "query bank, β = 20": query_bank(20),
}


def scorer_of(moods: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", moods / "score.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Asked:
    """Captions and moods, asked of the same clips."""

    def __init__(self, found: Captioned, moods: Path) -> None:
        self.found, self.scorer = found, scorer_of(moods)
        rows = self.scorer.load("all", moods / "moods.csv")
        with (moods / "queries.csv").open(newline="", encoding="utf-8") as file:
            queries = [row for row in csv.DictReader(file) if int(row["relevant"]) >= 3]
        self.relevant = [self.scorer.relevant(row["rule"], rows) for row in queries]
        self.moods = found.embedder.embed_texts([row["query"] for row in queries]) @ found.clips.T
        names = list(dict.fromkeys(LABELS.read_text("utf-8").splitlines()))
        self.bank = found.embedder.embed_texts(names) @ found.clips.T
        print(f"{len(names)} texts in the bank, {len(queries)} moods, {len(found.names)} captions")

    def figures(self, adjust: Adjust) -> tuple[list[np.ndarray], str]:
        """Return R@1, MRR, AP and P@5, one entry a query, and the largest hubs of both."""
        captions = self.found.of_videos(adjust(self.found.scores, self.bank))
        moods = self.found.of_videos(adjust(self.moods, self.bank))
        ranks = 1 + (captions > np.diag(captions)[:, None]).sum(axis=1)
        orders = [[self.found.names[at] for at in np.argsort(-row)] for row in moods]
        pairs = list(zip(orders, self.relevant, strict=True))
        average = [self.scorer.ap(order, fits) for order, fits in pairs]
        first = [self.scorer.patk(order, fits, FIRST) for order, fits in pairs]
        hubs = [
            Counter(np.argsort(-scores, axis=1)[:, :FIRST].ravel().tolist()).most_common(1)[0][1]
            for scores in (moods, captions)
        ]
        return [
            np.array(x) for x in (ranks == 1, 1 / ranks, average, first)
        ], f"{hubs[0]}, {hubs[1]}"


def difference(mine: np.ndarray, base: np.ndarray, resamples: int) -> str:
    """The mean difference of two figures a query, with its interval."""
    apart = mine.astype(float) - base
    drawn = np.random.default_rng(0).integers(0, len(apart), (resamples, len(apart)))
    low, high = np.quantile(apart[drawn].mean(axis=1), [0.025, 0.975])
    return f"{apart.mean():+.2f} ({low:+.2f} to {high:+.2f})".replace("-", "−")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("moods", type=Path)
    parser.add_argument("--resamples", type=int, default=10_000)
    options = parser.parse_args()
    asked = Asked(embedded(options.folder), options.moods)
    base, hubs = asked.figures(REMEDIES["as it is"])
    print(
        "|  | R@1 | MRR | AP of moods | P@5 of moods | most of the moods, captions |\n|---|"
        + "--:|" * 5
    )
    print("| as it is | " + " | ".join(f"{one.mean():.3f}" for one in base) + f" | {hubs} |")
    for name, adjust in list(REMEDIES.items())[1:]:
        found, hubs = asked.figures(adjust)
        apart = [difference(a, b, options.resamples) for a, b in zip(found, base, strict=True)]
        print(f"| {name} | " + " | ".join(apart) + f" | {hubs} |")
    first = len(set(asked.bank.argmax(axis=1).tolist()))
    print(f"{first} of {asked.bank.shape[1]} clips are some label's first")


if __name__ == "__main__":
    main()
