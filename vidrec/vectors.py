"""Unit vectors: what all scores are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vidrec.errors import TransientError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Vectors this near to unit length are kept bit for bit, others are scaled.
UNIT_TOLERANCE = 1e-5
# Rows that are turned into float64 at a time: 16 MiB at 512 numbers a row.
ROWS_AT_A_TIME = 4096


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Scale each row of ``(n, dim)`` or a ``(dim,)`` vector to unit length, as float32.

    Raises:
        TransientError: a vector is zero or holds a number that is not finite; what made it may
            be mended.
    """
    import numpy as np

    wide = np.asarray(vectors, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise TransientError("a vector is zero or not finite, so it has no direction")
    return np.ascontiguousarray(wide / norms, dtype=np.float32)


def unit_rows(vectors: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    """Return the (n, dim) rows as unit vectors; what is of unit length stays bit for bit.

    Raises:
        UsageError: a row is all zeros or holds a number that is not finite.
    """
    import numpy as np

    near = np.einsum("ij,ij->i", vectors, vectors)
    off = np.flatnonzero(~(np.abs(near - 1.0) <= 2 * UNIT_TOLERANCE))
    if not off.size:
        return vectors
    wide = vectors[off].astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    bad = off[~(np.isfinite(lengths) & (lengths > 0))]
    if bad.size:
        raise UsageError(
            f"the vector of {names[int(bad[0])]} has no direction: it is all zeros, or holds "
            "numbers that are not finite"
        )
    scaled = vectors.copy()
    scaled[off] = wide / lengths[:, None]
    return scaled


def is_unit(vector: NDArray[np.float32], dim: int) -> bool:
    """Whether a vector has that many numbers, all finite, and unit length."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        length = float(np.linalg.norm(vector.astype(np.float64)))
    return vector.shape == (dim,) and abs(length - 1) <= 2 * UNIT_TOLERANCE


def exact_scores(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the float64 cosine of every (n, dim) unit row with the (dim,) unit query.

    Products of float32 numbers are exact in float64, and each row is summed by itself.
    """
    import numpy as np

    wide = query.astype(np.float64)
    scores = np.empty(len(vectors), dtype=np.float64)
    for start in range(0, len(vectors), ROWS_AT_A_TIME):
        part = vectors[start : start + ROWS_AT_A_TIME]
        scores[start : start + len(part)] = np.add.reduce(part * wide, axis=1)
    return scores


def margin(dim: int) -> float:
    """Return how far two float32 scores may lie from their true order.

    A sum of ``dim`` products of unit vectors, added up in any order in float32, errs by at most
    about ``dim * 2**-24`` (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). If the
    float32 scores of two points differ by more than the margin, their order is certain.
    """
    return 2.02 * dim * 2.0**-24
