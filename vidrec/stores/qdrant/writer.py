"""Writing points into one collection of Qdrant, also one that was left half built."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vidrec.batches import in_batches
from vidrec.conditions import Filter
from vidrec.stores.qdrant.engine import Engine, KeyKind, Stored, TooLargeError
from vidrec.stores.qdrant.points import KEY_KINDS, RESERVED, TENANT, Mark, kind_of, stored_batches
from vidrec.types import PAYLOAD_FIELDS, Point

IDS_AT_A_TIME = 1000


@dataclass(slots=True)
class Writer:
    """Writes points into one collection; ``resumed``: an interrupted rebuild is taken up again.

    Payload keys are indexed before the first point that has them is written; ``indexed`` are.
    """

    engine: Engine
    name: str
    fingerprint: str
    dim: int
    mark: Mark
    resumed: bool = False
    indexed: set[str] = field(default_factory=set)
    _seen: set[bytes] = field(default_factory=set)  # points that belong there, 16 bytes each

    def index_known(self) -> None:
        """Index vidrec's own keys, those that are not yet."""
        for key, kind in KEY_KINDS.items():
            self._index(key, kind)
        if self.mark.tenant:
            self._index(TENANT, "tenant")

    def upsert(self, points: Iterable[Point]) -> int:
        written = 0
        for batch in stored_batches(points, self.fingerprint, self.dim, self.mark):
            for point in batch:
                for key, value in point.payload.items():
                    ours = key in RESERVED or key in PAYLOAD_FIELDS
                    if value is not None and not ours and '"' not in key:
                        self._index(key, kind_of(value))
            self._write(self._missing(batch) if self.resumed else batch)
            written += len(batch)
        return written

    def finish(self) -> None:
        """Remove what an interrupted rebuild wrote and this one no longer has."""
        if not self.resumed:
            return
        every = (stored.id for stored in self.engine.scan(self.name, Filter()))
        stale = [name for name in every if uuid.UUID(name).bytes not in self._seen]
        for some in in_batches(stale, IDS_AT_A_TIME):
            self.engine.delete(self.name, some)

    def _index(self, key: str, kind: KeyKind) -> None:
        if key not in self.indexed:
            self.engine.add_key(self.name, key, kind)
            self.indexed.add(key)

    def _missing(self, batch: Sequence[Stored]) -> list[Stored]:
        """Return the points that are not there as they should be; of equal ones the last."""
        last = {point.id: point for point in batch}
        self._seen.update(uuid.UUID(name).bytes for name in last)
        stored = self.engine.fetch(self.name, list(last), payload=True, vector=False)
        there = {point.id: point.payload for point in stored}
        return [point for point in last.values() if there.get(point.id) != point.payload]

    def _write(self, batch: Sequence[Stored]) -> None:
        """Write a batch, in halves where the server takes no more."""
        try:
            if batch:
                self.engine.write(self.name, batch)
        except TooLargeError:
            if len(batch) == 1:
                raise
            middle = len(batch) // 2
            self._write(batch[:middle])
            self._write(batch[middle:])
