"""Session: library, embedder and store opened once, and asked often.

A session answers from several threads at once and sees a new index by itself. Whether anything
fits is a value of the answer; what becomes of it (an exit code, a line on a page) is the asker's
affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import UsageError
from vidrec.files import exists
from vidrec.library import Library
from vidrec.library.catalog import has_catalog
from vidrec.library.videos import is_gone
from vidrec.search.asked import AskedPart, Asker
from vidrec.search.gather import Gathered, Gatherer
from vidrec.search.query import Part, Pool, Query, check_query
from vidrec.stores import open_store
from vidrec.types import (
    PAYLOAD_FIELDS,
    Candidate,
    Condition,
    Filter,
    Payload,
    Recommendation,
    Scalar,
    Scope,
)

LATEST = 50  # videos of a history that are liked
FEW = 10_000  # videos that a filter names; of more it names the others


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
        self.library, self._passing = _opened_library(settings)
        try:
            self.settings, self._notes = _with_embedder(settings, self.library)
            self.embedder = load_embedder(self.settings)
            self.store = open_store(self.settings)
        except BaseException:
            self.library.close()
            if self._passing is not None:
                self._passing.cleanup()
            raise
        self.fingerprint = str(self.embedder.fingerprint)
        self._asker = Asker(self.library, self.embedder, self.settings)

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
        if self._passing is not None:
            self._passing.cleanup()

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
        seen = self._seen(query)
        parts = self._asker.ask(
            [*query.parts, *(self._liked_before(seen) if query.like_history else ())]
        )
        if not any(part.part.weight > 0 for part in parts):
            raise UsageError("nothing of the history is in the library: there is nothing to like")
        seeds = {part.video_id for part in parts if part.video_id is not None}
        chosen = filter_of(self.library, query, frozenset(seeds.union(seen, self._removed())))
        try:
            found = self._gathered(query, parts, chosen)
        except UsageError as exc:
            raise self._with_fields(exc, chosen) from exc
        meanings = parts if chosen.scope == "clip" else []
        rows = [
            self._row(rank, candidate, confidence_of(candidate, meanings, query.pool))
            for rank, candidate in enumerate(found.candidates, 1)
        ]
        notes = [*self._notes, *found.notes]
        if len(parts) > 1 and rows and rows[0].confidence is not None:
            which = "largest" if query.pool == "max" else "mean"
            notes.append(f"the confidence of a mixture is the {which} of its liked parts' own")
        answer = Answer(
            str(query), self.fingerprint, self.store.name, rows, notes=tuple(notes),
            unindexed=self._unindexed(), paid_minutes=self._asker.paid_minutes - paid_before,
        )  # fmt: skip
        return self._judged(answer, query, parts)

    def _gathered(self, query: Query, parts: Sequence[AskedPart], chosen: Filter) -> Gathered:
        return Gatherer(
            self.library, self.store, self.fingerprint,
            self.embedder.copies_from, query, parts, chosen,
        ).gather()  # fmt: skip

    def _with_fields(self, refused: UsageError, chosen: Filter) -> UsageError:
        """A field that the store does not know: name those that the library does."""
        for key in {condition.key for condition in chosen.conditions}:
            if key not in PAYLOAD_FIELDS and f"{key!r} to filter on" in str(refused):
                return UsageError(f"{refused}; {self.library.unknown_field(key)}")
        return refused

    def _seen(self, query: Query) -> list[str]:
        """Return the ids of the videos of the history that the library knows, in its order."""
        if not query.history:
            return []
        known = self.library.ids_of(query.history)
        return list(dict.fromkeys(found for name in query.history for found in known.get(name, ())))

    def _liked_before(self, seen: Sequence[str]) -> list[Part]:
        embedded = self.library.whole_vectors(seen, self.fingerprint)
        latest = [video_id for video_id in seen if video_id in embedded][-LATEST:]
        return [Part("id", video_id) for video_id in latest]

    def _removed(self) -> set[str]:
        """Return the videos that the library removed and the store still has."""
        revision, _ = self.library.indexed_position(self.store.place, self.fingerprint)
        return self.library.removed_videos(revision) if revision else set()

    def _unindexed(self) -> bool:
        followed = self.library.indexed_position(self.store.place, self.fingerprint)
        return self.library.position(self.fingerprint) != followed

    def _row(self, rank: int, found: Candidate, confidence: float | None) -> Recommendation:
        payload = self._with_path(found.payload)
        return Recommendation(
            rank, found.score, payload.video_id, payload.path, payload.url, payload.filename,
            payload.label, payload.start_sec, payload.end_sec, payload.duration_sec, confidence,
            gone=self._is_gone(payload),
        )  # fmt: skip

    def _with_path(self, payload: Payload) -> Payload:
        """Say where the file is, where the store was not told."""
        video = None if payload.path else self.library.video(payload.video_id)
        return replace(payload, path=str(video.path)) if video and video.path else payload

    def _is_gone(self, payload: Payload) -> bool:
        if payload.url is not None or (payload.path and exists(Path(payload.path))):
            return False
        video = self.library.video(payload.video_id)
        if video is None:  # somebody else's in a shared index, or removed
            return payload.path is not None
        return is_gone(video)

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


def _opened_library(settings: Settings) -> tuple[Library, TemporaryDirectory[str] | None]:
    """Open the library; for a store elsewhere an empty one will do, which is thrown away.

    Raises:
        LibraryError: there is none, and the store lies in it.
    """
    if settings.store.name == "knn" or has_catalog(settings.library):
        return Library(settings.library, create=False), None
    passing = TemporaryDirectory(prefix="vidrec-")
    return Library(Path(passing.name)), passing


def open_session(settings: Settings) -> Session:
    """Open a session; close it, or use it in a ``with`` block."""
    return Session(settings)


def confidence_of(found: Candidate, parts: Sequence[AskedPart], pool: Pool) -> float | None:
    """Return how sure it is that a result fits; None where that is not known of a liked part.

    Of several liked parts it is their own confidences' weighted mean, or the largest.
    """
    liked = [part for part in parts if part.part.weight > 0]
    if not liked or any(part.calibration is None for part in liked):
        return None
    sure = []
    for part in liked:
        score = found.score if len(parts) == 1 else float(found.vector @ part.vector)
        assert part.calibration is not None
        sure.append(part.calibration.confidence(score) * part.understood)
    if pool == "max":
        return round(max(sure), 4)
    weights = [part.part.weight for part in liked]
    weighted = sum(w * c for w, c in zip(weights, sure, strict=True))
    return round(weighted / sum(weights), 4)


def filter_of(library: Library, query: Query, excluded: frozenset[str]) -> Filter:
    """Return which points may match.

    Whether a payload equals something is left to the store; all else is decided from the library,
    so that what was just tagged counts at once.

    Raises:
        UsageError: a condition is wrong.
    """
    scope: Scope | None = None if query.scope == "best" else query.scope
    equal: dict[str, tuple[Scalar, ...]] = {}
    native: list[Condition] = []
    of_library: list[Condition] = []  # on what is not written into points
    for condition in query.conditions:
        key = condition.key
        if key == "scope":
            scope = _scope_of(condition)
        elif key == "path" or (key not in PAYLOAD_FIELDS and library.knows_field(key)):
            of_library.append(condition)
        elif condition.op in ("=", "in"):  # several of one key mean any of them
            equal[key] = (*equal.get(key, ()), *condition.values)
        else:
            native.append(condition)
    native += [Condition(key, "in", values) for key, values in equal.items()]
    met = library.videos_where(of_library)
    if met is None:
        return Filter(scope, tuple(native), excluded)
    if len(met) <= FEW:
        native.append(Condition("video_id", "in", tuple(sorted(met))))
        return Filter(scope, tuple(native), excluded)
    return Filter(scope, tuple(native), excluded | library.other_ids(met))


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
