"""Every two stores give the same answer: random libraries, filters, groupings, ks and ties.

qdrant-client's in-memory mode, which only tests use, scales unit vectors again and so changes their
last bits. It takes no part where vectors differ by no more than that.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.store_kinds import STORES, Match, find, make
from tests.test_stores import random_filter, random_points, unit
from vidrec.conditions import Filter
from vidrec.errors import UsageError
from vidrec.stores.base import VectorStore
from vidrec.types import Point

QUERIES = 20
FINGERPRINT = "test:model:any:0123456789"


def random_library(rng: random.Random, dim: int, *, subtle: bool) -> list[Point]:
    """Points of which many are equal, nearly equal, or equally near to a query."""
    noise = np.random.default_rng(rng.randrange(2**32))
    points = random_points(rng, rng.choice([1, 5, 40, 120, 300]))
    shapes = [noise.standard_normal(dim) for _ in range(1 + len(points) // 4)]
    vectors = []
    for _ in points:
        shape = shapes[rng.randrange(len(shapes))]
        kind = rng.random()
        if kind < 0.3:
            vectors.append(unit(shape))
        elif kind < 0.5 and subtle:
            vectors.append(unit(shape + 1e-7 * noise.standard_normal(dim)))
        elif kind < 0.6:
            vectors.append(unit(np.eye(dim)[rng.randrange(min(dim, 4))]))
        else:
            vectors.append(unit(noise.standard_normal(dim)))
    return [replace(point, vector=v) for point, v in zip(points, vectors, strict=True)]


def answer(
    store: VectorStore, vector: np.ndarray, k: int, where: Filter | None, by_video: bool
) -> list[Match] | str:
    try:
        return find(store, vector, k=k, where=where, by_video=by_video, fingerprint=FINGERPRINT)
    except UsageError as exc:
        return str(exc)


def compare(tmp_path: Path, libraries: int, seed: int) -> tuple[int, float, list[str]]:
    """Return how many cases were compared, the largest difference of scores, and what differs."""
    rng = random.Random(seed)
    cases, largest, different = 0, 0.0, []
    with ExitStack() as stack:
        makers = {name: stack.enter_context(kind()) for name, kind in STORES.items()}
        for number in range(libraries):
            dim = rng.choice([2, 8, 64, 384, 512, 1024])
            subtle = number % 2 == 0
            points = random_library(rng, dim, subtle=subtle)
            folder = tmp_path / f"library-{number}"
            stores = {name: make(folder) for name, make in makers.items()}
            if subtle:
                stores.pop("qdrant-memory").close()
            for store in stores.values():
                make(store, FINGERPRINT, dim)
                store.upsert(points)
            for _ in range(QUERIES):
                vector = unit(np.random.default_rng(rng.randrange(2**32)).standard_normal(dim))
                if rng.random() < 0.6:
                    vector = points[rng.randrange(len(points))].vector
                k = rng.choice([1, 2, 5, 10, 50, 2 * len(points)])
                where, by_video = random_filter(rng, points), rng.random() < 0.5
                found = {n: answer(s, vector, k, where, by_video) for n, s in stores.items()}
                first = found.pop("knn")
                cases += 1
                for name, other in found.items():
                    case = f"{name}: dim {dim}, k {k}, by_video {by_video}, {where}"
                    if isinstance(first, str) or isinstance(other, str):
                        if type(first) is not type(other):
                            different.append(f"{case}: {first} / {other}")
                    elif [m.id for m in first] != [m.id for m in other]:
                        different.append(case)
                    else:
                        gaps = [abs(a.score - b.score) for a, b in zip(first, other, strict=True)]
                        largest = max(largest, *gaps, 0.0)
            for store in stores.values():
                store.close()
    return cases, largest, different


def test_stores_answer_alike(tmp_path: Path) -> None:
    cases, largest, different = compare(tmp_path, libraries=4, seed=1)
    assert (cases, different) == (4 * QUERIES, [])
    assert largest < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif("VIDREC_TEST_SLOW" not in os.environ, reason="VIDREC_TEST_SLOW is not set")
def test_stores_answer_alike_a_thousand_times(tmp_path: Path) -> None:
    cases, largest, different = compare(tmp_path, libraries=60, seed=2)
    print(f"{cases} cases, {len(different)} different, scores within {largest:.1e}")
    assert cases >= 1000
    assert different == []
    assert largest < 1e-4
