"""Why: what an answer is made of, told from what was reckoned anyway.

Nothing is guessed. What each part gave are the terms of the formula that made the score; the
moments are clips of the library, scored by the part alone; words are the embedder's own, those
nearest to a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.embedders.base import Embedder
from vidrec.library import Library
from vidrec.search import pooling
from vidrec.search.asked import AskedPart
from vidrec.search.query import Pool
from vidrec.search.variety import SHARE, moment_around
from vidrec.types import Candidate, Embedding
from vidrec.vectors import exact_scores

if TYPE_CHECKING:
    from vidrec.types import Vector

WORDS = 5
MOMENTS = 3  # a part
PLACES = 6  # decimal places that are told


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains the results of one query."""

    library: Library
    embedder: Embedder
    parts: Sequence[AskedPart]
    pool: Pool

    def of_parts(self) -> list[dict[str, Any]]:
        """Say how each part was understood."""
        return [self._understood(part) for part in self.parts]

    def of_result(self, found: Candidate) -> dict[str, Any]:
        """Say what each part gave to a result, where its video is like it, and what is seen."""
        clips = self._clips(found)
        terms = pooling.given(self.parts, self.pool, found.vector)
        return {
            "parts": [
                self._part(part, term, found.vector, clips)
                for part, term in zip(self.parts, terms, strict=True)
            ],
            "tone": self.embedder.describe(found.vector),
            "seen": _words(self.embedder, found.vector),
        }

    def _understood(self, asked: AskedPart) -> dict[str, Any]:
        part, text = asked.part, asked.part.kind == "text"
        return {
            "part": _name(asked), "kind": part.kind, "weight": part.weight,
            "understood": round(asked.understood, 4) if text else None,
            "near": _words(self.embedder, asked.vector) if text else [],
            "tone": self.embedder.explain_text(part.value) if text else "",
        }  # fmt: skip

    def _part(
        self,
        asked: AskedPart,
        term: tuple[float, float],
        vector: Vector,
        clips: Sequence[Embedding],
    ) -> dict[str, Any]:
        (score,) = exact_scores(vector[None], asked.vector).tolist()
        slope, offset = term
        return {
            "part": _name(asked), "weight": asked.part.weight, "score": round(score, PLACES),
            "gave": round(slope * score + offset, PLACES),
            "of": self._aspects(asked.vector, vector, slope) if slope and not offset else {},
            "moments": _moments(asked.vector, clips),
        }  # fmt: skip

    def _aspects(self, asked: Vector, vector: Vector, slope: float) -> dict[str, float]:
        """Split what a part gave by what stretches of the vectors are about."""
        products = asked.astype(np.float64) * vector
        shares = {
            name: slope * float(products[start:end].sum())
            for name, (start, end) in self.embedder.aspects.items()
        }
        return {name: round(share, PLACES) for name, share in shares.items() if share}

    def _clips(self, found: Candidate) -> Sequence[Embedding]:
        """Return the video's clips; of a video that the library lacks, the one that is known."""
        payload, fingerprint = found.payload, str(self.embedder.fingerprint)
        known = self.library.video_embeddings(payload.video_id, fingerprint, "clip")
        span = (payload.start_sec, payload.end_sec)
        return known or [Embedding(payload.video_id, fingerprint, "clip", *span, found.vector)]


def _name(asked: AskedPart) -> str:
    return "a vector" if asked.part.kind == "vector" else str(asked.part.value)


def _words(embedder: Embedder, vector: Vector) -> list[dict[str, Any]]:
    (found,) = embedder.words(vector[None], WORDS)
    return [{"word": word, "score": round(score, 4)} for word, score in found]


def _moments(asked: Vector, clips: Sequence[Embedding]) -> list[dict[str, float]]:
    """Return where a video is most like a part: the best moment, and others nearly as good."""
    scores = exact_scores(np.stack([clip.vector for clip in clips]), asked).tolist()
    left = list(map(Candidate.of, clips, scores))
    found: list[dict[str, float]] = []
    least = SHARE * max(scores)
    while left and len(found) < MOMENTS:
        best = max(left, key=lambda clip: clip.score)
        if found and best.score < least:
            break
        start, end = moment_around(best, left)
        found.append({"start_sec": start, "end_sec": end, "score": round(best.score, PLACES)})
        left = [c for c in left if not (start <= c.payload.start_sec and c.payload.end_sec <= end)]
    return found
