"""Conditions on the local index hold where they hold for each point alone."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidrec.conditions import Condition, Filter, holds
from vidrec.search.rank import nearest
from vidrec.stores.knn.column import Column
from vidrec.stores.knn.store import KnnStore
from vidrec.types import Payload, Point

VALUES: list[Any] = [
    "cat", "1", "true", "", "naïve", "a.b", 1, 1.0, 0, 2.5, -3, 2**53, 2**53 + 1, float(2**53),
    True, False, None, ["cat", "dog"], [1, 2], [True], [],
]  # fmt: skip
ASKED: list[Any] = ["cat", "1", "", 1, 1.0, 0, 2**53, 2**53 + 1, True, None, "nothing", 7]


@pytest.mark.parametrize("seed", range(5))
def test_a_column_holds_what_each_of_its_values_does(seed: int) -> None:
    rng = random.Random(seed)
    values = rng.sample(VALUES, rng.randint(1, len(VALUES)))
    places = np.array(rng.choices(range(len(values)), k=50), np.int32)
    column = Column(places, values)
    conditions = [
        Condition("x", op, rng.choice([1, 2.5, -3, 10**20, "b", ""]))
        for op in ("<", "<=", ">", ">=")
    ]
    conditions += [Condition("x", "~", rng.choice(["c*", ("c*", "?"), "a.b", "[!c]*", "*"]))]
    for op in ("=", "in", "!="):
        conditions += [Condition("x", op, tuple(rng.sample(ASKED, rng.randint(0, 5))))]
    for condition in conditions:
        expected = [holds(condition, values[place]) for place in places]
        assert column.holding(condition).tolist() == expected, condition


@pytest.mark.parametrize("unknown", [0, 1, 50])
def test_few_and_many_videos_are_left_out(tmp_path: Path, unknown: int) -> None:
    store = KnnStore(tmp_path, "a")
    vectors = np.random.default_rng(0).standard_normal((24, 8)).astype(np.float32)
    points = [
        Point(str(uuid.UUID(int=at)), row, Payload(f"{at % 8}", "x.mp4", "clip", 0.0, 1.0))
        for at, row in enumerate(vectors)
    ]
    with store.rebuild("a:b:8:c", 8) as writer:
        writer.upsert(points)
    named = {"1", "4", "7", *(f"unknown {number}" for number in range(unknown))}
    left = Filter(exclude_videos=frozenset(named))
    kept = Filter(conditions=(Condition("video_id", "in", tuple(named)),))
    for where, expected in ((left, "02356"), (kept, "147")):
        found = nearest(store, vectors[0], 10, where)
        assert sorted(one.payload.video_id for one in found) == list(expected)
