"""Any collection's points, whoever made them: payloads and vectors, for `vidrec import`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidrec.batches import in_batches
from vidrec.conditions import Filter
from vidrec.errors import StoreError
from vidrec.stores.qdrant.engine import Described, Engine
from vidrec.stores.qdrant.points import BATCH_POINTS, OWNER, without_marks
from vidrec.types import PAYLOAD_FIELDS

if TYPE_CHECKING:
    from vidrec.types import Vector


@dataclass(frozen=True, slots=True)
class Read:
    """A point; ``owner`` is the library that wrote it, if that is known."""

    id: str
    payload: Mapping[str, Any]
    vector: Vector | None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """An open collection; ``ours``: vidrec made it."""

    points: Iterator[Read]
    ours: bool


def open_collection(engine: Engine, name: str, vector: str | None) -> Collection:
    """Open a collection.

    Raises:
        StoreError: there is none, or it has no vector of that name, or several.
    """
    found = engine.describe(name)
    if found is None:
        raise StoreError(f"{engine.place}: there is no collection {name}")
    using = _chosen(found, f"{engine.place}: collection {name}", vector)
    ours = "alias" in found.metadata
    return Collection(_points(engine, name, using, ours), ours)


def _chosen(found: Described, where: str, vector: str | None) -> str:
    """Return the name of the vectors to read; they may have none."""
    names = sorted(found.names)
    if vector is not None and vector not in names:
        held = f"vectors named {', '.join(names)}" if names else "vectors without names"
        raise StoreError(f"{where} has {held}, and none named {vector}")
    if vector is None and len(names) > 1:
        raise StoreError(f"{where} has vectors named {', '.join(names)}: choose one by --vector")
    if not names and not found.dim:
        raise StoreError(f"{where} has no dense vectors")
    return vector or (names[0] if names else "")


def _points(engine: Engine, name: str, using: str, ours: bool) -> Iterator[Read]:
    ids = (point.id for point in engine.scan(name, Filter()))
    for some in in_batches(ids, BATCH_POINTS):
        for point in engine.fetch(name, some, payload=True, vector=True, using=using):
            owner = str(point.payload.get(OWNER) or "")
            payload = _own(point.payload) if ours else point.payload
            yield Read(point.id, payload, point.vector, owner)


def _own(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload of vidrec's as rows hold it; what the vector is of stays by its name."""
    row = {key: payload[key] for key in PAYLOAD_FIELDS if key in payload}
    row["fingerprint"] = payload.get("fingerprint")
    said = without_marks(payload)
    row["extra"] = {key: said[key] for key in said if key and key not in PAYLOAD_FIELDS}
    return row
