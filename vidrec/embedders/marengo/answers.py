"""Marengo's answers: which row is which, and whether its numbers are a vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidrec.embedders.context import Embedded
from vidrec.embedders.marengo.profiles import Option, Requests
from vidrec.embedders.outcomes import whole_video
from vidrec.errors import EmbedderError, JobError
from vidrec.types import Embedding, Scope, Video
from vidrec.vectors import unit

if TYPE_CHECKING:
    from vidrec.types import Vector


@dataclass(frozen=True, slots=True)
class Answers:
    """Reads what comes back under one set of settings."""

    requests: Requests

    def embedded(self, video: Video, answer: dict[str, Any]) -> Embedded:
        """Read an answer. Rows are told apart by option and scope; their order means nothing.

        Raises:
            JobError: the answer holds no vectors of the option that is searched, or bad ones.
        """
        rows = answer.get("data")
        rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        length = _duration(video, answer)
        embeddings: list[Embedding] = []
        for option in self.requests.options:
            mine = [row for row in rows if row.get("embedding_option") == option]
            embeddings += self._of_option(video, option, mine, length)
        wanted = str(self.requests.fingerprint(self.requests.option))
        if not any(embedding.fingerprint == wanted for embedding in embeddings):
            kinds = sorted({str(row.get("embedding_option")) for row in rows}) or ["nothing"]
            raise JobError(
                f"Twelve Labs returned no {self.requests.option} embedding of it "
                f"(it returned {', '.join(kinds)})"
            )
        return Embedded(video, embeddings)

    def _of_option(
        self, video: Video, option: Option, rows: Sequence[dict[str, Any]], length: float
    ) -> list[Embedding]:
        clips, whole = [], None
        for row in rows:
            if row.get("embedding_scope") == "asset":
                whole = self._embedding(video, option, "video", 0.0, length, row)
                continue
            start, end = _number(row, "start_sec"), min(_number(row, "end_sec"), length)
            if end > start:  # a looped copy has clips beyond the end, and some have no length
                clips.append(self._embedding(video, option, "clip", start, end, row))
        # The same clip told twice counts once: the library keeps one vector for each.
        clips = list({(clip.start_sec, clip.end_sec): clip for clip in clips}.values())
        if whole is not None and not clips:
            clips = [Embedding(video.id, whole.fingerprint, "clip", 0.0, length, whole.vector)]
        if whole is None and clips:
            whole = whole_video(clips)
        return [*clips, whole] if whole is not None else []

    def _embedding(
        self,
        video: Video,
        option: Option,
        scope: Scope,
        start: float,
        end: float,
        row: dict[str, Any],
    ) -> Embedding:
        fingerprint = str(self.requests.fingerprint(option))
        return Embedding(video.id, fingerprint, scope, start, end, self.vector(row))

    def vector(self, row: dict[str, Any]) -> Vector:
        import numpy as np

        try:
            values = np.asarray(row.get("embedding"), dtype=np.float32)
        except (TypeError, ValueError):
            values = np.empty(0, np.float32)
        if values.shape != (self.requests.dim,):
            raise JobError(
                f"Twelve Labs returned a vector of {values.size} numbers where "
                f"{self.requests.dim} were asked for"
            )
        try:
            return unit(values)
        except EmbedderError as exc:
            raise JobError(f"Twelve Labs returned a bad vector: {exc}") from exc


def _duration(video: Video, answer: dict[str, Any]) -> float:
    """The video's length; the answer's is that of a repaired copy where they differ."""
    if video.duration_sec:
        return video.duration_sec
    metadata = answer.get("metadata")
    said = _number(metadata, "duration") if isinstance(metadata, dict) else 0.0
    rows = answer.get("data") or []
    return said or max((_number(row, "end_sec") for row in rows), default=0.0)


def _number(row: dict[str, Any], name: str) -> float:
    value = row.get(name)
    good = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if good else 0.0  # type: ignore[arg-type]
