"""Unit vectors: what all scores are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidrec.errors import TransientError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
