"""What vidrec makes of Qdrant: one served collection per embedder, and the shared ranking.

Points are read and written through an *alias*, ``<collection>-<embedder>``. It stands for one
collection, ``<collection>-<embedder>.<n>``, whose metadata names its fingerprint. A rebuild fills
the next number and then turns the alias to it in one request, so the alias is never empty or
mixed. What a killed rebuild leaves is taken up again by the next if it fits, else removed.

A query is one request. Its answer carries scores but no vectors (20 kB each at 1024 numbers);
only where scores lie so near to each other that float32 says nothing about their order are the
vectors of those few points fetched, and ranked as every store ranks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vidrec.errors import FingerprintError, NoIndexError, StoreError, UsageError
from vidrec.stores import ranking
from vidrec.stores.base import (
    CollectionInfo,
    PointWriter,
    VectorStore,
    check_fingerprint,
    check_query,
    index_command,
)
from vidrec.stores.qdrant.engine import Described, Engine, RefusedError, UnindexedError
from vidrec.stores.qdrant.nearest import nearest_points, nearest_videos
from vidrec.stores.qdrant.points import (
    RESERVED,
    FilterKeys,
    from_stored,
    stored_batches,
    write_batch,
)
from vidrec.types import PAYLOAD_FIELDS, Filter, Match, Point

if TYPE_CHECKING:
    from vidrec.types import Vector

LAYOUT = 1
IDS_AT_A_TIME = 1000
POINTS_AT_A_TIME = 128
MOST = 1 << 31  # of points, in any collection: engines count in fixed sizes


class QdrantStore(VectorStore):
    """One embedder's collection in Qdrant."""

    name = "qdrant"

    def __init__(self, engine: Engine, collection: str, embedder: str) -> None:
        """Name the collection; nothing is asked or made yet."""
        self.alias = f"{collection}-{embedder}"
        self.embedder = embedder
        self._engine = engine

    @property
    def where(self) -> str:
        return f"{self._engine.where}/{self.alias}"

    # Reading

    def info(self) -> CollectionInfo | None:
        found = self._served()
        if found is None:
            return None
        return self._info(found, self._engine.count(self.alias))

    def count(self) -> int:
        return 0 if self._served() is None else self._engine.count(self.alias)

    def query(
        self,
        vector: Vector,
        *,
        k: int,
        where: Filter | None = None,
        by_video: bool = True,
        fingerprint: str | None = None,
    ) -> list[Match]:
        if k < 1:
            raise UsageError(f"k must be at least 1. Received: k={k}")
        k = min(k, MOST)
        where = where or Filter()
        asked = ranking.unit_rows(np.ascontiguousarray(vector, "<f4")[None], ["the query"])[0]
        if keys := [key for key, values in where.equals.items() if None in values]:
            self._check_keys(keys)  # "no value" fits every point, also under a misspelt key
        find = nearest_videos if by_video else nearest_points
        try:
            try:
                matches = find(self._engine, self.alias, asked, k, where)
            except UnindexedError:
                matches = find(self._engine, self.alias, asked, k, self._indexed(where))
        except RefusedError:
            self._check(asked, k, fingerprint)  # says it better, if it is the query's fault
            raise
        if not matches:
            self._check(asked, k, fingerprint)
            self._check_keys(list(where.equals))
        elif fingerprint is not None and matches[0].payload.get("fingerprint") != fingerprint:
            self._check(asked, k, fingerprint)
        return [Match(m.id, m.score, from_stored(m.payload)) for m in matches]

    def get(self, ids: Sequence[str]) -> list[Point]:
        found = {}
        wanted = list(dict.fromkeys(_uuid(text) for text in ids))
        if self._served() is None:
            return []
        for some in _slices(wanted, POINTS_AT_A_TIME):
            for stored in self._engine.fetch(self.alias, some, payload=True, vector=True):
                assert stored.payload is not None and stored.vector is not None
                found[stored.id] = Point(stored.id, stored.vector, from_stored(stored.payload))
        return [found[key] for text in ids if (key := _uuid(text)) in found]

    def ids(self) -> Iterator[str]:
        if self._served() is not None:
            yield from self._engine.ids(self.alias)

    # Writing

    def create(self, fingerprint: str, dim: int) -> None:
        served = self._served()
        if served is not None:
            self._check_same(served, fingerprint, dim)
            return
        with self.rebuild(fingerprint, dim):
            pass

    def upsert(self, points: Iterable[Point]) -> int:
        served = self._served()
        if served is None:
            raise NoIndexError(self._nothing())
        writer = _Writer(self._engine, self.alias, served.metadata["fingerprint"], served.dim)
        return writer.upsert(points)

    def delete(self, ids: Iterable[str]) -> int:
        if self._served() is None:
            raise NoIndexError(self._nothing())
        deleted = 0
        for some in _slices([_uuid(text) for text in ids], IDS_AT_A_TIME):
            there = self._engine.fetch(self.alias, some, payload=False, vector=False)
            if there:
                self._engine.delete(self.alias, [stored.id for stored in there])
            deleted += len(there)
        return deleted

    @contextmanager
    def rebuild(self, fingerprint: str, dim: int) -> Iterator[PointWriter]:
        self._served()  # a foreign collection of that name is refused before anything is made
        target = self._engine.target(self.alias)
        name, resumed = self._find_leftover(fingerprint, dim, target)
        if not resumed:
            self._make(name, fingerprint, dim)
        FilterKeys(self._engine, name).add_known()
        writer = _Writer(self._engine, name, fingerprint, dim, resumed=resumed)
        yield writer  # on an exception the collection stays, for the next rebuild to go on
        writer.finish()
        self._engine.serve(self.alias, name)
        if target is not None and target != name:
            self._engine.remove(target)

    def drop(self) -> None:
        target = self._engine.target(self.alias)
        self._served()
        self._engine.unserve(self.alias)
        for name, _ in self._ours():
            self._engine.remove(name)
        if target is not None:
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
                f"{self.where} was not made by vidrec: choose another [qdrant] collection"
            )
        return found

    def _info(self, found: Described, count: int) -> CollectionInfo:
        name = str(found.metadata["name"])
        return CollectionInfo(name, found.metadata["fingerprint"], found.dim, count, self.where)

    def _nothing(self) -> str:
        return f"no index in {self.where}: run `{index_command(self.name, self.embedder)}`"

    def _check(self, vector: Vector, k: int, fingerprint: str | None) -> None:
        """Refuse what cannot be answered, with the reason."""
        served = self._served()
        if served is None:
            raise NoIndexError(self._nothing())
        info = self._info(served, 0)
        if fingerprint is not None:
            check_fingerprint(info, fingerprint, self.name, self.embedder)
        check_query(info, vector, k)

    def _check_same(self, served: Described, fingerprint: str, dim: int) -> None:
        if (served.metadata["fingerprint"], served.dim) != (fingerprint, dim):
            raise FingerprintError(
                f"{self.where} holds vectors of {served.metadata['fingerprint']} ({served.dim} "
                f"numbers), not of {fingerprint} ({dim}): run "
                f"`{index_command(self.name, self.embedder, '--recreate')}` to replace them"
            )

    def _check_keys(self, keys: Sequence[str]) -> None:
        for key in keys:
            unknown = key not in PAYLOAD_FIELDS
            if unknown and (key in RESERVED or not self._has(key)):
                extra = self._engine.keys(self.alias) - {*PAYLOAD_FIELDS, *RESERVED}
                known = ", ".join([*PAYLOAD_FIELDS, *sorted(extra)])
                raise UsageError(f"no point has a {key!r} to filter on: choose one of {known}")

    def _has(self, key: str) -> bool:
        try:
            return self._engine.count(self.alias, having=key) > 0
        except UnindexedError:
            return False  # every key that a point has was indexed when it was written

    def _indexed(self, where: Filter) -> Filter:
        """Return a filter that strict mode takes: every condition by a key's index.

        Keys without one (of a collection that an older vidrec made) get it; values of another
        kind than the index are left out: where it is of numbers, no point has a text there.
        """
        kinds = self._engine.indexed(self.alias)
        asked = {"scope": ("",), "video_id": ("",), **where.equals}
        for key, kind in FilterKeys.kinds_of(asked).items():
            if key not in kinds:
                self._engine.add_key(self.alias, key, kind)
                kinds[key] = kind
        equals = {
            key: tuple(v for v in values if v is None or FilterKeys.kind_of(v) == kinds.get(key))
            for key, values in where.equals.items()
        }
        return replace(where, equals=equals)

    def _make(self, name: str, fingerprint: str, dim: int) -> None:
        metadata = {
            "vidrec": LAYOUT, "alias": self.alias, "name": name, "fingerprint": fingerprint,
            "dim": dim, "layout": dict(self._engine.layout), "build": uuid.uuid4().hex,
        }  # fmt: skip
        self._engine.make(name, dim, metadata)

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

        Leftovers that do not fit are removed.
        """
        fitting, highest = None, 0
        for name, found in self._ours():
            highest = max(highest, int(name.rpartition(".")[2]))
            if name == target:
                continue
            same = (found.metadata["fingerprint"], found.dim) == (fingerprint, dim)
            same = same and found.metadata["layout"] == self._engine.layout
            if same and fitting is None:
                fitting = name
            else:
                self._engine.remove(name)
        return (fitting, True) if fitting else (f"{self.alias}.{highest + 1}", False)


class _Writer:
    """Writes points into one collection."""

    def __init__(
        self, engine: Engine, name: str, fingerprint: str, dim: int, *, resumed: bool = False
    ) -> None:
        self._engine = engine
        self._name = name
        self._fingerprint = fingerprint
        self._dim = dim
        self._keys = FilterKeys(engine, name)
        # Of a rebuild that is taken up again: which points belong there, 16 bytes each.
        self._seen: set[bytes] | None = set() if resumed else None

    def upsert(self, points: Iterable[Point]) -> int:
        written = 0
        for batch in stored_batches(points, self._fingerprint, self._dim):
            self._keys.add(batch)
            count, missing = len(batch), batch
            if self._seen is not None:
                batch = list({point.id: point for point in batch}.values())  # the last wins
                self._seen.update(uuid.UUID(point.id).bytes for point in batch)
                ids = [point.id for point in batch]
                there = {
                    stored.id: stored.payload
                    for stored in self._engine.fetch(self._name, ids, payload=True, vector=False)
                }
                missing = [point for point in batch if there.get(point.id) != point.payload]
            if missing:
                write_batch(self._engine, self._name, missing)
            written += count
        return written

    def finish(self) -> None:
        """Remove what an interrupted rebuild wrote and this one no longer has."""
        if self._seen is None:
            return
        stale = [i for i in self._engine.ids(self._name) if uuid.UUID(i).bytes not in self._seen]
        for some in _slices(stale, IDS_AT_A_TIME):
            self._engine.delete(self._name, some)


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as exc:
        raise UsageError(f"a point's id is a UUID. Received: {text}") from exc


def _slices(items: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
