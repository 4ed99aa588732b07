"""What commands write as JSON where no report of a stage says it already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vidrec.types import Recommendation


@dataclass(frozen=True, slots=True)
class Failed:
    """What went wrong; on stderr, or in place of an answer under ``recommend --queries``."""

    error: str
    kind: str
    exit_code: int
    id: Any = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to one of many queries."""

    id: Any
    query: str
    embedder: str
    store: str
    confident: bool
    reason: str
    notes: list[str]
    results: list[Recommendation]
    why: Any = None


@dataclass(frozen=True, slots=True)
class EmbeddedVideo:
    """A video that is done, has failed, or would be embedded."""

    schema: int
    event: Literal["video"]
    status: Literal["embedded", "failed", "planned"]
    source: str
    video_id: str | None = None
    clips: int | None = None
    duration_sec: float | None = None
    warnings: list[str] | None = None
    error: str | None = None
    kind: str | None = None
    permanent: bool | None = None


@dataclass(frozen=True, slots=True)
class EmbedSummary:
    """The last object of a run."""

    schema: int
    event: Literal["summary"]
    embedder: str
    fingerprint: str
    videos: int
    clips: int
    footage_sec: float
    seconds: float
    skipped: int
    known_failures: int
    failed: int
    left: int
    over_cap: int
    elsewhere: int
    interrupted: bool
    paid_jobs: int
    paid_minutes: float
    unclear_jobs: int
    cost: float | None
