"""What vidrec makes of Qdrant: one served collection per embedder, and the shared ranking.

Points are read and written through an *alias*, ``<collection>-<embedder>``. It stands for one
collection, ``<collection>-<embedder>.<n>``, whose metadata names its fingerprint. A rebuild fills
the next number and then turns the alias to it in one request, so the alias is never empty or
mixed. What a killed rebuild leaves is taken up again by the next if it fits, else removed.

A query is one request. Its answer carries the vectors of about as many points as are wanted, so
that the ranking is exact; more is asked for only where scores are too near to each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from vidrec.errors import NoIndexError, StoreError, UsageError
from vidrec.stores.base import (
    CollectionInfo,
    Found,
    PointWriter,
    VectorStore,
    check_fingerprint,
    check_vectors,
    index_command,
)
from vidrec.stores.conditions import holds
from vidrec.stores.qdrant.engine import BOUNDS, Described, Engine, Hit, RefusedError, UnindexedError
from vidrec.stores.qdrant.points import (
    RESERVED,
    FilterKeys,
    from_stored,
    stored_batches,
    write_batch,
)
from vidrec.types import PAYLOAD_FIELDS, Candidate, Condition, Filter, Point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.types import Vector

LAYOUT = 1
IDS_AT_A_TIME = 1000
POINTS_AT_A_TIME = 128


class QdrantStore(VectorStore):
    """One embedder's collection in Qdrant."""

    name = "qdrant"

    def __init__(self, engine: Engine, collection: str, embedder: str) -> None:
        """Name the collection; nothing is asked or made yet."""
        self.alias = f"{collection}-{embedder}"
        self.embedder = embedder
        self._engine = engine

    @property
    def place(self) -> str:
        return f"{self._engine.place}/{self.alias}"

    # Reading

    def info(self) -> CollectionInfo | None:
        found = self._served()
        if found is None:
            return None
        return self._info(found, self._engine.count(self.alias))

    def count(self) -> int:
        return 0 if self._served() is None else self._engine.count(self.alias)

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
        if keys := [c.key for c in where.conditions if c.op == "!=" or None in c.values]:
            self._check_keys(keys)
        where = self._without_patterns(where)
        return [self._candidates(vector, n, where, by_video, fingerprint) for vector in vectors]

    def _candidates(
        self, vector: Vector, n: int, where: Filter, by_video: bool, fingerprint: str | None
    ) -> Found:
        def find(where: Filter) -> tuple[Sequence[Hit], float]:
            return self._engine.nearest(self.alias, vector, n, where, by_video=by_video)

        try:
            try:
                hits, best_left = find(where)
            except UnindexedError:
                hits, best_left = find(self._indexed(where))
        except RefusedError:
            self._check(vector, fingerprint)  # says it better, if it is the query's fault
            raise
        if not hits:
            self._check(vector, fingerprint)
            self._check_keys([condition.key for condition in where.conditions])
        elif fingerprint is not None and hits[0].payload.get("fingerprint") != fingerprint:
            self._check(vector, fingerprint)
        found = [Candidate(h.id, h.score, from_stored(h.payload), h.vector) for h in hits]
        return Found(found, best_left)

    def _without_patterns(self, where: Filter) -> Filter:
        """Replace each pattern by the values that fit: Qdrant has none over whole texts."""
        if all(condition.op != "~" for condition in where.conditions):
            return where
        conditions = []
        for condition in where.conditions:
            if condition.op == "~":
                self._check_keys([condition.key])
                values = self._engine.values(self.alias, condition.key)
                fitting = tuple(value for value in values if holds(condition, value))
                condition = Condition(condition.key, "in", fitting)
            conditions.append(condition)
        return replace(where, conditions=tuple(conditions))

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
                f"{self.place} was not made by vidrec: choose another [qdrant] collection"
            )
        return found

    def _info(self, found: Described, count: int) -> CollectionInfo:
        name = str(found.metadata["name"])
        return CollectionInfo(name, found.metadata["fingerprint"], found.dim, count, self.place)

    def _nothing(self) -> str:
        return f"no index in {self.place}: run `{index_command(self.name, self.embedder)}`"

    def _check(self, vector: Vector, fingerprint: str | None) -> None:
        """Refuse what cannot be answered, with the reason."""
        served = self._served()
        if served is None:
            raise NoIndexError(self._nothing())
        info = self._info(served, 0)
        check_fingerprint(info, fingerprint, self.name, self.embedder)
        check_vectors(info, vector[None])

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
        own = (Condition("scope", "=", ""), Condition("video_id", "=", ""))
        for key, kind in FilterKeys.kinds_of((*own, *where.conditions)).items():
            if key not in kinds:
                self._engine.add_key(self.alias, key, kind)
                kinds[key] = kind
        return replace(where, conditions=tuple(_fitting(c, kinds) for c in where.conditions))

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


def _fitting(condition: Condition, kinds: Mapping[str, str]) -> Condition:
    """Leave out the values that a key's index cannot hold."""
    kind = kinds.get(condition.key)
    kept = tuple(v for v in condition.values if v is None or FilterKeys.kind_of(v) == kind)
    if condition.op in BOUNDS:
        return condition if kept else Condition(condition.key, "in", ())
    return replace(condition, value=kept)


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as exc:
        raise UsageError(f"a point's id is a UUID. Received: {text}") from exc


def _slices(items: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
