"""What is true of every outcome, whoever made it.

Each vector has the right size, finite numbers and unit length; whatever goes wrong with a video is
its outcome, also where a third party's code raises or exits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vidrec.embedders.context import EmbedContext, Embedded, EmbedOne
from vidrec.errors import (
    Cancelled,
    EmbedderError,
    TransientError,
    UnexpectedError,
    VidrecError,
    failure_of,
)
from vidrec.plugins import calling
from vidrec.types import Embedding, Fingerprint, Video
from vidrec.vectors import unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.embedders.base import Embedder

ROUNDING = 1e-6  # of a float32 vector's length


def outcome_of(embedder: Embedder, embed_one: EmbedOne, video: Video) -> Embedded | None:
    """Return a video's outcome, checked; None where the run was cancelled first."""
    try:
        with calling():
            outcome = embed_one(video)
        return outcome and checked(outcome, embedder.fingerprints)
    except Exception as exc:
        return Embedded(video, error=failure_of(exc))
    except SystemExit as exc:
        reason = f"{embedder.name} called exit({exc.code})"
        return Embedded(video, error=UnexpectedError(reason))


def outcome_of_clips(embedder: Embedder, video: Video, context: EmbedContext) -> Embedded | None:
    """Return what an embedder makes of a video, clip by clip; None where that was cancelled."""
    warnings: list[str] = []
    clips: list[Embedding] = []
    fingerprint = str(embedder.fingerprint)
    found = [video.info] if video.info else []
    noting = replace(context, probed=found.append)
    try:
        for clip, vector in embedder._clips(video, noting, warnings):
            if context.cancelled():
                return None
            span = (float(clip.start_sec), float(clip.end_sec))  # numpy's would be stored as bytes
            clips.append(Embedding(video.id, fingerprint, "clip", *span, vector))
            if found and found[0].duration_sec:
                context.progress(video, min(1.0, span[1] / found[0].duration_sec))
    except Cancelled:
        return None
    except Exception as exc:
        return Embedded(video, warnings=warnings, error=failure_of(exc))
    # Where a header lies about the length, the frames know better, if they were looked at.
    if found and clips and embedder.probes:
        video = replace(video, info=replace(found[0], duration_sec=clips[-1].end_sec))
    return Embedded(video, clips, warnings)


@contextmanager
def in_one_line(name: str) -> Iterator[None]:
    """Whatever a plug-in of that name raises outside any video is an error of one line."""
    try:
        with calling():
            yield
    except (VidrecError, ModuleNotFoundError):
        raise
    except Exception as exc:
        raise EmbedderError(f"{name}: {failure_of(exc)}") from exc
    except SystemExit as exc:
        raise EmbedderError(f"{name} called exit({exc.code})") from exc


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
    places = set[str]()
    for embedding in outcome.embeddings:
        span = (float(embedding.start_sec), float(embedding.end_sec))
        if not (0 <= span[0] < span[1] < math.inf) or embedding.fingerprint not in dims:
            raise TransientError(f"a vector of {embedding.fingerprint} at {span} s has no place")
        embedding = replace(embedding, start_sec=span[0], end_sec=span[1])
        if embedding.point_id in places:
            raise TransientError(
                f"two vectors of {embedding.fingerprint} at {span} s are one place"
            )
        places.add(embedding.point_id)
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
