"""The payloads of the local index: each stored once, for all points that share it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.errors import UsageError
from vidrec.stores.knn.files import ROW_FIELDS, connect, select_in
from vidrec.types import PAYLOAD_FIELDS, Payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

CACHED_PAYLOADS = 100_000
BODY_FIELDS = tuple(name for name in PAYLOAD_FIELDS if name not in ROW_FIELDS)
_TEXT = json.JSONEncoder(sort_keys=True)


class PayloadTable:
    """Numbers for videos and for what their points say, each stored once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[str, tuple[int, int]] = {}

    def forget(self) -> None:
        self._known.clear()

    def bodies(self, payloads: Sequence[Payload]) -> list[str]:
        """Return each payload's text; those of one video's points are made once."""
        made: dict[Any, str] = {}
        bodies = []
        for p in payloads:
            if p.extra:
                bodies.append(_body(p))
                continue
            key = (p.video_id, p.filename, p.path, p.url, p.label, p.group, p.duration_sec)
            if key not in made:
                made[key] = _body(p)
            bodies.append(made[key])
        return bodies

    def numbers(self, payloads: Sequence[Payload], bodies: Sequence[str]) -> list[tuple[int, int]]:
        """Return (videos.no, payloads.no) of each payload, adding what is new."""
        if len(self._known) > CACHED_PAYLOADS:
            self.forget()
        new = {
            body: payload.video_id
            for payload, body in zip(payloads, bodies, strict=True)
            if body not in self._known
        }
        videos = self._video_numbers(list(dict.fromkeys(new.values())))
        for body, number in self._payload_numbers(list(new)).items():
            self._known[body] = videos[new[body]], number
        keys = {key for payload in payloads for key in payload.extra} - set(PAYLOAD_FIELDS)
        self._db.executemany("INSERT OR IGNORE INTO keys VALUES (?)", [(key,) for key in keys])
        return [self._known[body] for body in bodies]

    def copy(self, source: Path, numbers: NDArray[np.int32]) -> None:
        """Take over those payloads of another generation, and all its videos and keys."""
        old = connect(source)
        try:
            for table in ("videos", "keys"):
                rows = old.execute(f"SELECT * FROM {table}").fetchall()
                if rows:
                    marks = ",".join("?" * len(rows[0]))
                    self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
            used = [int(no) for no in np.unique(numbers)]
            select = "SELECT no, digest, body FROM payloads WHERE no IN"
            self._db.executemany(
                "INSERT INTO payloads VALUES (?, ?, ?)", select_in(old, select, used)
            )
        finally:
            old.close()

    def _video_numbers(self, video_ids: Sequence[str]) -> dict[str, int]:
        select = "SELECT video_id, no FROM videos WHERE video_id IN"
        known: dict[str, int] = dict(select_in(self._db, select, video_ids))
        new = [video_id for video_id in video_ids if video_id not in known]
        known.update(zip(new, self._unused_numbers("videos"), strict=False))
        rows = [(known[video_id], video_id) for video_id in new]
        self._db.executemany("INSERT INTO videos VALUES (?, ?)", rows)
        return known

    def _payload_numbers(self, bodies: Sequence[str]) -> dict[str, int]:
        digests = [_digest(body) for body in bodies]
        select = "SELECT body, no FROM payloads WHERE digest IN"
        stored: dict[str, int] = dict(select_in(self._db, select, digests))
        known = {body: stored[body] for body in bodies if body in stored}
        new = {
            body: digest for body, digest in zip(bodies, digests, strict=True) if body not in known
        }
        known.update(zip(new, self._unused_numbers("payloads"), strict=False))
        rows = [(known[body], digest, body) for body, digest in new.items()]
        self._db.executemany("INSERT INTO payloads VALUES (?, ?, ?)", rows)
        return known

    def _unused_numbers(self, table: str) -> Iterator[int]:
        return count(
            self._db.execute(f"SELECT coalesce(max(no), 0) + 1 FROM {table}").fetchone()[0]
        )


def _digest(body: str) -> int:
    hashed = blake2b(body.encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big", signed=True)


def _body(payload: Payload) -> str:
    flat = {key: value for key, value in payload.extra.items() if key not in ROW_FIELDS}
    flat.update((name, getattr(payload, name)) for name in BODY_FIELDS)
    try:
        return _TEXT.encode(flat)
    except (TypeError, ValueError) as exc:
        raise UsageError(f"the payload of {payload.filename} cannot be stored: {exc}") from exc
