"""Any collection's points, whoever made them: payloads and vectors, for `vidrec import`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vidrec.batches import in_batches
from vidrec.conditions import Filter
from vidrec.errors import StoreError
from vidrec.stores.qdrant.engine import Described, Engine
from vidrec.stores.qdrant.points import BATCH_POINTS, OWNER, without_marks
from vidrec.types import PAYLOAD_FIELDS


def points_of(
    engine: Engine, name: str, vector: str | None
) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Yield the points of a collection: id, payload with the ``vector``, the library that wrote it.

    That is '' where it is not known, None where vidrec did not make the collection.

    Raises:
        StoreError: there is none, or it has no vector of that name, or several.
    """
    found = engine.describe(name)
    if found is None:
        raise StoreError(f"{engine.place}: there is no collection {name}")
    using = _chosen(found, f"{engine.place}: collection {name}", vector)
    ours = "alias" in found.metadata
    ids = (point.id for point in engine.scan(name, Filter()))
    for some in in_batches(ids, BATCH_POINTS):
        for point in engine.fetch(name, some, payload=True, vector=True, using=using):
            row = _own(point.payload) if ours else point.payload
            owner = str(point.payload.get(OWNER) or "") if ours else None
            yield point.id, {"id": point.id, **row, "vector": point.vector}, owner


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


def _own(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload of vidrec's as rows hold it; what the vector is of stays by its name."""
    row = {key: payload[key] for key in PAYLOAD_FIELDS if key in payload}
    row["fingerprint"] = payload.get("fingerprint")
    said = without_marks(payload)
    row["extra"] = {key: said[key] for key in said if key and key not in PAYLOAD_FIELDS}
    return row
