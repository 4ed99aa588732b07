"""Scans that are asked for at the same time are one scan."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from vidrec.stores.knn.together import Together


def rows(*numbers: float) -> Any:
    return np.array([[number] for number in numbers], np.float32)


def test_who_waits_is_answered_by_one_scan_each_with_its_own() -> None:
    together, first, scans = Together(), threading.Event(), []

    def scan(vectors: Any) -> Any:
        scans.append(len(vectors))
        if len(scans) == 1:
            first.wait(20)
        return -vectors

    with ThreadPoolExecutor(12) as pool:
        begun = pool.submit(together, "key", rows(0), 16, scan)
        while not scans:
            pass
        later = [pool.submit(together, "key", rows(n, n + 0.5), 16, scan) for n in range(1, 9)]
        other = pool.submit(together, "other", rows(99), 16, scan)
        while len(together._waiting) < 9:
            pass
        first.set()
        assert begun.result().tolist() == [[0]]
        for n, answer in enumerate(later, 1):
            assert answer.result().tolist() == [[-n], [-n - 0.5]]
        assert other.result().tolist() == [[-99]]
    assert sorted(scans) == [1, 1, 16] and together._waiting == []


def test_a_failure_is_everybodys_who_was_in_the_scan() -> None:
    together = Together()

    def fail(vectors: Any) -> Any:
        raise ValueError("damaged")

    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"):
            together("key", rows(1), 16, fail)
    assert together("key", rows(1), 16, lambda vectors: vectors).tolist() == [[1]]


def test_who_is_answered_waits_for_no_later_scan() -> None:
    together, scans = Together(), [threading.Event() for _ in range(3)]
    begun: list[int] = []

    def scan(vectors: Any) -> Any:
        begun.append(len(vectors))
        assert scans[len(begun) - 1].wait(20)
        return vectors

    with ThreadPoolExecutor(8) as pool:
        pool.submit(together, "key", rows(0), 2, scan)
        while not begun:
            pass
        second = [pool.submit(together, "key", rows(n), 2, scan) for n in (1, 2)]
        while len(together._waiting) < 2:
            pass
        third = pool.submit(together, "key", rows(3), 2, scan)
        while len(together._waiting) < 3:
            pass
        scans[0].set()
        scans[1].set()
        assert [one.result(20).tolist() for one in second] == [[[1]], [[2]]]
        assert not third.done()  # its scan still runs
        scans[2].set()
        assert third.result(20).tolist() == [[3]]
    assert begun == [1, 2, 1] and together._waiting == []
