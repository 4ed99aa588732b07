"""One key of a segment's points: for which rows a condition holds, each value looked at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.conditions import ORDERS, Condition, holds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

PLAIN = (str, int, float)  # truths are none: they equal no number here


class Column:
    """The different values of a key, and the place of each row's among them. Never changes."""

    def __init__(self, places: NDArray[Any], values: Sequence[Any]) -> None:
        self._places, self._values = places, values

    def holding(self, condition: Condition) -> Mask:
        """Return for which rows a condition holds."""
        return np.take(self._of_values(condition), self._places)  # half the time of an index

    def _of_values(self, condition: Condition) -> Mask:
        """Return for which values a condition holds."""
        first: Any = condition.values[0] if condition.values else None
        if condition.op in ORDERS and not isinstance(first, str):
            found: Mask = ORDERS[condition.op](self._numbers, first)
        elif condition.op in ORDERS:
            order = ORDERS[condition.op]
            texts = (type(value) is str and order(value, first) for value in self._values)
            found = np.fromiter(texts, bool, len(self._values))
        elif condition.op == "~":
            fits = re.compile("|".join(map(translate, condition.values))).match
            texts = (type(value) is str and fits(value) is not None for value in self._values)
            found = np.fromiter(texts, bool, len(self._values))
        else:
            found = np.zeros(len(self._values), bool)
            wanted = (value for value in condition.values if type(value) in PLAIN)
            found[[self._plain[value] for value in wanted if value in self._plain]] = True
            if condition.op == "!=":
                found = ~found
        for at in self._others:
            found[at] = holds(condition, self._values[at])
        return found

    @cached_property
    def _plain(self) -> dict[Any, int]:
        """Where texts and numbers stand."""
        found: dict[Any, int] = {}
        for at, value in enumerate(self._values):
            if type(value) in PLAIN:
                found.setdefault(value, at)
        return found

    @cached_property
    def _others(self) -> list[int]:
        """Where all else stands: truths, null, lists, a number that is written twice (1, 1.0)."""
        plain = self._plain
        return [
            at
            for at, value in enumerate(self._values)
            if type(value) not in PLAIN or plain[value] != at
        ]

    @cached_property
    def _numbers(self) -> NDArray[np.float64]:
        """The values; NaN, which nothing is larger or smaller than, for what is no number."""
        numbers = (v if type(v) in (int, float) else np.nan for v in self._values)
        return np.fromiter(numbers, np.float64, len(self._values))
