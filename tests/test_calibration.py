"""From scores to confidence: the fit, by cases that can be reckoned."""

import numpy as np
import pytest

from vidrec.calibration import Calibration, fit, separation
from vidrec.evaluate.corpus import drawn
from vidrec.evaluate.metrics import best_scores


def test_a_confidence_is_a_probability_and_grows_with_the_score() -> None:
    calibration = Calibration(10.0, -5.0)
    assert calibration.confidence(0.5) == 0.5
    assert calibration.confidence(0.6) == pytest.approx(1 / (1 + np.exp(-1)))
    assert Calibration(1e9, 0).confidence(1) == 1 and Calibration(1e9, 0).confidence(-1) < 1e-200


def test_the_fit_finds_the_function_that_scores_were_drawn_from() -> None:
    """Two normal distributions of one variance have a logistic posterior that is known."""
    rng = np.random.default_rng(0)
    present, absent = rng.normal(0.5, 0.1, 40_000), rng.normal(0.3, 0.1, 10_000)
    found = fit(present, absent)
    assert found.slope == pytest.approx(0.2 / 0.1**2, rel=0.05)
    assert found.confidence(0.4) == pytest.approx(0.5, abs=0.02)


def test_scores_that_do_not_overlap_give_a_finite_slope() -> None:
    found = fit(np.array([0.8, 0.9]), np.array([0.1, 0.2]))
    assert 0.6 < found.confidence(0.85) < 0.95
    assert found.confidence(0.15) == pytest.approx(1 - found.confidence(0.85), abs=0.01)


@pytest.mark.parametrize(
    ("present", "absent"), [([0.5] * 3, [0.5] * 4), ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])]
)
def test_scores_that_say_nothing_give_no_confidence_either_way(
    present: list[float], absent: list[float]
) -> None:
    found = fit(np.array(present), np.array(absent))
    assert found.confidence(-1) == pytest.approx(0.5) == found.confidence(1)


def test_separation_counts_pairs() -> None:
    assert separation(np.array([2.0, 3.0]), np.array([1.0, 1.0])) == 1
    assert separation(np.array([1.0, 3.0]), np.array([1.0, 2.0])) == pytest.approx(2.5 / 4)


def test_best_scores_with_and_without_what_fits() -> None:
    """Three videos on the axes of the plane and between; 0 and 1 have one label."""
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], np.float32)
    videos, labels = np.array([0, 1, 2, 2]), np.array([7, 7, 8])
    queries, own = np.array([[1, 0], [0, 1]], np.float32), np.array([0, 2])
    present, absent = best_scores(queries, own, vectors, videos, labels)
    np.testing.assert_allclose(present, [1, 1], atol=1e-6)
    np.testing.assert_allclose(absent, [0.6, 0.6], atol=1e-6)
    # Without the query's own video the second has nothing that fits it, so it is left out.
    present, absent = best_scores(queries, own, vectors, videos, labels, away=np.arange(3))
    np.testing.assert_allclose((present, absent), [[0.8], [0.6]], atol=1e-6)
    # Without a label a query fits its own video only; where all fits there is no query.
    present, absent = best_scores(queries, own, vectors, videos, np.array([-1, -1, -1]))
    np.testing.assert_allclose(absent, [0.8, 0.6], atol=1e-6)
    present, _ = best_scores(queries, own, vectors, videos, np.array([7, 7, 7]))
    assert present.size == 0
    assert best_scores(queries[:0], own[:0], vectors, videos, labels)[0].size == 0


def test_of_many_some_are_drawn_and_the_same_again() -> None:
    assert drawn(3, 4, seed=0).tolist() == [0, 1, 2]
    some = drawn(100, 4, seed=0).tolist()
    assert len(set(some)) == 4 and some == sorted(some) == drawn(100, 4, seed=0).tolist()
