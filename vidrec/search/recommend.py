"""Recommend: one query's way from its parts to the rows of an answer.

    query ─asked─▶ vectors ─told, gather─▶ candidates ─answers─▶ rows, and whether any fits

``told`` says what may match, the store hands out candidates, and ``rank``, ``pooling`` and
``variety`` decide which are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vidrec.conditions import Filter
from vidrec.config import Settings
from vidrec.embedders.base import Embedder
from vidrec.errors import UsageError
from vidrec.library import Library
from vidrec.search.answers import Answer, confidence_of, judged, row_of
from vidrec.search.asked import AskedText, Asker
from vidrec.search.gather import Gatherer
from vidrec.search.query import Part, Query, check_query
from vidrec.search.rank import Ranked
from vidrec.search.told import Told
from vidrec.stores.base import VectorStore
from vidrec.types import PAYLOAD_FIELDS

LATEST = 50  # videos of a history that are liked


class Recommender:
    """Answers queries from what is open. Safe to share between threads."""

    def __init__(
        self, settings: Settings, library: Library, embedder: Embedder, store: VectorStore,
        may_pay: Callable[[str], bool], notes: Sequence[str],
    ) -> None:  # fmt: skip
        """Take what is open; ``notes`` stand in every answer, ``may_pay`` is as in ``Session``."""
        self.library, self.embedder, self.store = library, embedder, store
        self.least = settings.embedder.min_confidence
        self.fingerprint = str(embedder.fingerprint)
        self.asker = Asker(library, embedder, settings, may_pay)
        self._told = Told(library, embedder)
        self._notes = notes

    def ask(self, query: Query, known: Mapping[str, AskedText] | None = None) -> Gatherer:
        """Make vectors of a query's parts, and of all else what the store is asked for.

        ``known`` are texts that have vectors already. An error is as in ``Session.recommend``.
        """
        check_query(query)
        seen = self._seen(query)
        liked = self._latest(seen) if query.like_history else []
        parts = self.asker.ask([*query.parts, *liked], known)
        if not any(part.part.weight > 0 for part in parts):
            raise UsageError("nothing of the history is in the library: there is nothing to like")
        seeds = {part.video_id for part in parts if part.video_id is not None}
        excluded = seeds.union(seen, self._removed())
        return Gatherer(
            self.library, self.store, self.fingerprint, self.embedder.copies_from, query, parts,
            self._told.filter_of(query, frozenset(excluded)),
        )  # fmt: skip

    def answer(self, asked: Gatherer, found: Ranked) -> Answer:
        """Make rows of candidates, and say whether any of them fits."""
        query, parts = asked.query, asked.parts
        meanings = parts if asked.filter.scope == "clip" else []
        rows = []
        for rank, one in enumerate(found.candidates, 1):
            sure = confidence_of(one.score, one.vector, meanings, query.pool)
            rows.append(row_of(self.library, rank, one, sure))
        notes = [*self._notes, *found.notes]
        if len(parts) > 1 and rows and rows[0].confidence is not None:
            which = "largest" if query.pool == "max" else "mean"
            notes.append(f"the confidence of a mixture is the {which} of its liked parts' own")
        why = None
        if query.why:
            from vidrec.search.why import Explainer

            explainer = Explainer(self.library, self.embedder, parts, query.pool)
            why = explainer.of_parts()
            rows = [
                replace(row, why=explainer.of_result(candidate))
                for row, candidate in zip(rows, found.candidates, strict=True)
            ]
        answer = Answer(
            str(query), self.fingerprint, self.store.name, rows, notes=tuple(notes),
            unindexed=self._unindexed(), paid_minutes=sum(p.paid_minutes for p in parts), why=why,
        )  # fmt: skip
        least = self.least if query.min_confidence is None else query.min_confidence
        return judged(answer, query, parts, least, self.embedder.name)

    def with_fields(self, refused: UsageError, chosen: Filter) -> UsageError:
        """A field that the store does not know: name those that the library does."""
        for key in {condition.key for condition in chosen.conditions}:
            if key not in PAYLOAD_FIELDS and f"{key!r} to filter on" in str(refused):
                return self.library.unknown_field(key, self.embedder.fields)
        return refused

    def _seen(self, query: Query) -> list[str]:
        """Return the ids of the videos of the history that the library knows, in its order."""
        names = [str(name) for name in query.history]
        known = self.library.ids_of(names) if names else {}
        return list(dict.fromkeys(found for name in names for found in known.get(name, ())))

    def _latest(self, seen: Sequence[str]) -> list[Part]:
        embedded = self.library.whole_vectors(self.fingerprint, seen)
        return [Part("id", video) for video in seen if video in embedded][-LATEST:]

    def _removed(self) -> set[str]:
        """Return the videos that the library removed and the store still has."""
        revision, _ = self.library.followed(self.store.place, self.fingerprint).position
        return self.library.removed_videos(revision) if revision else set()

    def _unindexed(self) -> bool:
        if not self.store.indexed:
            return False
        followed = self.library.followed(self.store.place, self.fingerprint).position
        return self.library.position(self.fingerprint) != followed
