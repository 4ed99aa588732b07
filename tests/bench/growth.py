"""What becomes of the ten nearest as a collection grows: by sampling, without any index.

    python -m tests.bench.growth [--points 1000000] [--dim 512] [--queries 200]

The vectors are those of ``tests.bench.recall``: queries stay, about topics of the first 1,000
points, and ever more points about other topics come beside them. A row tells how the scores of the
first, tenth and hundredth nearest point crowd together, how many of the ten nearest are about the
query's topic, and the share of the ten nearest that a scan over codes finds when it puts forward
ten, twenty or forty points to be rescored: int8 by the 0.99 quantile as Qdrant does, and binary.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.bench.recall import CLIPS, VIDEOS, Vectors, World

CHUNK = 100_000
FIRST = 1000  # points that the queries are about
TAKEN = 160  # scores that are kept of each query
FORWARD = (10, 20, 40)


class Best:
    """The best scores of each query so far, with the numbers of their points."""

    def __init__(self, queries: int) -> None:
        self.scores = np.full((queries, TAKEN), -np.inf, np.float32)
        self.numbers = np.full((queries, TAKEN), -1, np.int64)

    def add(self, scores: Vectors, first: int) -> None:
        near = np.argpartition(-scores, TAKEN, axis=1)[:, :TAKEN]
        both = np.hstack([self.scores, np.take_along_axis(scores, near, axis=1)])
        numbers = np.hstack([self.numbers, near + first])
        order = np.argsort(-both, axis=1)[:, :TAKEN]
        self.scores = np.take_along_axis(both, order, axis=1)
        self.numbers = np.take_along_axis(numbers, order, axis=1)


def int8(vectors: Vectors, bound: float) -> Vectors:
    return np.clip(np.round(vectors / bound * 127), -127, 127).astype(np.float32)


def binary(vectors: Vectors) -> Vectors:
    return np.where(vectors > 0, np.float32(1), np.float32(-1))


def shares(truth: NDArray[np.int64], found: NDArray[np.int64]) -> Iterator[str]:
    """The shares of the ten true points among so many that are put forward."""
    for forward in FORWARD:
        right = [
            len(set(wanted[:10]) & set(got[:forward]))
            for wanted, got in zip(truth.tolist(), found.tolist(), strict=True)
        ]
        yield f"{np.mean(right) / 10:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200, help="of each kind")
    options = parser.parse_args()
    world = World(options.dim)
    points = world.points(CHUNK)
    queries = world.queries(options.queries, points[:FIRST])
    topics = {
        kind: (world.topics[: FIRST // (CLIPS * VIDEOS)] @ asked.T).argmax(axis=0)
        for kind, asked in queries.items()
    }
    bound = float(np.quantile(np.abs(points[:10_000]), 0.99))
    print("| points | query | first | tenth | hundredth | of the topic |", end="")
    print(" int8: 10 | 20 | 40 | binary: 10 | 20 | 40 |\n|" + "--:|" * 12)
    kept = {kind: [Best(len(asked)) for _ in range(3)] for kind, asked in queries.items()}
    done = 0
    for size in (FIRST, 9000, 90_000, *[CHUNK] * (options.points // CHUNK - 1)):
        chunk = points[done : done + size] if done < CHUNK else world.points(size)
        kinds = [chunk, int8(chunk, bound), binary(chunk)]
        for kind, asked in queries.items():
            codes = [asked, int8(asked, bound), binary(asked)]
            for best, some, by in zip(kept[kind], kinds, codes, strict=True):
                best.add(by @ some.T, done)
        done += size
        if str(done).strip("0") in ("1", "2", "5"):
            for kind, bests in kept.items():
                exact, *coded = bests
                about = exact.numbers[:, :10] // (CLIPS * VIDEOS) == topics[kind][:, None]
                cells = [f"{exact.scores[:, at].mean():.3f}" for at in (0, 9, 99)]
                cells.append(f"{10 * about.mean():.1f}")
                cells += [cell for best in coded for cell in shares(exact.numbers, best.numbers)]
                print(f"| {done:,} | {kind} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
