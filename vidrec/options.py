"""The options of the Python interface by name, for type checkers: nothing imports this to run.

They are the fields of ``EmbedOptions`` and of ``Query``, each in its own words there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from vidrec.conditions import Condition


class Embedding(TypedDict, total=False):
    """Of ``vidrec.ingest.embed.EmbedOptions``."""

    limit: int | None
    retry_failed: bool
    force: bool
    label_from: Literal["auto", "folder", "none"]
    max_minutes: float | None
    allow_paid: bool
    repair: bool
    exclude: tuple[str, ...]
    dry_run: bool
    wait: bool
    shard: tuple[int, int] | None
    engine: Literal["local", "ray"]
    address: str | None
    workers: int | None
    gpus: float


class Asking(TypedDict, total=False):
    """Of ``vidrec.search.query.Query``, beside its parts and ``k``."""

    clips: bool
    conditions: Sequence[Condition]
    scope: Literal["clip", "video", "best"]
    pool: Literal["mean", "max"]
    diversity: float
    max_per: tuple[tuple[str, int], ...]
    dedupe: bool
    history: Sequence[str | Path]
    like_history: bool
    min_score: float | None
    min_confidence: float | None
    why: bool
