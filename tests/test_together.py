"""Scans that are asked for at the same time are one scan."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from vidrec.stores.base import Found
from vidrec.stores.knn.together import Together


def rows(*numbers: float) -> Any:
    return np.array([[number] for number in numbers], np.float32)


def test_who_waits_is_answered_by_one_scan_each_with_its_own() -> None:
    together, first, scans = Together(), threading.Event(), []

    def scan(vectors: Any) -> list[Found]:
        scans.append(len(vectors))
        if len(scans) == 1:
            first.wait(20)
        return [Found((), float(row[0])) for row in vectors]

    with ThreadPoolExecutor(12) as pool:
        begun = pool.submit(together, "key", rows(0), scan)
        while not scans:
            pass
        later = [pool.submit(together, "key", rows(n, n + 0.5), scan) for n in range(1, 9)]
        other = pool.submit(together, "other", rows(99), scan)
        while len(together._waiting) < 9:
            pass
        first.set()
        assert [found.best_left for found in begun.result()] == [0]
        for n, answer in enumerate(later, 1):
            assert [found.best_left for found in answer.result()] == [n, n + 0.5]
        assert other.result()[0].best_left == 99
    assert sorted(scans) == [1, 1, 16] and together._waiting == []


def test_a_failure_is_everybodys_who_was_in_the_scan() -> None:
    together = Together()

    def fail(vectors: Any) -> list[Found]:
        raise ValueError("damaged")

    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"):
            together("key", rows(1), fail)
    assert together("key", rows(1), lambda vectors: [Found(())] * len(vectors)) == [Found(())]
