"""Writing points into one collection of Qdrant, also one that was left half built."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from vidrec.batches import in_batches
from vidrec.conditions import Filter
from vidrec.stores.qdrant.engine import Engine
from vidrec.stores.qdrant.points import FilterKeys, Mark, stored_batches, write_batch
from vidrec.types import Point

IDS_AT_A_TIME = 1000


@dataclass(slots=True)
class Writer:
    """Writes points into one collection; ``resumed``: an interrupted rebuild is taken up again."""

    engine: Engine
    name: str
    fingerprint: str
    dim: int
    mark: Mark
    resumed: bool = False
    keys: FilterKeys = field(init=False)
    _seen: set[bytes] = field(default_factory=set)  # points that belong there, 16 bytes each

    def __post_init__(self) -> None:
        self.keys = FilterKeys(self.engine, self.name)

    def upsert(self, points: Iterable[Point]) -> int:
        written = 0
        for batch in stored_batches(points, self.fingerprint, self.dim, self.mark):
            self.keys.add(batch)
            count, missing = len(batch), batch
            if self.resumed:
                batch = list({point.id: point for point in batch}.values())  # the last wins
                self._seen.update(uuid.UUID(point.id).bytes for point in batch)
                ids = [point.id for point in batch]
                there = {
                    stored.id: stored.payload
                    for stored in self.engine.fetch(self.name, ids, payload=True, vector=False)
                }
                missing = [point for point in batch if there.get(point.id) != point.payload]
            if missing:
                write_batch(self.engine, self.name, missing)
            written += count
        return written

    def finish(self) -> None:
        """Remove what an interrupted rebuild wrote and this one no longer has."""
        if not self.resumed:
            return
        every = (stored.id for stored in self.engine.scan(self.name, Filter()))
        stale = [name for name in every if uuid.UUID(name).bytes not in self._seen]
        for some in in_batches(stale, IDS_AT_A_TIME):
            self.engine.delete(self.name, some)
