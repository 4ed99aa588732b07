"""Embeddings of the library."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vidrec.batches import in_batches
from vidrec.errors import LibraryError
from vidrec.files import parsed_json
from vidrec.library.catalog import Catalog
from vidrec.types import Clips, Embedding, Fingerprint, Scalar, Scope

if TYPE_CHECKING:
    from vidrec.types import Vector

    # number, video id, scope, start, end (seconds), vector, extra
    EmbeddingRow: TypeAlias = tuple[int, str, Scope, float, float, Vector, dict[str, Scalar]]

BATCH = 1024
_SELECT = "SELECT id, video_id, scope, start_sec, end_sec, vector, extra FROM embeddings"


class Embeddings(Catalog):
    """The vectors: what everything else can be made from."""

    def register(self, fingerprint: Fingerprint) -> int:
        """Return the catalog's number for a fingerprint, adding it when new."""
        if self._fingerprint_id(str(fingerprint)) is None:
            self.write(
                "INSERT OR IGNORE INTO fingerprints(fingerprint, embedder, model, dim, options, "
                "created_at) VALUES (?, ?, ?, ?, ?, ?)",
                str(fingerprint), fingerprint.embedder, fingerprint.model, fingerprint.dim,
                json.dumps(dict(fingerprint.options), sort_keys=True), time.time(),
            )  # fmt: skip
        number = self._fingerprint_id(str(fingerprint))
        assert number is not None
        return number

    def fingerprints(self) -> list[Fingerprint]:
        """Return all fingerprints that the library has seen, oldest first."""
        rows = self.read("SELECT embedder, model, dim, options FROM fingerprints ORDER BY id")
        return [Fingerprint(row[0], row[1], row[2], _extra(row[3])) for row in rows]

    def clip_seconds(self, fingerprint: str) -> dict[str, float]:
        """Return the clip length that each finished video was cut by, by video id."""
        select = "SELECT video_id, clip_seconds FROM embedded WHERE fingerprint_id = ?"
        return dict(self.read(select, self._fingerprint_id(fingerprint)))

    def is_embedded(self, video_id: str, fingerprint: str, clip_seconds: float) -> bool:
        """Tell whether a video is finished under a fingerprint and clip length."""
        select = (
            "SELECT 1 FROM embedded WHERE video_id = ? AND fingerprint_id = ? AND clip_seconds = ?"
        )
        number = self._fingerprint_id(fingerprint)
        return bool(self.read(select, video_id, number, clip_seconds))

    def save_embeddings(
        self, video_id: str, embeddings: Sequence[Embedding], clip_seconds: float
    ) -> None:
        """Store a finished video's embeddings in one transaction, replacing earlier ones.

        Embeddings of several fingerprints may come together; each must be registered.
        """
        numbers = {}
        for fingerprint in {embedding.fingerprint for embedding in embeddings}:
            number = self._fingerprint_id(fingerprint)
            if number is None:
                raise LibraryError(f"fingerprint {fingerprint} is not registered")
            numbers[fingerprint] = number
        with self.transaction() as db:
            for number in numbers.values():
                where = "video_id = ? AND fingerprint_id = ?"
                db.execute(f"DELETE FROM embeddings WHERE {where}", (video_id, number))
                self.put("embedded", video_id, number, clip_seconds, time.time())
            db.executemany(
                "INSERT INTO embeddings"
                "(video_id, fingerprint_id, scope, start_sec, end_sec, vector, extra)"
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (video_id, numbers[e.fingerprint], e.scope, e.start_sec, e.end_sec,
                     e.vector.astype("<f4").tobytes(),
                     json.dumps(dict(e.extra), ensure_ascii=False) if e.extra else None)
                    for e in embeddings
                ],
            )  # fmt: skip

    def embeddings(
        self, fingerprint: str, *, after: int = 0, batch: int = BATCH
    ) -> Iterator[tuple[int, Embedding]]:
        """Iterate over (number, embedding) in the order they were stored, in bounded memory.

        Numbers only grow, also when a video is embedded again; ``after`` skips up to one.
        """
        for rows in self.embedding_rows(fingerprint, after=after, batch=batch):
            yield from ((row[0], _embedding(fingerprint, row)) for row in rows)

    def embedding_rows(
        self, fingerprint: str, *, after: int = 0, batch: int = BATCH
    ) -> Iterator[list[EmbeddingRow]]:
        """Iterate over what ``embeddings`` does, in batches and without its objects."""
        number = self._fingerprint_id(fingerprint)
        while number is not None:
            where = "WHERE fingerprint_id = ? AND id > ? ORDER BY id LIMIT ?"
            rows = self.read(f"{_SELECT} {where}", number, after, batch)
            yield [_row(row) for row in rows]
            if len(rows) < batch:
                return
            after = rows[-1][0]

    def embedding_keys(self, fingerprint: str) -> Iterator[tuple[int, str, str, float, float]]:
        """Iterate over (number, video id, scope, start, end), in the order they were stored."""
        after, number = 0, self._fingerprint_id(fingerprint)
        while rows := self.read(
            "SELECT id, video_id, scope, start_sec, end_sec FROM embeddings "
            "WHERE fingerprint_id = ? AND id > ? ORDER BY id LIMIT 10000", number, after,
        ):  # fmt: skip
            yield from rows
            after = rows[-1][0]

    def embeddings_numbered(self, numbers: Sequence[int]) -> Iterator[list[EmbeddingRow]]:
        """Iterate over the embeddings of those numbers, in batches, as ``embedding_rows`` does."""
        rows = self.read_among(f"{_SELECT} WHERE id IN", numbers, then="ORDER BY id")
        for some in in_batches(rows, BATCH):
            yield [_row(row) for row in some]

    def video_embeddings(
        self, video_id: str, fingerprint: str, scope: Scope | None = None
    ) -> list[Embedding]:
        """Return one video's embeddings, by start."""
        rows = self.read(
            f"{_SELECT} WHERE video_id = ? AND fingerprint_id = ? AND (? IS NULL OR scope = ?) "
            "ORDER BY scope, start_sec, end_sec",
            video_id, self._fingerprint_id(fingerprint), scope, scope,
        )  # fmt: skip
        return [_embedding(fingerprint, _row(row)) for row in rows]

    def clips_of(self, video_ids: Sequence[str], fingerprint: str) -> dict[str, Clips]:
        """Return the clips of those of some videos that have any, by video."""
        import numpy as np

        rows: dict[str, list[tuple[float, float, bytes]]] = {}
        for video_id, *row in self.read_among(
            "SELECT video_id, start_sec, end_sec, vector FROM embeddings "
            "WHERE fingerprint_id = ? AND scope = 'clip' AND video_id IN", video_ids,
            self._fingerprint_id(fingerprint), then="ORDER BY video_id, start_sec, end_sec",
        ):  # fmt: skip
            rows.setdefault(video_id, []).append(tuple(row))
        found = {}
        for video_id, clips in rows.items():
            starts, ends, blobs = zip(*clips, strict=True)
            vectors = np.frombuffer(b"".join(blobs), "<f4").reshape(len(clips), -1)
            found[video_id] = Clips(np.array(starts), np.array(ends), vectors)
        return found

    def whole_vectors(
        self, fingerprint: str, among: Sequence[str] | None = None
    ) -> dict[str, Vector]:
        """Return the whole-video vectors of those videos, or of some, that have one, by id."""
        select = "SELECT video_id, vector FROM embeddings WHERE fingerprint_id = ? AND scope = ?"
        given = self._fingerprint_id(fingerprint), "video"
        if among is None:
            rows = iter(self.read(select, *given))
        else:
            rows = self.read_among(f"{select} AND video_id IN", among, *given)
        return {row[0]: vector_of(row[1]) for row in rows}

    def count_embeddings(self, fingerprint: str, among: set[str] | None = None) -> tuple[int, int]:
        """Return (videos, embeddings) stored under a fingerprint, of all videos or some."""
        number = self._fingerprint_id(fingerprint)
        if among is not None:
            select = "SELECT video_id, count(*) FROM embeddings WHERE fingerprint_id = ? GROUP BY 1"
            counts = [row[1] for row in self.read(select, number) if row[0] in among]
            return len(counts), sum(counts)
        videos, rows = (
            int(self.value(f"SELECT count(*) FROM {table} WHERE fingerprint_id = ?", number))
            for table in ("embedded", "embeddings")
        )
        return videos, rows

    def embedder_names(self) -> set[str]:
        """Return the names of the embedders that the library holds embeddings of."""
        has_some = "EXISTS (SELECT 1 FROM embeddings WHERE fingerprint_id = f.id)"
        return set(self.column(f"SELECT embedder FROM fingerprints f WHERE {has_some}"))

    def embedders_by_video(self) -> dict[str, list[str]]:
        """Return the names of the embedders that finished each video, by video id."""
        names: dict[str, list[str]] = {}
        rows = self.read(
            "SELECT DISTINCT video_id, embedder FROM embedded "
            "JOIN fingerprints f ON f.id = fingerprint_id ORDER BY video_id, embedder"
        )
        for video_id, embedder in rows:
            names.setdefault(video_id, []).append(embedder)
        return names

    def _fingerprint_id(self, fingerprint: str) -> int | None:
        select = "SELECT id FROM fingerprints WHERE fingerprint = ?"
        number: int | None = self.value(select, fingerprint)
        return number


def _extra(text: str | None) -> dict[str, Scalar]:
    if not text:
        return {}
    try:
        found = parsed_json(text)
    except (ValueError, TypeError) as exc:
        raise _damaged(f"metadata are no JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise _damaged("metadata are no JSON object")
    return found


def _row(row: Sequence[Any]) -> EmbeddingRow:
    number, video_id, scope, start, end, blob, extra = row
    return number, video_id, scope, start, end, vector_of(blob), _extra(extra)


def _embedding(fingerprint: str, row: EmbeddingRow) -> Embedding:
    _, video_id, scope, start, end, vector, extra = row
    return Embedding(video_id, fingerprint, scope, start, end, vector, extra)


def vector_of(blob: bytes) -> Vector:
    """Return a stored vector.

    Raises:
        LibraryError: these are no float32 numbers.
    """
    import numpy as np

    try:
        return np.frombuffer(blob, dtype="<f4")
    except (ValueError, TypeError) as exc:
        raise _damaged("a vector is not what was written") from exc


def _damaged(what: str) -> LibraryError:
    return LibraryError(f"the library is damaged: {what}; `vidrec doctor --deep` says which")
