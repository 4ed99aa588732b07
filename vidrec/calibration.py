"""How sure a score is: from cosines, which differ in meaning, to a confidence from 0 to 1.

The confidence of a score is the probability that something in the collection fits the query, given
that the best match scores so, if either were as likely beforehand. It is a logistic function of the
cosine (Platt 1999, "Probabilistic outputs for support vector machines"), fitted for one embedder
and one kind of query to the best scores of queries that something fits, and of the same queries
after all that fits was taken away. How far a score stands out of all scores of its query was tried
instead: on captioned clips it tells the two apart worse (area under the ROC curve 0.60 against 0.70
for the cosine), and not better when both are used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vidrec.records import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_QUERIES = 8  # fewer say little
_STEPS = 100  # of Newton's method, which needs about ten
_RIDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Calibration:
    """The logistic function of one embedder and kind of query."""

    slope: float  # per unit of cosine, never negative
    offset: float

    def confidence(self, score: float) -> float:
        """Return the probability, from 0 to 1, that something fits."""
        exponent = self.slope * score + self.offset
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, exponent))))


def fit(present: Floats, absent: Floats) -> Calibration:
    """Fit best scores of queries with and without something that fits, at least one of each.

    Both count alike, however many there are. Targets are Platt's, a little inside 0 and 1, so
    that classes which do not overlap give a finite slope.
    """
    import numpy as np

    scores = np.concatenate([present, absent]).astype(np.float64)
    n_present, n_absent = len(present), len(absent)
    targets = np.repeat([(n_present + 1) / (n_present + 2), 1 / (n_absent + 2)],
                        [n_present, n_absent])  # fmt: skip
    weights = np.repeat([0.5 / n_present, 0.5 / n_absent], [n_present, n_absent])
    centre, spread = scores.mean(), max(float(scores.std()), 1e-6)
    table = np.stack([(scores - centre) / spread, np.ones_like(scores)], axis=1)  # n 2
    found = np.zeros(2)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(table @ found, -30, 30)))
        gradient = table.T @ (weights * (p - targets)) + _RIDGE * found
        curvature = (table.T * (weights * p * (1 - p))) @ table + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        found -= np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    slope = float(found[0]) / spread
    if slope <= 0:  # scores say nothing: every one is as good as a coin
        return Calibration(0.0, 0.0)
    return Calibration(slope, float(found[1] - slope * centre))


def separation(present: Floats, absent: Floats) -> float:
    """Return the probability that a present score is above an absent one, ties counting half."""
    import numpy as np

    ordered = np.sort(absent)
    below = np.searchsorted(ordered, present, "left")
    up_to = np.searchsorted(ordered, present, "right")
    return float((below + up_to).mean() / (2 * len(ordered)))
