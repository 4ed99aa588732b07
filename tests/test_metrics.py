"""Retrieval measures: reckoned by hand, and against a slow implementation of the definitions."""

import numpy as np
import pytest

from vidrec.evaluate import metrics
from vidrec.evaluate.metrics import (
    Quality,
    bootstrap_interval,
    chance_average_precision,
    chance_precision,
    neighbour_quality,
    target_ranks,
)


def units(*angles: float) -> np.ndarray:
    radians = np.deg2rad(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def random_units(random: np.random.Generator, count: int, dim: int) -> np.ndarray:
    # Few distinct values, so that many scores are equal.
    vectors = random.integers(-1, 2, size=(count, dim)).astype(np.float32)
    vectors[:, 0] += 2
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)


def slow_scores(query: np.ndarray, vectors: np.ndarray) -> list[float]:
    return [
        round(sum(float(a) * float(b) for a, b in zip(query, row, strict=True)), 12)
        for row in vectors
    ]


def test_ranks_by_hand() -> None:
    vectors = units(0, 50, 10, 90)
    videos = np.array([0, 0, 1, 2])  # video 0 has clips at 0 and 50 degrees
    queries = units(49, 8, 1, 89)
    ranks = target_ranks(queries, np.array([0, 0, 2, 2]), vectors, videos)
    # 8 degrees: video 1 (2 away) beats video 0 (8 away). 1 degree: 0, 1, then 2.
    assert ranks.tolist() == [1, 2, 3, 1]


def test_equal_scores_rank_in_row_order() -> None:
    vectors = units(30, 30, 30, 80)
    assert target_ranks(units(30), np.array([2]), vectors, np.array([0, 1, 2, 3])).tolist() == [3]
    # Rows are in point id order, whatever the numbers of the videos are.
    assert target_ranks(units(30), np.array([2]), vectors, np.array([2, 1, 0, 3])).tolist() == [1]
    # The second clip of a video is no second competitor.
    assert target_ranks(units(30), np.array([2]), vectors, np.array([1, 1, 2, 3])).tolist() == [2]


