"""What vidrec makes of Qdrant: one served collection per embedder, and the shared ranking.

Points are read and written through an *alias*, ``<collection>-<embedder>``. It stands for one
collection, ``<collection>-<embedder>.<n>``, whose metadata names its fingerprint. A rebuild fills
the next number and then turns the alias to it in one request, so the alias is never empty or
mixed. What a killed rebuild leaves is taken up again by the next if it fits, else removed.

Several libraries may share a collection: each writes and deletes only points of its own, and none
replaces a collection in which another has points. Queries find everybody's, or the tenant's. The
metadata name each library's last change (``CollectionInfo.version``).

A query is one request and writes nothing. Its answer carries the vectors of about as many points
as are wanted, so that the ranking is exact; more is asked for only where scores are too near to
each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from vidrec.batches import in_batches
from vidrec.conditions import Condition, Filter
from vidrec.errors import NoIndexError, StoreError
from vidrec.stores.base import (
    CollectionInfo,
    Found,
    PointWriter,
    VectorStore,
    check_query,
    index_command,
)
from vidrec.stores.qdrant.engine import Described, Engine, RefusedError, Stored, UnindexedError
from vidrec.stores.qdrant.filters import Allowed
from vidrec.stores.qdrant.points import POINT, TENANT, Mark, from_stored, outer
from vidrec.stores.qdrant.writer import IDS_AT_A_TIME, Writer
from vidrec.types import Candidate, Point
from vidrec.wording import count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.types import Vector

LAYOUT = 1
POINTS_AT_A_TIME = 128
ASKED_AT_ONCE = 8  # queries


class QdrantStore(VectorStore):
    """One embedder's collection in Qdrant."""

    name = "qdrant"

    def __init__(
        self,
        engine: Engine,
        collection: str,
        embedder: str,
        *,
        tenant: str = "",
        shared: bool = False,
        paths: bool = True,
    ) -> None:
        """Name the collection; nothing is asked or made yet.

        Args:
            tenant: who alone sees what is written, and is seen; '' for everybody.
            shared: other people may see it.
            paths: points say where their files are on this machine.
        """
        self.alias = f"{collection}-{embedder}"
        self.embedder = embedder
        self.shared = shared
        self._engine = engine
        self._allowed = Allowed(engine, self.alias)
        self._tenant, self._paths = tenant, paths

    @property
    def _mark(self) -> Mark:
        return Mark(self.owner, self._tenant, self._paths)

    @property
    def _mine(self) -> Filter:
        return Filter(None, self._mark.conditions(own=True))

    @property
    def place(self) -> str:
        return f"{self._engine.place}/{self.alias}"

    # Reading

    def info(self) -> CollectionInfo | None:
        found = self._served()
        if found is None:
            return None
        return self._info(found, self._engine.count(self.alias, Filter()))

    def count(self) -> int:
        return 0 if self._served() is None else self._engine.count(self.alias, self._mine)

    def candidates(
        self,
        vectors: NDArray[np.float32],
        n: int,
        where: Filter,
        *,
        by_video: bool = False,
        fingerprint: str | None = None,
    ) -> list[Found]:
        # Of a misspelt key it is true of every point that it has another value, or none.
        self._allowed.check_keys(
            c.key for c in where.conditions if c.op == "!=" or None in c.values
        )
        where = self._allowed.spelt_out(where)
        tenant = self._mark.conditions(own=False)
        where = replace(where, conditions=(*where.conditions, *tenant))

        def find(vector: Vector) -> Found:
            return self._candidates(vector, n, where, by_video, fingerprint)

        if len(vectors) == 1:
            return [find(vectors[0])]
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:  # most of each is waiting for the network
            return list(pool.map(find, vectors))

    def _candidates(
        self, vector: Vector, n: int, where: Filter, by_video: bool, fingerprint: str | None
    ) -> Found:
        def find(where: Filter) -> tuple[Sequence[Stored], float]:
            return self._engine.nearest(self.alias, vector, n, where, by_video=by_video)

        try:
            try:
                hits, best_left = find(where)
            except UnindexedError:
                hits, best_left = find(self._allowed.by_indexes(where))
        except UnindexedError as exc:
            again = index_command(self.name, self.embedder)
            raise StoreError(f"{exc} `{again}` does that, by whoever may write there") from exc
        except RefusedError:
            self._check(vector, fingerprint)  # says it better, if it is the query's fault
            raise
        if not hits:
            self._check(vector, fingerprint)
            self._allowed.check_keys(c.key for c in where.conditions if c.key != TENANT)
        elif fingerprint is not None and hits[0].payload.get("fingerprint") != fingerprint:
            self._check(vector, fingerprint)
        found = [
            Candidate(outer(hit), hit.score, from_stored(hit.payload), hit.vector)
            for hit in hits
            if hit.vector is not None
        ]
        return Found(found, best_left)

    def get(self, ids: Sequence[str]) -> list[Point]:
        found = {}
        inner = {text: self._mark.inner(text) for text in ids}
        wanted = list(dict.fromkeys(inner.values()))
        if self._served() is None:
            return []
        for some in in_batches(wanted, POINTS_AT_A_TIME):
            for stored in self._engine.fetch(self.alias, some, payload=True, vector=True):
                if stored.vector is not None:
                    point = Point(outer(stored), stored.vector, from_stored(stored.payload))
                    found[stored.id] = point
        return [found[key] for text in ids if (key := inner[text]) in found]

    def ids(self) -> Iterator[str]:
        if self._served() is not None:
            for stored in self._engine.scan(self.alias, self._mine, [POINT]):
                yield outer(stored)

    # Writing

    def upsert(self, points: Iterable[Point]) -> int:
        served = self._must_be_served()
        writer = Writer(
            self._engine, self.alias, served.metadata["fingerprint"], served.dim, self._mark
        )
        if self.owner:
            writer.indexed |= self._engine.indexed(self.alias).keys()
            writer.index_known()
        with self._changing(served):
            return writer.upsert(points)

    def delete(self, ids: Iterable[str]) -> int:
        return self._delete(self._must_be_served(), [self._mark.inner(text) for text in ids])

    def delete_videos(self, video_ids: Iterable[str]) -> int:
        served, deleted = self._served(), 0
        if served is None:
            return 0
        for some in in_batches(sorted(video_ids), IDS_AT_A_TIME):
            of_these = Condition("video_id", "in", tuple(some))
            where = replace(self._mine, conditions=(*self._mine.conditions, of_these))
            deleted += self._delete(served, [p.id for p in self._engine.scan(self.alias, where)])
        return deleted

    def _delete(self, served: Described, inner: Sequence[str]) -> int:
        deleted = 0
        for some in in_batches(inner, IDS_AT_A_TIME):
            there = self._engine.fetch(self.alias, some, payload=False, vector=False)
            if there:
                with self._changing(served):
                    self._engine.delete(self.alias, [stored.id for stored in there])
            deleted += len(there)
        return deleted

    @contextmanager
    def _changing(self, served: Described) -> Iterator[None]:
        """Note before and after a change that there is another version."""

        def note() -> None:
            if self.owner:
                change = {self._version_key: uuid.uuid4().hex}
                self._engine.note(str(served.metadata["name"]), change)

        note()
        yield
        note()

    @property
    def _version_key(self) -> str:
        return f"version-{self.owner}-{self._tenant}"

    @contextmanager
    def rebuild(self, fingerprint: str, dim: int) -> Iterator[PointWriter]:
        self._served()  # a foreign collection of that name is refused before anything is made
        target = self._engine.target(self.alias)
        self._refuse_others(target)
        name, resumed = self._find_leftover(fingerprint, dim, target)
        if not resumed:
            metadata = {
                "vidrec": LAYOUT, "alias": self.alias, "name": name, "fingerprint": fingerprint,
                "dim": dim, "layout": dict(self._engine.layout), "build": uuid.uuid4().hex,
                "owner": self.owner,
            }  # fmt: skip
            self._engine.make(name, dim, metadata)
        writer = Writer(self._engine, name, fingerprint, dim, self._mark, resumed=resumed)
        writer.index_known()
        yield writer  # on an exception the collection stays, for the next rebuild to go on
        writer.finish()
        if self._engine.target(self.alias) != target:
            raise StoreError(
                f"another library began to serve {self.place} meanwhile: run the same command again"
            )
        self._refuse_others(target)
        self._engine.serve(self.alias, name)
        if target is not None and target != name:
            self._engine.remove(target)

    def close(self) -> None:
        self._engine.close()

    # How

    def _served(self) -> Described | None:
        """Describe what the alias stands for.

        Raises:
            StoreError: there is a collection of that name that vidrec did not make.
        """
        found = self._engine.describe(self.alias)
        if found is not None and found.metadata.get("alias") != self.alias:
            raise StoreError(
                f"{self.place} was not made by vidrec: choose another [qdrant] collection"
            )
        return found

    def _must_be_served(self) -> Described:
        if (served := self._served()) is None:
            again = index_command(self.name, self.embedder)
            raise NoIndexError(f"no index in {self.place}: run `{again}`")
        return served

    def _info(self, found: Described, count: int) -> CollectionInfo:
        said = found.metadata
        version = said.get(self._version_key, said.get("build", "")) if self.owner else ""
        return CollectionInfo(
            str(said["name"]), said["fingerprint"], found.dim, count, self.place, version
        )

    def _refuse_others(self, target: str | None) -> None:
        """Refuse to replace a collection in which others have points.

        Raises:
            StoreError: there are some.
        """
        if target is None or not self._mine.conditions:
            return
        others = self._engine.count(target, Filter()) - self._engine.count(target, self._mine)
        if others:
            raise StoreError(
                f"{self.place} holds {count(others, 'point')} of other libraries: choose another "
                "[qdrant] collection for vectors of another kind"
            )

    def _check(self, vector: Vector, fingerprint: str | None) -> None:
        """Refuse what cannot be answered, with the reason."""
        info = self._info(self._must_be_served(), 0)
        check_query(info, vector[None], fingerprint, self.name, self.embedder)

    def _ours(self) -> Iterator[tuple[str, Described]]:
        """Yield this alias's collections: by name and by what their metadata says."""
        for name in self._engine.collections():
            alias, _, number = name.rpartition(".")
            if alias == self.alias and number.isdigit():
                found = self._engine.describe(name)
                if found is not None and found.metadata.get("alias") == self.alias:
                    yield name, found

    def _find_leftover(self, fingerprint: str, dim: int, target: str | None) -> tuple[str, bool]:
        """Return the collection to build, and whether a killed rebuild has begun it.

        Leftovers that do not fit are removed; another library's may still be at work.
        """
        fitting, highest = None, 0
        for name, found in self._ours():
            highest = max(highest, int(name.rpartition(".")[2]))
            if name == target or found.metadata.get("owner", "") != self.owner:
                continue
            same = (found.metadata["fingerprint"], found.dim) == (fingerprint, dim)
            same = same and found.metadata["layout"] == self._engine.layout
            if same and fitting is None:
                fitting = name
            else:
                self._engine.remove(name)
        return (fitting, True) if fitting else (f"{self.alias}.{highest + 1}", False)
