"""One ranking for all stores."""

import numpy as np
import pytest

from vidrec.search.rank import order
from vidrec.stores.knn.shortlist import shortlist
from vidrec.types import Candidate, Payload
from vidrec.vectors import ROWS_AT_A_TIME, exact_scores


def test_exact_scores_do_not_depend_on_where_a_row_lies() -> None:
    noise = np.random.default_rng(0)
    for dim in (3, 17, 512, 1023):
        row, query = (noise.standard_normal(dim).astype(np.float32) for _ in range(2))
        alone = exact_scores(row[None], query)[0]
        rows = noise.standard_normal((ROWS_AT_A_TIME + 5, dim)).astype(np.float32)
        for place in (0, 1, 2, 63, ROWS_AT_A_TIME, len(rows) - 1):
            rows[place] = row
            assert exact_scores(rows, query)[place] == alone
            assert exact_scores(rows[place:], query)[0] == alone


@pytest.mark.parametrize("left_out", [0.2, 0.9])
@pytest.mark.parametrize("by_video", [False, True])
def test_a_shortlist_holds_the_first_k(by_video: bool, left_out: float) -> None:
    noise = np.random.default_rng(1)
    for n, k in ((1, 1), (5, 9), (500, 3), (5000, 10), (5000, 700)):
        scores = noise.integers(0, 50, n).astype(np.float32) / 50
        scores[noise.random(n) < left_out] = -np.inf
        videos = noise.integers(0, max(1, n // 40), n).astype(np.uint64)
        names = [f"{number:05d}" for number in noise.permutation(n)]
        kept, best_left = shortlist(scores, k, 8, videos if by_video else None)
        assert np.isfinite(scores[kept]).all()

        def first(
            positions: np.ndarray,
            scores=scores,
            names=names,
            videos=videos,
            k=k,  # type: ignore
        ) -> list[str]:
            candidates = [
                Candidate(names[at], float(scores[at]), Payload(str(videos[at]), "", "clip", 0, 1),
                          np.empty(0, np.float32))
                for at in positions
            ]  # fmt: skip
            return [candidate.id for candidate in order(candidates, k, by_video=by_video)]

        everything = np.flatnonzero(np.isfinite(scores))
        assert first(kept) == first(everything)
        left = np.setdiff1d(everything, kept)
        if not by_video and left.size:
            assert scores[left].max() <= best_left
