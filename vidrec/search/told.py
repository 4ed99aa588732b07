"""Told: fields that an embedder's vectors tell by themselves, which conditions may ask for.

They are of whole videos, read from the library and never written into a store: a condition on one
becomes the ids of the videos that meet it, as with the user's own fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vidrec.conditions import ORDERS, Condition, Filter, check_filter, holds
from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import Embedder
from vidrec.errors import UsageError, VidrecError
from vidrec.library import Library

if TYPE_CHECKING:
    Values: TypeAlias = "Mapping[str, Sequence[Any]]"  # of each field, one a video


class Told:
    """What an embedder's vectors tell of the videos of a library. Safe to share by threads."""

    def __init__(self, library: Library, embedder: Embedder) -> None:
        self._library, self._embedder = library, embedder
        self._read: tuple[object, Sequence[str], Values] | None = None

    def knows(self, key: str) -> bool:
        """Whether a condition on a field can be met by what is told or by what the library knows.

        A field of the user's own goes before one of the same name that is told.
        """
        return key in self._embedder.fields or self._library.knows_field(key)

    def videos_where(self, conditions: Sequence[Condition]) -> set[str] | None:
        """Return the ids of the videos that meet all conditions; None if there is none to meet.

        Raises:
            UsageError: a field is not known, or a condition is wrong.
        """
        others = [one for one in conditions if self._library.knows_field(one.key)]
        met = self._library.videos_where(others)
        for condition in conditions:
            if condition in others:
                continue
            if condition.key not in self._embedder.fields:
                raise self._library.unknown_field(condition.key, self._embedder.fields)
            ids = self._meeting(condition)
            met = ids if met is None else met & ids
        return met

    def of_videos(self) -> dict[str, dict[str, Any]]:
        """Return the fields of each video that has a vector."""
        ids, values = self._values()
        return {
            video_id: {name: column[at] for name, column in values.items()}
            for at, video_id in enumerate(ids)
        }

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
    return told.videos_where(conditions) if told else library.videos_where(conditions)
