"""Told: conditions, and fields that an embedder's vectors tell by themselves for them to ask for.

These are of whole videos, read from the library and never written into a store: a condition on one
becomes the ids of the videos that meet it, as with the user's own fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vidrec.conditions import ORDERS, Condition, Filter, check_filter, holds, is_number
from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import Embedder
from vidrec.errors import UsageError, VidrecError
from vidrec.library import Library
from vidrec.search.query import Query
from vidrec.types import PAYLOAD_FIELDS, Scope

if TYPE_CHECKING:
    Values: TypeAlias = "Mapping[str, Sequence[Any]]"  # of each field, one a video

FEW = 10_000  # videos that a filter names; of more it names the others
KEPT = 4  # conditions


class Told:
    """What an embedder's vectors tell of the videos of a library. Safe to share by threads."""

    def __init__(self, library: Library, embedder: Embedder) -> None:
        self._library, self._embedder = library, embedder
        self._read: tuple[object, Sequence[str], Values] | None = None
        self._kept: tuple[object, dict[str, tuple[list[Condition], frozenset[str]]]] = None, {}

    def filter_of(self, query: Query, excluded: frozenset[str]) -> Filter:
        """Return which points may match a query, decided before anything is ranked.

        Whether a payload equals something is left to the store; all else is decided from the
        library, so that what was just tagged counts at once.

        Raises:
            UsageError: a condition is wrong.
        """
        scope: Scope | None = None if query.scope == "best" else query.scope
        native: list[Condition] = []
        of_library: list[Condition] = []  # on what is not written into points
        for condition in query.conditions:
            key = condition.key
            if key == "scope":
                scope = _scope_of(condition)
            elif key == "path" or (key not in PAYLOAD_FIELDS and self._knows(key)):
                of_library.append(condition)
            else:
                native.append(condition)
        if of_library:
            met, others = self._by_ids(tuple(of_library))
            native += met
            excluded = excluded | others if excluded else others
        return Filter(scope, tuple(native), excluded)

    def _by_ids(self, conditions: tuple[Condition, ...]) -> tuple[list[Condition], frozenset[str]]:
        """Return conditions on the library as ids of videos, which any store knows.

        They are kept until the library changes: a session is asked with the same ones again.

        Returns:
            A condition that names who meets them, or none, but the others: those are left out.
        """
        state = self._library.state
        if self._kept[0] != state:
            self._kept = state, {}
        kept, asked = self._kept[1], repr(conditions)
        if asked not in kept:
            met = self.videos_where(conditions) or set()
            if len(kept) >= KEPT:
                kept.clear()
            if len(met) > FEW:
                kept[asked] = [], self._library.other_ids(met)
            else:
                kept[asked] = [Condition("video_id", "in", tuple(sorted(met)))], frozenset()
        return kept[asked]

    def videos_where(self, conditions: Sequence[Condition]) -> set[str] | None:
        """Return the ids of the videos that meet all conditions; None if there is none to meet.

        A field of the user's own goes before one of the same name that is told.

        Raises:
            UsageError: a field is not known, or a condition is wrong.
        """
        met: set[str] | None = None
        for condition in conditions:
            if self._library.knows_field(condition.key):
                ids = self._library.videos_where([condition]) or set()
            elif condition.key in self._embedder.fields:
                ids = self._meeting(condition)
            else:
                raise self._library.unknown_field(condition.key, self._embedder.fields)
            met = ids if met is None else met & ids
        return met

    def of_videos(self) -> dict[str, dict[str, Any]]:
        """Return the fields of each video that has a vector."""
        ids, values = self._values()
        return {
            video_id: {name: column[at] for name, column in values.items()}
            for at, video_id in enumerate(ids)
        }

    def _knows(self, key: str) -> bool:
        return key in self._embedder.fields or self._library.knows_field(key)

    def _meeting(self, condition: Condition) -> set[str]:
        self._check(condition)
        ids, values = self._values()
        if condition.op == "!=":  # what has no vector is unequal to everything
            equal = self._meeting(Condition(condition.key, "in", condition.values))
            return set(self._library.other_ids(equal))
        column = values[condition.key]
        return {
            video_id for video_id, one in zip(ids, column, strict=True) if holds(condition, one)
        }

    def _check(self, condition: Condition) -> None:
        check_filter(Filter(conditions=(condition,)))
        words = self._embedder.fields[condition.key]
        if condition.op in ORDERS and not is_number(condition.value):
            raise UsageError(
                f"{condition.key}{condition.op} takes a number. Received: {condition.value!r}"
            )
        if condition.op in ORDERS or condition.op == "~":
            return
        unknown = [one for one in condition.values if words and one not in words]
        if unknown:
            raise UsageError(
                f"{condition.key} is one of {', '.join(words)}. Received: {unknown[0]}"
            )

    def _values(self) -> tuple[Sequence[str], Values]:
        fingerprint = str(self._embedder.fingerprint)
        now = self._library.position(fingerprint)
        known = self._read
        if known is None or known[0] != now:
            import numpy as np

            found = self._library.whole_vectors(fingerprint)
            vectors = np.stack(list(found.values())) if found else np.empty((0, 1), np.float32)
            values = (
                self._embedder.tell(vectors) if found else dict.fromkeys(self._embedder.fields, ())
            )
            self._read = known = (now, list(found), values)
        return known[1], known[2]


def _scope_of(condition: Condition) -> Scope:
    values = condition.values
    if condition.op not in ("=", "in") or len(values) != 1 or values[0] not in ("clip", "video"):
        received = ", ".join(map(str, values))
        raise UsageError(f"--where scope=… takes clip or video. Received: {received}")
    return "video" if values[0] == "video" else "clip"


def with_embedder(settings: Settings, library: Library) -> tuple[Settings, tuple[str, ...]]:
    """Choose the only embedder that the library has, where none was named; say so in a note."""
    if "name" in settings.embedder.model_fields_set:
        return settings, ()
    names = library.embedder_names()
    if len(names) != 1 or settings.embedder.name in names:
        return settings, ()
    (name,) = names
    return settings.choosing(name), (f"the library has embeddings of {name} only: it was asked",)


def told_by(settings: Settings, library: Library) -> Told | None:
    """Return what the embedder that would be asked tells; None where it cannot be opened."""
    chosen, _ = with_embedder(settings, library)
    try:
        return Told(library, load_embedder(chosen))
    except VidrecError:  # it wants a key, or a checkpoint
        return None


def videos_where(
    settings: Settings, library: Library, conditions: Sequence[Condition]
) -> set[str] | None:
    """Return the ids of the videos that meet all conditions; see ``Told.videos_where``."""
    if all(library.knows_field(condition.key) for condition in conditions):
        return library.videos_where(conditions)
    told = told_by(settings, library)
    return (told or library).videos_where(conditions)
