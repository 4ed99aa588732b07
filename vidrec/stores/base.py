"""What every store is: points in, the nearest of them out.

A store holds one *collection* per embedder. A collection has one fingerprint: points of another
are refused, and so are queries. All stores rank alike: by cosine, and among equals by point id,
so that the first five of fifteen are the five.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from vidrec.errors import FingerprintError, UsageError
from vidrec.types import Filter, Match, Point

if TYPE_CHECKING:
    from vidrec.types import Vector


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """What a collection says of itself. ``where`` is a path or URL without secrets."""

    name: str
    fingerprint: str
    dim: int
    count: int
    where: str


class PointWriter(Protocol):
    """Takes points in batches; the same id again replaces the point."""

    def upsert(self, points: Iterable[Point]) -> int: ...


class VectorStore(ABC):
    """One embedder's collection in a store."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def where(self) -> str:
        """The collection's place for messages and notes: a path or URL without secrets.

        Known without a request, and the same as ``info().where``.
        """

    @abstractmethod
    def info(self) -> CollectionInfo | None:
        """Describe the collection that is served now; None before the first index."""

    @abstractmethod
    def create(self, fingerprint: str, dim: int) -> None:
        """Make an empty collection where none is served.

        Raises:
            FingerprintError: one with another fingerprint or size is served already.
        """

    @abstractmethod
    def upsert(self, points: Iterable[Point]) -> int:
        """Write points, replacing those of the same id; return how many were written.

        The iterable may be long: it is consumed in batches of bounded memory. What is
        written when an error ends the call stays written.
        """

    @abstractmethod
    def query(
        self,
        vector: Vector,
        *,
        k: int,
        where: Filter | None = None,
        by_video: bool = True,
        fingerprint: str | None = None,
    ) -> list[Match]:
        """Return the ``k`` best matches, best first, equal scores by point id.

        With ``by_video`` each video appears once, with its best point. With ``fingerprint``
        (the query's) a collection of another one is refused; a remote store checks it in the
        same request.

        Raises:
            NoIndexError: nothing is indexed there.
            FingerprintError: the collection holds vectors of another fingerprint.
            UsageError: ``k`` is not positive, the vector has another size, or a condition
                names a payload key that no point has.
        """

    @abstractmethod
    def get(self, ids: Sequence[str]) -> list[Point]:
        """Return the points that exist, in the order of ``ids``."""

    @abstractmethod
    def delete(self, ids: Iterable[str]) -> int:
        """Delete points; return how many there were."""

    @abstractmethod
    def ids(self) -> Iterator[str]:
        """Iterate over all point ids, in bounded memory."""

    @abstractmethod
    def count(self) -> int:
        """Return the number of points."""

    @abstractmethod
    def rebuild(self, fingerprint: str, dim: int) -> AbstractContextManager[PointWriter]:
        """Build a new collection beside the served one.

        Leaving the block without an exception makes it the served one, at once; an exception
        or a kill leaves the served one as it was.
        """

    @abstractmethod
    def drop(self) -> None:
        """Remove the collection and all its points."""

    def close(self) -> None:
        """Release connections and files."""
        return None


def index_command(store: str, embedder: str, *options: str) -> str:
    """Return the command that brings a collection up to date, as one would type it."""
    words = ["vidrec index"]
    if embedder != "conse":
        words.append(f"--embedder {embedder}")
    if store != "knn":
        words.append(f"--store {store}")
    return " ".join([*words, *options])


def check_query(info: CollectionInfo, vector: Vector, k: int) -> None:
    """Refuse what no store can answer.

    Raises:
        UsageError: ``k`` is not positive or the vector has another size.
    """
    if k < 1:
        raise UsageError(f"k must be at least 1. Received: k={k}")
    if vector.shape != (info.dim,):
        raise UsageError(
            f"the query vector has shape {vector.shape}, the collection {info.name} "
            f"holds vectors of {info.dim} numbers"
        )


def check_fingerprint(info: CollectionInfo, fingerprint: str, store: str, embedder: str) -> None:
    """Refuse to compare vectors of two embedders.

    Raises:
        FingerprintError: the collection's fingerprint is another one.
    """
    if info.fingerprint != fingerprint:
        raise FingerprintError(
            f"{info.where} holds vectors of {info.fingerprint}, the query is of {fingerprint}: "
            f"run `vidrec embed --embedder {embedder}` and "
            f"`{index_command(store, embedder, '--recreate')}`"
        )
