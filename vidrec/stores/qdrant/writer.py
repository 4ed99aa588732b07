"""Writing points into one collection of Qdrant, also one that was left half built."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from vidrec.batches import in_batches
from vidrec.stores.qdrant.engine import Engine
from vidrec.stores.qdrant.points import FilterKeys, Mark, stored_batches, write_batch
from vidrec.types import Filter, Point

IDS_AT_A_TIME = 1000


class Writer:
    """Writes points into one collection."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        fingerprint: str,
        dim: int,
        mark: Mark,
        *,
        resumed: bool = False,
    ) -> None:
        self._engine = engine
        self._name = name
        self._fingerprint = fingerprint
        self._dim = dim
        self._mark = mark
        self.keys = FilterKeys(engine, name)
        # Of a rebuild that is taken up again: which points belong there, 16 bytes each.
        self._seen: set[bytes] | None = set() if resumed else None

    def upsert(self, points: Iterable[Point]) -> int:
        written = 0
        for batch in stored_batches(points, self._fingerprint, self._dim, self._mark):
            self.keys.add(batch)
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
        every = (stored.id for stored in self._engine.scan(self._name, Filter()))
        stale = [name for name in every if uuid.UUID(name).bytes not in self._seen]
        for some in in_batches(stale, IDS_AT_A_TIME):
            self._engine.delete(self._name, some)
