"""What every store is: points in, candidates with their vectors out.

A store holds one *collection* per embedder. A collection has one fingerprint: points of another
are refused, and so are queries. A store only finds candidates; ``search.rank`` makes of them the
same ranking for all stores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar, Protocol

from vidrec.batches import in_batches
from vidrec.conditions import Condition, Filter
from vidrec.errors import FingerprintError, StoreError, UsageError
from vidrec.progress import Progress, Silent, finishing
from vidrec.records import dataclass
from vidrec.types import Candidate, Clips, Point
from vidrec.vectors import is_unit, unit_rows
from vidrec.wording import count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """What a collection says of itself. ``place`` is a path or URL without secrets.

    ``version`` is another one after each change; '' where the store cannot tell.
    """

    name: str
    fingerprint: str
    dim: int
    count: int
    place: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates of one query, in any order, with the store's own float32 scores.

    ``best_left`` is the best score that a matching point which is not among them may have; -inf if
    they are all. A store that groups by video may leave out points of a video, too, that score
    clearly less than the video's best candidate.
    """

    candidates: Sequence[Candidate]
    best_left: float = float("-inf")


class PointWriter(Protocol):
    """Takes points in batches; the same id again replaces the point."""

    def upsert(self, points: Iterable[Point]) -> int: ...


class VectorStore(ABC):
    """One embedder's collection in a store. Every call is safe from several threads.

    Attributes:
        owner: the id of the library that writes, if it is known. In a store that several
            libraries may share, ``ids``, ``count``, ``get`` and all that writes or deletes are
            of its points alone; candidates are everybody's.
        shared: whether the collection may be seen by other people.
        keeps_bits: whether a vector comes back bit for bit; else its last digits may differ.
        indexed: whether `vidrec index` writes it.
    """

    name: ClassVar[str]
    owner: str = ""
    shared: bool = False
    keeps_bits: ClassVar[bool] = False
    indexed: ClassVar[bool] = True

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the collection is, for messages and notes: a path or URL without secrets.

        Known without a request, and the same as ``info().place``.
        """

    @abstractmethod
    def info(self) -> CollectionInfo | None:
        """Describe the collection that is served now; None before the first index."""

    @abstractmethod
    def candidates(
        self,
        vectors: NDArray[np.float32],
        n: int,
        where: Filter,
        *,
        by_video: bool = False,
        fingerprint: str | None = None,
    ) -> list[Found]:
        """Return for each of ``(q, dim)`` unit vectors about ``n`` of the best matching points.

        Points that score as well as the ``n``-th may be among them or not. With ``by_video`` only
        the best points of about ``n`` videos are needed; a store may return points all the same.
        With ``fingerprint`` (the query's) a collection of another one is refused; a remote store
        checks it in the same request.

        Raises:
            NoIndexError: nothing is indexed there.
            FingerprintError: the collection holds vectors of another fingerprint.
            UsageError: the vectors have another size, or a condition names a payload key that no
                point has.
        """

    @abstractmethod
    def upsert(self, points: Iterable[Point]) -> int:
        """Write points, replacing those of the same id; return how many were written.

        The iterable may be long: it is consumed in batches of bounded memory. What is
        written when an error ends the call stays written.

        Raises:
            NoIndexError: no collection is served; ``rebuild`` makes one.
        """

    @abstractmethod
    def get(self, ids: Sequence[str]) -> list[Point]:
        """Return the points that exist, in the order of ``ids``."""

    def clips_of(self, video_ids: Sequence[str]) -> dict[str, Clips] | None:
        """Return the clips of those of some videos that have any, by video.

        None where a store does not have them at hand as they are in the library.
        """
        return None

    @abstractmethod
    def delete(self, ids: Iterable[str]) -> int:
        """Delete points; return how many there were."""

    def delete_videos(self, video_ids: Iterable[str]) -> int:
        """Delete all points of some videos; return how many there were."""
        import numpy as np

        info, deleted = self.info(), 0
        if info is None:
            return 0
        any_vector = np.eye(1, info.dim, dtype=np.float32)
        for some in in_batches(sorted(video_ids), 500):
            where = Filter(None, (Condition("video_id", "in", tuple(some)),))
            while found := self.candidates(any_vector, 1000, where)[0].candidates:
                deleted += self.delete([candidate.id for candidate in found])
        return deleted

    @abstractmethod
    def ids(self) -> Iterator[str]:
        """Iterate over all point ids, in bounded memory."""

    @abstractmethod
    def rebuild(self, fingerprint: str, dim: int) -> AbstractContextManager[PointWriter]:
        """Build a new collection beside the served one.

        Leaving the block without an exception makes it the served one, at once; an exception
        or a kill leaves the served one as it was.
        """

    def count(self) -> int:
        """Return the number of points."""
        info = self.info()
        return 0 if info is None else info.count

    def verify(self, progress: Progress | None = None) -> Iterator[str]:
        """Read everything that is stored; yield a line for whatever is damaged."""
        info, progress = self.info(), progress or Silent()
        if info is None:
            return
        progress.start(f"reading {info.place}", info.count, "point")
        with finishing(progress):
            for some in in_batches(self.ids(), 256):
                try:
                    points = self.get(some)
                except StoreError as exc:
                    yield str(exc)
                    return
                missing = len(some) - len(points)
                wrong = [point.id for point in points if not is_unit(point.vector, info.dim)]
                if missing:
                    yield f"{info.place}: {count(missing, 'point')} listed that cannot be read"
                if wrong:
                    yield (
                        f"{info.place}: {count(len(wrong), 'point')} without a unit vector of "
                        f"{info.dim} numbers, {wrong[0]} among them"
                    )
                progress.step(len(some))

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


def unit_matrix(points: Sequence[Point], dim: int) -> NDArray[np.float32]:
    """Return the vectors of points that are to be stored as unit rows ``(n, dim)``.

    Raises:
        UsageError: one has another size or no direction.
    """
    import numpy as np

    for point in points:
        if point.vector.shape != (dim,):
            raise UsageError(
                f"point {point.id} has a vector of shape {point.vector.shape}, "
                f"the collection holds vectors of {dim} numbers"
            )
    vectors = [point.vector for point in points] or [np.empty(0, np.float32)]
    matrix = np.concatenate(vectors).reshape(len(points), dim)
    return unit_rows(matrix.astype("<f4", copy=False), [point.id for point in points])


def check_query(
    info: CollectionInfo, vectors: NDArray[np.float32], fingerprint: str | None, store: str,
    embedder: str,
) -> None:  # fmt: skip
    """Refuse queries that a collection cannot answer, ``(q, dim)``, of another embedder or size.

    Raises:
        FingerprintError: the collection's fingerprint is another one.
        UsageError: the vectors have another size.
    """
    if fingerprint is not None and info.fingerprint != fingerprint:
        raise FingerprintError(
            f"{info.place} holds vectors of {info.fingerprint}, the query is of {fingerprint}: "
            f"run `vidrec embed --embedder {embedder}` and "
            f"`{index_command(store, embedder, '--recreate')}`"
        )
    if vectors.shape[1] != info.dim:
        raise UsageError(
            f"the query vector has shape {vectors.shape[1:]}, the collection {info.name} "
            f"holds vectors of {info.dim} numbers"
        )