def test_neighbours_by_hand() -> None:
    #                 a  a   b   a   b
    vectors = units(0, 10, 13, 30, 31)
    labels = np.array([0, 0, 1, 0, 1])
    quality = neighbour_quality(vectors, labels, np.arange(5))
    # From 0: 10 a, 13 b, 30 a, 31 b. From 10: 13 b, 0 a, 30 a. From 13: 10 a, 0 a, 30 a, 31 b.
    # From 30: 31 b, 13 b, 10 a, 0 a. From 31: 30 a, 13 b.
    assert quality.precision_1.tolist() == [1, 0, 0, 0, 0]
    assert quality.precision_10.tolist() == [0.5, 0.5, 0.25, 0.5, 0.25]
    expected = [(1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2, 1 / 4, (1 / 3 + 2 / 4) / 2, 1 / 2]
    assert quality.average_precision == pytest.approx(expected)
    assert quality.relevant.tolist() == [2, 2, 1, 2, 1]
    assert quality.candidates.tolist() == [4] * 5


def test_the_own_group_is_left_out() -> None:
    vectors = units(0, 1, 20, 30)
    labels = np.array([0, 0, 1, 0])
    groups = np.array([7, 7, 8, -1])
    quality = neighbour_quality(vectors, labels, np.arange(4), groups)
    # Row 2 has nobody of its label. Row 0 sees 2 (wrong), 3 (right). Row 3 has no group.
    assert quality.precision_1.tolist() == [0, 0, 0]
    assert quality.average_precision == pytest.approx([1 / 2, 1 / 2, (1 / 2 + 2 / 3) / 2])
    assert quality.candidates.tolist() == [2, 2, 3]
    both_without = neighbour_quality(vectors, labels, np.arange(4), np.full(4, -1))
    assert both_without.candidates.tolist() == [3, 3, 3]


def test_nothing_to_find_gives_nothing() -> None:
    quality = neighbour_quality(units(0, 10, 20), np.arange(3), np.arange(3))
    assert len(quality.relevant) == 0
    assert len(neighbour_quality(units(0), np.zeros(1, int), np.arange(1)).relevant) == 0


@pytest.mark.parametrize("seed", range(8))
def test_ranks_agree_with_the_definition(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(seed)
    monkeypatch.setattr(metrics, "BLOCK_SCORES", 100)
    monkeypatch.setattr(metrics, "BLOCK_ROWS", 7)
    vectors, queries = random_units(random, 40, 4), random_units(random, 25, 4)
    videos = np.concatenate([np.arange(12), random.integers(0, 12, 28)])
    random.shuffle(videos)
    targets = random.integers(0, 12, 25)
    expected = []
    for query, target in zip(queries, targets, strict=True):
        scores = slow_scores(query, vectors)
        ranking = sorted(range(40), key=lambda row: (-scores[row], row))
        order = list(dict.fromkeys(int(videos[row]) for row in ranking))
        expected.append(order.index(target) + 1)
    assert target_ranks(queries, targets, vectors, videos).tolist() == expected


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("grouped", [False, True])
def test_neighbours_agree_with_the_definition(
    seed: int, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(seed)
    monkeypatch.setattr(metrics, "BLOCK_SCORES", 100)
    vectors = random_units(random, 30, 4)
    labels, groups = random.integers(0, 6, 30), random.integers(-1, 5, 30)
    queries = np.sort(random.choice(30, 20, replace=False))
    expected = []
    for query in queries:
        scores = slow_scores(vectors[query], vectors)
        ranking = [
            row
            for row in sorted(range(30), key=lambda row: (-scores[row], row))
            if row != query
            and not (grouped and groups[query] >= 0 and groups[row] == groups[query])
        ]
        right = [labels[row] == labels[query] for row in ranking]
        if any(right):
            precisions = [np.mean(right[: at + 1]) for at in range(len(right)) if right[at]]
            expected.append((right[0], np.mean(right[:10]), np.mean(precisions)))
    quality = neighbour_quality(vectors, labels, queries, groups if grouped else None)
    found = [quality.precision_1, quality.precision_10, quality.average_precision]
    assert np.stack(found, axis=1) == pytest.approx(np.array(expected, float))


def test_chance_is_what_random_rankings_reach() -> None:
    random = np.random.default_rng(0)
    relevant, total = 3, 17
    right = np.zeros((40_000, total))
    right[:, :relevant] = 1
    right = random.permuted(right, axis=1)
    precisions = right.cumsum(axis=1) / np.arange(1, total + 1)
    simulated = (precisions * right).sum(axis=1) / relevant
    none = np.zeros(1)
    quality = Quality(none, none, none, none, np.array([relevant]), np.array([total]))
    error = simulated.std() / np.sqrt(len(simulated))
    assert chance_average_precision(quality) == pytest.approx(simulated.mean(), abs=4 * error)
    assert chance_precision(quality) == pytest.approx(relevant / total)


def test_chance_of_certain_rankings() -> None:
    none = np.zeros(1)
    one = Quality(none, none, none, none, np.array([1]), np.array([1]))
    assert chance_average_precision(one) == 1
    every = Quality(none, none, none, none, np.array([5]), np.array([5]))
    assert chance_average_precision(every) == pytest.approx(1)


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = (np.arange(400) % 4 == 0).astype(float)  # a quarter of ones
    low, high = bootstrap_interval(values, seed=1)
    width = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert low == pytest.approx(0.25 - width, abs=0.008)
    assert high == pytest.approx(0.25 + width, abs=0.008)
    assert bootstrap_interval(values, seed=1) == (low, high)
    assert bootstrap_interval(np.ones(5), seed=0) == (1, 1)


def test_the_interval_does_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).exponential(size=50)
    whole = bootstrap_interval(values, np.median, seed=2)
    monkeypatch.setattr(metrics, "BLOCK_SCORES", 333)
    assert bootstrap_interval(values, np.median, seed=2) == whole
    assert whole[0] < np.median(values) < whole[1]
