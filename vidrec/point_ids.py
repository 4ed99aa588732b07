"""Point ids: the same embedding is always the same point, so that every write is an upsert."""

from __future__ import annotations

import hashlib
import uuid

# The namespace of point ids: uuid5(POINT_NAMESPACE, key of the embedding).
POINT_NAMESPACE = uuid.UUID("6f1c5e0a-6a7e-5d0c-9a55-0c5be2a1f6d4")
_NAMESPACE_BYTES = POINT_NAMESPACE.bytes


def point_id(video_id: str, fingerprint: str, scope: str, start_sec: float, end_sec: float) -> str:
    """Return the id of an embedding's point: the same embedding is always the same point."""
    span = f"{round(start_sec * 1000)}-{round(end_sec * 1000)}"
    name = f"{video_id}|{fingerprint}|{scope}|{span}".encode()
    # What uuid.uuid5 does, without its objects: an index of 100,000 points waits for this.
    digest = hashlib.sha1(_NAMESPACE_BYTES + name, usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
