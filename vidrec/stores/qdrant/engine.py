"""What the store asks of Qdrant, whoever carries it out.

An engine speaks of collections by name and of stored payloads as flat mappings; it knows nothing
of fingerprints, aliases' meaning or ranking. Its failures are ``StoreError``s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vidrec.conditions import Filter
from vidrec.errors import StoreError

if TYPE_CHECKING:
    from vidrec.types import Vector

KeyKind = Literal["keyword", "float", "bool", "tenant"]


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
class Hit:
    """A point found, with its vector; ``score`` is a float32 cosine."""

    id: str
    score: float
    payload: Mapping[str, Any]
    vector: Vector


@dataclass(frozen=True, slots=True)
class Stored:
    """A point as it is stored; what was not asked for is None."""

    id: str
    payload: Mapping[str, Any] | None = None
    vector: Vector | None = None


class Engine(Protocol):
    """The operations. ``name`` may be an alias wherever points are read or written."""

    place: str
    layout: Mapping[str, Any]  # the settings that shape a collection when it is made

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

    def remove(self, name: str) -> None: ...

    def serve(self, alias: str, name: str) -> None:
        """Let the alias stand for a collection, at once, whatever it stood for before."""

    def write(self, name: str, points: Sequence[Stored]) -> None: ...

    def nearest(
        self, name: str, vector: Vector, limit: int, where: Filter, *, by_video: bool
    ) -> tuple[Sequence[Hit], float]:
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

    def count(self, name: str, where: Filter, having: str | None = None) -> int:
        """Return the number of matching points, or of those with a value under a payload key."""

    def close(self) -> None: ...
