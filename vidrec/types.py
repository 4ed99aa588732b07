"""The things that flow through vidrec, from a video to a recommendation.

All are small frozen dataclasses without behaviour beyond naming themselves; a vector is a
``(dim,)`` float32 array of unit length. Nothing heavy is imported here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vidrec.point_ids import point_id
from vidrec.records import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]
    Frames: TypeAlias = NDArray[np.uint8]  # (t, h, w, 3), RGB

Scope: TypeAlias = Literal["clip", "video"]
Modality: TypeAlias = Literal["video", "text", "image"]
Scalar: TypeAlias = "str | int | float | bool | None"


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What probing says of a video. Sizes are as displayed (after rotation), in pixels."""

    duration_sec: float
    width: int
    height: int
    fps: float | None = None
    codec: str = ""
    rotation: int = 0


@dataclass(frozen=True, slots=True)
class Video:
    """A video of the library.

    ``id`` is the SHA-256 of its bytes (64 hexadecimal digits); ``path`` is where the file was
    last seen on this machine; ``url`` is its stable ``s3://`` or ``https://`` address, if any.
    """

    id: str
    filename: str
    path: Path | None = None
    url: str | None = None
    size: int = 0
    label: str | None = None
    group: str | None = None
    info: VideoInfo | None = None

    @property
    def duration_sec(self) -> float | None:
        return self.info.duration_sec if self.info else None


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of a video, in seconds from its first frame."""

    start_sec: float
    end_sec: float


@dataclass(frozen=True, slots=True)
class Clips:
    """A video's clips by start: where each starts and ends ``(n,)``, and vectors ``(n, dim)``."""

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Names everything that changes an embedder's vectors.

    Two vectors may be compared only if their fingerprints are equal; a dimension alone says
    nothing (two model versions can share it). ``options`` holds what else matters: weights,
    sampling, recipe.
    """

    embedder: str
    model: str
    dim: int
    options: Mapping[str, Scalar] = field(default_factory=dict)

    def __str__(self) -> str:
        text = json.dumps(dict(self.options), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return f"{self.embedder}:{self.model}:{self.dim}:{digest}"


@dataclass(frozen=True, slots=True)
class Embedding:
    """A unit vector for a clip or a whole video, under one fingerprint.

    Its key is (video_id, fingerprint, scope, start, end). An embedder may yield embeddings of
    several fingerprints for one video (say, visual and audio of one paid job). ``extra`` is
    metadata that came with an imported vector.
    """

    video_id: str
    fingerprint: str
    scope: Scope
    start_sec: float
    end_sec: float
    vector: Vector
    extra: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def point_id(self) -> str:
        return point_id(self.video_id, self.fingerprint, self.scope, self.start_sec, self.end_sec)


@dataclass(frozen=True, slots=True)
class Payload:
    """What a point says about its vector besides the vector.

    ``extra`` carries metadata that vidrec does not know (of imported vectors); its keys can be
    filtered on like the others.
    """

    video_id: str
    filename: str
    scope: Scope
    start_sec: float
    end_sec: float
    path: str | None = None
    url: str | None = None
    label: str | None = None
    group: str | None = None
    duration_sec: float | None = None
    extra: Mapping[str, Scalar] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return one flat mapping; ``extra`` is merged in, known names win."""
        known = {name: getattr(self, name) for name in PAYLOAD_FIELDS}
        return {**self.extra, **known}

    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Payload:
        """Undo ``as_dict``; missing names get their defaults."""
        known = {name: flat[name] for name in PAYLOAD_FIELDS if name in flat}
        extra = {name: value for name, value in flat.items() if name not in PAYLOAD_FIELDS}
        return cls(**known, extra=extra)


PAYLOAD_FIELDS = tuple(name for name in Payload.__annotations__ if name != "extra")


@dataclass(frozen=True, slots=True)
class Point:
    """What a store holds: an id (a UUID as text), a unit vector and its payload."""

    id: str
    vector: Vector
    payload: Payload


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that may become a result, with its vector."""

    id: str
    score: float
    payload: Payload
    vector: Vector

    @classmethod
    def of(cls, clip: Embedding, score: float) -> Candidate:
        """Return a clip of the library, of whose video nothing more is said, as a candidate."""
        payload = Payload(clip.video_id, "", clip.scope, clip.start_sec, clip.end_sec)
        return cls(clip.point_id, score, payload, clip.vector)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One row of a result: a video, its score and its best moment.

    ``confidence`` is the probability, 0 to 1, that what scores so fits; None if not calibrated.
    ``why`` tells what the score is made of, where that was asked for (``vidrec.search.why``).
    """

    rank: int
    score: float
    video_id: str
    path: str | None
    url: str | None
    filename: str
    label: str | None
    start_sec: float
    end_sec: float
    duration_sec: float | None
    confidence: float | None = None
    gone: bool = False  # its file is not where it was last seen, and it has no URL
    why: Mapping[str, Any] | None = None
