"""Session: library, embedder and store opened once, and asked often.

A session answers from several threads at once and sees a new index by itself. Whether anything
fits is a value of the answer; what becomes of it (an exit code, a line on a page) is the asker's
affair.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import UsageError
from vidrec.files import exists
from vidrec.library import Library
from vidrec.library.videos import is_gone
from vidrec.search.asked import AskedPart, Asker
from vidrec.search.query import Query, check_query
from vidrec.stores import open_store
from vidrec.types import Condition, Filter, Match, Payload, Recommendation, Scalar, Scope

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


class Session:
    """An open library with its embedder and store. Use as a context manager."""

    def __init__(self, settings: Settings) -> None:
        """Open what is needed, cheaply: no model is loaded before something asks for it.

        If the settings name no embedder and the library holds only another one's vectors, that
        one is used, and every answer says so.

        Raises:
            LibraryError: there is no library.
            ConfigError: no embedder or store has that name.
        """
        self.library = Library(settings.library, create=False)
        try:
            self.settings, self._notes = _with_embedder(settings, self.library)
            self.embedder = load_embedder(self.settings)
            self.store = open_store(self.settings)
        except BaseException:
            self.library.close()
            raise
        self.fingerprint = str(self.embedder.fingerprint)
        self._asker = Asker(self.library, self.embedder, self.settings)
        self._store_mutex = threading.Lock()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release files, connections and models."""
        self.store.close()
        self.embedder.close()
        self.library.close()

    def recommend(self, query: Query) -> Answer:
        """Return the best videos (or moments) for a query.

        Several liked parts are mixed; a video that is asked with is never among the results. A
        query of one part has a confidence, where the embedder or the library knows what its
        scores mean.

        Raises:
            UsageError: the query or a condition is wrong.
            NoIndexError: nothing is indexed yet.
            FingerprintError: the index holds vectors of another embedder.
        """
        check_query(query)
        paid_before = self._asker.paid_minutes
        parts = self._asker.ask(query.parts)
        history = {self._asker.find(name).id for name in query.history}
        seeds = {part.video_id for part in parts if part.video_id is not None}
        chosen = filter_of(query, frozenset(history | seeds))
        with self._store_mutex:
            matches = self.store.query(
                mixed(parts), k=query.k, where=chosen, by_video=not query.clips,
                fingerprint=self.fingerprint,
            )  # fmt: skip
        alone = parts[0] if len(parts) == 1 and chosen.scope == "clip" else None
        rows = [self._row(rank, match, alone) for rank, match in enumerate(matches, 1)]
        answer = Answer(
            str(query), self.fingerprint, self.store.name, rows, notes=self._notes,
            unindexed=self._unindexed(), paid_minutes=self._asker.paid_minutes - paid_before,
        )  # fmt: skip
        return self._judged(answer, query, parts)

    def _unindexed(self) -> bool:
        followed = self.library.indexed_position(self.store.where, self.fingerprint)
        return self.library.position(self.fingerprint) != followed

    def _row(self, rank: int, match: Match, alone: AskedPart | None) -> Recommendation:
        payload = match.payload
        confidence = None
        if alone is not None and alone.calibration is not None:
            confidence = round(alone.calibration.confidence(match.score) * alone.understood, 4)
        return Recommendation(
            rank, match.score, payload.video_id, payload.path, payload.url, payload.filename,
            payload.label, payload.start_sec, payload.end_sec, payload.duration_sec, confidence,
            gone=self._is_gone(payload),
        )  # fmt: skip

    def _is_gone(self, payload: Payload) -> bool:
        if payload.url is not None or (payload.path and exists(Path(payload.path))):
            return False
        video = self.library.video(payload.video_id)
        return video is None or is_gone(video)

    def _judged(self, answer: Answer, query: Query, parts: Sequence[AskedPart]) -> Answer:
        """Leave out what scores too low, and say whether anything fits."""
        least = query.min_confidence
        if least is None:
            least = self.settings.embedder.min_confidence
        if not answer.results:
            reason = "no match: nothing that is indexed fits the conditions"
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
        why = f"; {self.embedder.name} knows little of what the text is about" if strange else ""
        reason = (
            f"no confident match: the best, {best.filename}, has a confidence of "
            f"{best.confidence:.2f}, below {least:g} (score {best.score:.3f}){why}"
        )
        return replace(answer, confident=False, reason=reason)


def open_session(settings: Settings) -> Session:
    """Open a session; close it, or use it in a ``with`` block."""
    return Session(settings)


def mixed(parts: Sequence[AskedPart]) -> Vector:
    """Return the one vector that is looked for.

    Rocchio's formula (1971), as Qdrant's ``average_vector`` has it: twice the mean of what is
    liked less the mean of what is disliked, each times its weight, scaled to unit length.

    Raises:
        UsageError: the parts cancel each other out.
    """
    if len(parts) == 1:
        return parts[0].vector
    import numpy as np

    from vidrec.errors import TransientError
    from vidrec.vectors import unit

    liked = [part.part.weight * part.vector for part in parts if part.part.weight > 0]
    total = 2 * np.mean(liked, axis=0)
    disliked = [part.part.weight * part.vector for part in parts if part.part.weight < 0]
    if disliked:
        total += np.mean(disliked, axis=0)
    try:
        return unit(total)
    except TransientError as exc:
        raise UsageError("what is liked and what is disliked cancel each other out") from exc


def filter_of(query: Query, excluded: frozenset[str]) -> Filter:
    """Return which points may match.

    Raises:
        UsageError: a condition is wrong.
    """
    scope: Scope = "video" if query.scope == "video" else "clip"
    equals: dict[str, tuple[Scalar, ...]] = {}
    for condition in query.conditions:
        if condition.key == "scope":
            scope = _scope_of(condition)
        elif condition.op in ("=", "in"):
            values = condition.value if condition.op == "in" else (condition.value,)
            equals[condition.key] = (*equals.get(condition.key, ()), *values)
        else:
            raise UsageError(f"conditions are =. Received: {condition.key}{condition.op}")
    return Filter(scope, equals, excluded)


def _scope_of(condition: Condition) -> Scope:
    values = condition.value if condition.op == "in" else (condition.value,)
    if condition.op not in ("=", "in") or len(values) != 1 or values[0] not in ("clip", "video"):
        received = ",".join(str(value) for value in values)
        raise UsageError(f"scope is clip or video. Received: scope{condition.op}{received}")
    return "video" if values[0] == "video" else "clip"


def _with_embedder(settings: Settings, library: Library) -> tuple[Settings, tuple[str, ...]]:
    """Choose the only embedder that the library has, where none was named."""
    if "name" in settings.embedder.model_fields_set:
        return settings, ()
    names = library.embedder_names()
    if len(names) != 1 or settings.embedder.name in names:
        return settings, ()
    (name,) = names
    chosen = settings.model_copy(deep=True)
    chosen.embedder.name = name
    return chosen, (f"the library has embeddings of {name} only: it was asked",)
