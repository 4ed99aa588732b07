"""Answers: candidates become rows that a person can use, and whether any of them fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrec.files import exists
from vidrec.library import Library
from vidrec.library.videos import is_gone
from vidrec.records import dataclass
from vidrec.search.asked import AskedPart
from vidrec.search.query import Pool, Query
from vidrec.types import Candidate, Payload, Recommendation

if TYPE_CHECKING:
    from vidrec.types import Vector


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found.

    Attributes:
        query: what was asked, in words.
        embedder: the fingerprint of the vectors that were compared.
        store: the store's name.
        results: the best first; what does not reach the query's ``min_score`` is left out.
        confident: whether something fits, as far as that is known. ``reason`` says why not.
        notes: one-line remarks for a person.
        unindexed: the library holds more than the store.
        paid_minutes: of footage that was embedded for the query itself.
        why: how each part was understood, where that was asked for (``vidrec.search.why``).
    """

    query: str
    embedder: str
    store: str
    results: Sequence[Recommendation]
    confident: bool = True
    reason: str = ""
    notes: tuple[str, ...] = ()
    unindexed: bool = False
    paid_minutes: float = 0.0
    why: Sequence[Mapping[str, Any]] | None = None


def document(answer: Answer) -> dict[str, Any]:
    """Return an answer as `--format json` writes it."""
    found = {
        "query": answer.query, "embedder": answer.embedder, "store": answer.store,
        "confident": answer.confident, "reason": answer.reason, "notes": list(answer.notes),
        "results": [fields_of(row) for row in answer.results],
    }  # fmt: skip
    return found if answer.why is None else {**found, "why": list(answer.why)}


def fields_of(row: Recommendation) -> dict[str, Any]:
    """Return a result as JSON has it; ``why`` is there where it was asked for."""
    shown = {field.name: getattr(row, field.name) for field in fields(row)}  # asdict copies all
    if row.why is None:
        del shown["why"]
    return shown


def row_of(library: Library, rank: int, found: Candidate, sure: float | None) -> Recommendation:
    """Return a candidate as a result; ``sure`` is its confidence."""
    payload = found.payload
    video = None if payload.path else library.video(payload.video_id)
    if video and video.path:  # the store was not told where the file is
        payload = replace(payload, path=str(video.path))
    return Recommendation(
        rank, found.score, payload.video_id, payload.path, payload.url, payload.filename,
        payload.label, payload.start_sec, payload.end_sec, payload.duration_sec, sure,
        gone=_is_gone(library, payload),
    )  # fmt: skip


def _is_gone(library: Library, payload: Payload) -> bool:
    if payload.url is not None or (payload.path and exists(Path(payload.path))):
        return False
    video = library.video(payload.video_id)
    if video is None:  # somebody else's in a shared index, or removed
        return payload.path is not None
    return is_gone(video)


def confidence_of(
    score: float, vector: Vector, parts: Sequence[AskedPart], pool: Pool
) -> float | None:
    """Return how sure it is that what scores so fits; None where that is not known of a liked part.

    Of several liked parts it is their own confidences' weighted mean, or the largest.
    """
    liked = [part for part in parts if part.part.weight > 0]
    if not liked or any(part.calibration is None for part in liked):
        return None
    sure = []
    for part in liked:
        own = score if len(parts) == 1 else float(vector @ part.vector)
        assert part.calibration is not None
        sure.append(part.calibration.confidence(own) * part.understood)
    if pool == "max":
        return round(max(sure), 4)
    weights = [part.part.weight for part in liked]
    weighted = sum(w * c for w, c in zip(weights, sure, strict=True))
    return round(weighted / sum(weights), 4)


def judged(
    answer: Answer, query: Query, parts: Sequence[AskedPart], least: float, embedder: str
) -> Answer:
    """Leave out what scores too low, and say whether anything fits.

    ``least`` is the confidence that the best must have; ``embedder`` is the name of who was asked.
    """
    if not answer.results:
        fits = "that is indexed fits the conditions" if query.conditions else "else is indexed"
        reason = f"no match: nothing {fits}"
        return replace(answer, confident=False, reason=reason)
    best = answer.results[0]
    wanted = query.min_score
    kept = [row for row in answer.results if wanted is None or row.score >= wanted]
    answer = replace(answer, results=kept)
    if not kept:
        reason = f"no confident match: the best score is {best.score:.3f}, below {wanted}"
        return replace(answer, confident=False, reason=reason)
    if best.confidence is None or best.confidence >= least:
        return answer
    strange = any(part.understood < 0.5 for part in parts)
    why = f"; {embedder} knows little of what the text is about" if strange else ""
    reason = (
        f"no confident match: the best, {best.filename}, has a confidence of "
        f"{best.confidence:.2f}, below {least:g} (score {best.score:.3f}){why}"
    )
    return replace(answer, confident=False, reason=reason)


def seen_in(row: Recommendation, words: int) -> str:
    """Say in words what a result's clip shows, where it was asked why: its tone, then things."""
    why = row.why or {}
    things = [word["word"] for word in why.get("seen", ())[:words]]
    return ", ".join([why["tone"], *things] if why.get("tone") else things)
