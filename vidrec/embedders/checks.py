"""What is true of every vector, whoever made it: its size, finite numbers, unit length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vidrec.embedders.context import Embedded
from vidrec.errors import TransientError
from vidrec.types import Embedding, Fingerprint
from vidrec.vectors import unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDING = 1e-6  # of a float32 vector's length


def checked(outcome: Embedded, fingerprints: Sequence[Fingerprint]) -> Embedded:
    """Return an outcome with unit vectors, and with one of scope ``video`` for each fingerprint.

    Raises:
        TransientError: there is no vector, or one that no embedder may give; a mended embedder
            meets the video again.
    """
    if outcome.error is not None:
        return outcome
    dims = {str(fingerprint): fingerprint.dim for fingerprint in fingerprints}
    of: dict[str, list[Embedding]] = {}
    for embedding in outcome.embeddings:
        span = (embedding.start_sec, embedding.end_sec)
        if not (0 <= span[0] < span[1] < math.inf) or embedding.fingerprint not in dims:
            raise TransientError(f"a vector of {embedding.fingerprint} at {span} s has no place")
        of.setdefault(embedding.fingerprint, []).append(embedding)
    if not of:
        raise TransientError("the embedder returned no vector")
    found: list[Embedding] = []
    for fingerprint, mine in of.items():
        vectors = sound([e.vector for e in mine], (len(mine), dims[fingerprint]))
        mine = [replace(e, vector=vector) for e, vector in zip(mine, vectors, strict=True)]
        whole = any(embedding.scope == "video" for embedding in mine)
        found += mine if whole else [*mine, whole_video(mine)]
    return replace(outcome, embeddings=found)


def sound(vectors: Any, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return vectors as a float32 array of this shape and of unit rows.

    Raises:
        TransientError: they have another shape, or one is zero or not finite.
    """
    import numpy as np

    try:
        found = np.asarray(vectors)
    except ValueError:  # rows of several lengths
        found = np.empty((), object)
    if found.dtype.kind not in "fiu":
        raise TransientError("the embedder returned vectors that are no array of numbers")
    if found.shape != shape and not (shape[0] == 0 and found.size == 0):
        raise TransientError(
            f"the embedder returned vectors of shape {found.shape}, not {shape} as it says"
        )
    wide = found.reshape(shape).astype(np.float64)
    near = np.abs(np.sqrt(np.einsum("nd,nd->n", wide, wide)) - 1) < ROUNDING
    if near.all():  # unit vectors stay as they are, bit for bit
        return np.ascontiguousarray(wide, np.float32)
    return np.where(near[:, None], wide, unit(wide)).astype(np.float32)


def whole_video(clips: Sequence[Embedding]) -> Embedding:
    """Return the embedding of a whole video: the unit mean of its clips', weighted equally."""
    import numpy as np

    mean = np.mean([clip.vector for clip in clips], axis=0)
    first = clips[0]
    return Embedding(
        first.video_id,
        first.fingerprint,
        "video",
        min(clip.start_sec for clip in clips),
        max(clip.end_sec for clip in clips),
        unit(mean),
    )
