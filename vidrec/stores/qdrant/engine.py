"""What the store asks of Qdrant, whoever carries it out.

An engine speaks of collections by name and of stored payloads as flat mappings; it knows nothing
of fingerprints, aliases' meaning or ranking. Its failures are ``StoreError``s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from vidrec.conditions import Filter
from vidrec.errors import StoreError

if TYPE_CHECKING:
    from vidrec.sections import QdrantSettings
    from vidrec.types import Vector

KeyKind = Literal["keyword", "float", "bool", "tenant"]
KEYS_FROM = 64


class RefusedError(StoreError):
    """The server understood the request and refuses it; asking again will not help."""


class TooLargeError(RefusedError):
    """A batch holds more bytes or points than the server takes."""


class UnindexedError(RefusedError):
    """Strict mode: a condition names a payload key without an index."""


@dataclass(frozen=True, slots=True)
class Described:
    """A collection, by its name or an alias. ``metadata`` is empty if vidrec did not make it.

    Where its vectors have ``names``, ``dim`` is 0.
    """

    dim: int
    metadata: Mapping[str, Any]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A point as it is stored, as far as that was asked for; ``score`` is a float32 cosine."""

    id: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    vector: Vector | None = None
    score: float = 0.0

    @property
    def numbers(self) -> list[float]:
        return [] if self.vector is None else self.vector.tolist()


class Engine(Protocol):
    """The operations. ``name`` may be an alias wherever points are read or written.

    Attributes:
        place: where it is, without secrets.
        layout: the settings that shape a collection when it is made.
        page: how many points are read at a time.
        meant: payload values that stand for others.
    """

    place: str
    layout: Mapping[str, Any]
    page: ClassVar[int]
    shaping: ClassVar[set[str]]  # the settings that ``layout`` has
    _settings: QdrantSettings
    meant: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, place: str, settings: QdrantSettings) -> None:
        self.place, self._settings = place, settings
        self.layout = settings.model_dump(include=self.shaping)

    def describe(self, name: str) -> Described | None: ...

    def collections(self) -> list[str]: ...

    def target(self, alias: str) -> str | None:
        """Return the collection that an alias stands for."""

    def make(self, name: str, dim: int, metadata: Mapping[str, Any]) -> None: ...

    def note(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Add to what a collection (no alias) says of itself."""

    def add_key(self, name: str, key: str, kind: KeyKind) -> None:
        """Index a payload key, so that filtering on it is quick and allowed.

        The points of one tenant are kept beside each other.
        """

    def indexed(self, name: str) -> dict[str, str]:
        """Return the payload keys that are indexed, and how."""

    def keys(self, name: str) -> set[str]:
        """Return the payload keys that are indexed, or that some first points have."""
        records, _ = self._page(name, Filter(), True, None, KEYS_FROM)
        return {key for record in records for key in record.payload or {}} | {*self.indexed(name)}

    def remove(self, name: str) -> None: ...

    def serve(self, alias: str, name: str) -> None:
        """Let the alias stand for a collection, at once, whatever it stood for before."""

    def write(self, name: str, points: Sequence[Stored]) -> None: ...

    def nearest(
        self, name: str, vector: Vector, limit: int, where: Filter, *, by_video: bool
    ) -> tuple[Sequence[Stored], float]:
        """Return hits, and the best score of a point that was left out (``Found.best_left``)."""

    def values(self, name: str, key: str) -> Sequence[Any]:
        """Return the different texts that points have under a key."""

    def fetch(
        self, name: str, ids: Sequence[str], *, payload: bool, vector: bool, using: str = ""
    ) -> Sequence[Stored]:
        """Return points; ``using`` chooses among vectors that have names."""

    def delete(self, name: str, ids: Sequence[str]) -> None: ...

    def scan(self, name: str, where: Filter, keys: Sequence[str] = ()) -> Iterator[Stored]:
        """Yield all matching points, with some keys of their payloads and no vectors."""
        offset: Any = None
        while True:
            records, offset = self._page(name, where, list(keys) or False, offset, self.page)
            yield from map(self._stored, records)
            if offset is None:
                return

    def _page(
        self, name: str, where: Filter, payload: list[str] | bool, offset: Any, limit: int
    ) -> tuple[Sequence[Any], Any]:
        """Return records from an offset on, and the next page's; None after the last."""

    def _stored(self, record: Any, using: str = "") -> Stored:
        """Return a record or a hit in our words; ``using`` names its vector, if it has several."""
        payload = {
            key: self.meant.get(value, value) if isinstance(value, str) else value
            for key, value in (record.payload or {}).items()
        }
        vector = record.vector.get(using) if isinstance(record.vector, dict) else record.vector
        try:
            numbers = None if vector is None else np.asarray(vector, dtype=np.float32)
        except (TypeError, ValueError):
            numbers = None  # of another kind
        return Stored(str(record.id), payload, numbers, float(getattr(record, "score", 0.0)))

    def count(self, name: str, where: Filter, having: str | None = None) -> int:
        """Return the number of matching points, or of those with a value under a payload key."""

    def close(self) -> None: ...
