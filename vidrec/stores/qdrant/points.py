"""Points as Qdrant stores them: payloads, batches by bytes, the indexes of payload keys.

Beside vidrec's payload a point carries the model, dimension and fingerprint of its vector, so
that the answer to a query says by itself whether it may be compared; and the library that wrote
it. Each library's points have ids of their own, so that two that have the same video are in no
one's way: ``vidrec_point`` is then the id that vidrec knows the point by.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidrec.batches import in_batches
from vidrec.conditions import Condition
from vidrec.errors import StoreError, UsageError
from vidrec.stores.base import unit_matrix
from vidrec.stores.qdrant.engine import KeyKind, Stored
from vidrec.types import Payload, Point, Scalar

if TYPE_CHECKING:
    from vidrec.types import Vector

OWNER, TENANT, POINT = "vidrec_owner", "vidrec_tenant", "vidrec_point"
RESERVED = ("model", "dim", "fingerprint", OWNER, TENANT, POINT)
# The server's default limit of a request is 32 MB; batches far below it are as fast, and cheap
# to repeat. A float32 number takes 20 bytes of JSON.
BATCH_BYTES = 4 << 20
BATCH_POINTS = 256
BYTES_A_NUMBER, BYTES_A_PAYLOAD = 20, 1000

# What is filtered or grouped by, and how it is indexed before the first point comes.
KEY_KINDS: Mapping[str, KeyKind] = {
    "video_id": "keyword", "scope": "keyword", "label": "keyword", "group": "keyword",
    "filename": "keyword", "path": "keyword", "url": "keyword",
    OWNER: "keyword", "start_sec": "float", "end_sec": "float", "duration_sec": "float",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose points are written, and whether they say where the file is on this machine."""

    owner: str = ""
    tenant: str = ""
    paths: bool = True

    def inner(self, name: str) -> str:
        """Return the id under which a point is stored.

        Raises:
            UsageError: the point's id is no UUID.
        """
        try:
            known = uuid.UUID(name)
        except ValueError as exc:
            raise UsageError(f"a point's id must be a UUID. Received: {name}") from exc
        if not (self.owner or self.tenant):
            return str(known)
        return str(uuid.uuid5(known, f"{self.owner}|{self.tenant}"))

    def conditions(self, *, own: bool) -> tuple[Condition, ...]:
        """Return what holds of the tenant's points, or only of one's own."""
        wanted = {TENANT: self.tenant, OWNER: self.owner if own else ""}
        return tuple(Condition(key, "=", value) for key, value in wanted.items() if value)


def outer(stored: Stored) -> str:
    """Return the id by which vidrec knows a stored point."""
    return str(stored.payload.get(POINT, stored.id))


def to_stored(point: Point, vector: Vector, fingerprint: str, mark: Mark) -> Stored:
    """Return a point as it is stored; ``from_stored`` undoes its payload exactly."""
    inner = mark.inner(point.id)
    payload: dict[str, Any] = {}
    for key, value in point.payload.as_dict().items():
        payload[f"_{key}" if key.lstrip("_") in RESERVED else key] = value
    payload["model"] = fingerprint.split(":", 1)[-1].rsplit(":", 2)[0]
    payload["dim"] = len(vector)
    payload["fingerprint"] = fingerprint
    if not mark.paths:
        payload["path"] = None
    if mark.owner or mark.tenant:
        known = str(uuid.UUID(point.id))
        marks = {OWNER: mark.owner, TENANT: mark.tenant, POINT: known}
        payload.update((key, value) for key, value in marks.items() if value)
    return Stored(inner, payload, vector)


def from_stored(payload: Mapping[str, Any]) -> Payload:
    """Return what vidrec wrote.

    Raises:
        StoreError: somebody else wrote it.
    """
    try:
        return Payload.from_dict(without_marks(payload))
    except TypeError as exc:
        raise StoreError(
            "a point there has no payload of vidrec's: run `vidrec index --recreate`, or choose "
            "another [qdrant] collection"
        ) from exc


def without_marks(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a point says, under the keys that it had before it was stored."""
    return {
        key[1:] if key.startswith("_") and key.lstrip("_") in RESERVED else key: value
        for key, value in payload.items()
        if key not in RESERVED
    }


def stored_batches(
    points: Iterable[Point], fingerprint: str, dim: int, mark: Mark
) -> Iterator[list[Stored]]:
    """Yield points in batches of bounded size; vectors are checked and scaled to unit length.

    Raises:
        UsageError: a vector has another size or no direction, or an id is no UUID.
    """
    most = max(1, min(BATCH_POINTS, BATCH_BYTES // (dim * BYTES_A_NUMBER + BYTES_A_PAYLOAD)))
    for batch in in_batches(points, most):
        vectors = unit_matrix(batch, dim)
        yield [to_stored(*both, fingerprint, mark) for both in zip(batch, vectors, strict=True)]


def kind_of(value: Scalar) -> KeyKind:
    """Return how a value, or a list's first, is indexed: integers as floats (1 equals 1.0)."""
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, bool):
        return "bool"
    return "keyword" if isinstance(value, str) else "float"
