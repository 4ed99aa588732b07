"""Conditions on a column hold where they hold for each row's value alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from vidrec.conditions import Condition, holds
from vidrec.stores.knn.column import Column

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
