"""Several kinds of one embedder's vectors searched together: what is seen and what is heard, say.

One paid job returns them all and the library keeps them all, so they are compared as they lie
there: no index is made of them, and nothing is embedded or paid for again. The score of a clip is
that of the kind that fits best; or, with weights, the sum of all kinds' scores, each times its
weight.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from vidrec.conditions import Filter, check_keys, matches
from vidrec.config import Settings
from vidrec.embedders.base import Embedder
from vidrec.errors import NoIndexError, StoreError
from vidrec.ingest.index import payload_of
from vidrec.library import Library
from vidrec.point_ids import point_id
from vidrec.records import dataclass
from vidrec.stores import open_store
from vidrec.stores.base import CollectionInfo, Found, VectorStore, check_query
from vidrec.types import Candidate, Payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The library's vectors as they were: a row for each clip, a matrix for each kind."""

    positions: tuple[tuple[int, int], ...]
    names: list[str]  # ids of points, as the first kind names them
    payloads: list[Payload]
    kinds: list[Matrix]  # zeros where a clip has no vector of the kind


def open_searched(settings: Settings, library: Library, embedder: Embedder) -> VectorStore:
    """Return what a query is compared with: the store, or the library itself.

    The library is asked where several kinds of vectors are searched together, and where the store
    has another kind of the same embedder's.

    Raises:
        ConfigError: no store has that name.
    """
    if len(embedder.searched) == 1:
        store = open_store(settings)
        kinds = [str(fingerprint) for fingerprint in embedder.fingerprints]
        asked = str(embedder.fingerprint)
        info = None if asked == kinds[0] else store.info()
        if info is None or info.fingerprint not in set(kinds) - {asked}:
            return store
        store.close()
    return Blend(library, embedder.searched)


class Blend(VectorStore):
    """The library itself as a store to be asked, of several fingerprints of one space."""

    name: ClassVar[str] = "library"
    keeps_bits: ClassVar[bool] = True
    indexed: ClassVar[bool] = False

    def __init__(self, library: Library, searched: Sequence[tuple[str, float | None]]) -> None:
        """Prepare; nothing is read yet.

        Args:
            library: whose vectors are searched.
            searched: fingerprints, each with its weight: all have one, or none has.
        """
        self._library = library
        self._fingerprints = [fingerprint for fingerprint, _ in searched]
        weights = [weight for _, weight in searched]
        total = sum(weight or 0.0 for weight in weights)
        self._weights = [(weight or 0.0) / total for weight in weights] if total else None
        self._mutex = threading.Lock()
        self._loaded: _Loaded | None = None

    @property
    def place(self) -> str:
        return f"the library {self._library.folder}"

    def info(self) -> CollectionInfo:
        loaded = self._current()
        dim = loaded.kinds[0].shape[1]
        return CollectionInfo(self.name, self._fingerprints[0], dim, len(loaded.names), self.place)

    def candidates(
        self, vectors: Matrix, n: int, where: Filter, *, by_video: bool = False,
        fingerprint: str | None = None,
    ) -> list[Found]:  # fmt: skip
        loaded = self._current()
        check_query(self.info(), vectors, None, self.name, "")
        check_keys(where, {key for payload in loaded.payloads for key in payload.extra})
        fits = where != Filter() and np.fromiter(
            (matches(where, payload) for payload in loaded.payloads), bool, len(loaded.payloads)
        )
        return [self._nearest(loaded, vector, n, fits) for vector in vectors]

    def _nearest(self, loaded: _Loaded, vector: Matrix, n: int, fits: Matrix | bool) -> Found:
        each = np.stack([kind @ vector for kind in loaded.kinds])  # (kinds, clips)
        scores = each.max(axis=0) if self._weights is None else np.array(self._weights) @ each
        scores = np.where(fits, scores, -np.inf) if fits is not False else scores
        order = np.argsort(-scores, kind="stable")[: n + 1]
        order = order[np.isfinite(scores[order])]
        found = []
        for row in order[:n].tolist():
            # The vector whose product with the query is the score: a sum, or the best kind's own.
            weights = self._weights or np.eye(len(each))[each[:, row].argmax()].tolist()
            kinds = zip(weights, loaded.kinds, strict=True)
            mixed = np.asarray(sum(w * kind[row] for w, kind in kinds), np.float32)
            score = float(scores[row])
            found.append(Candidate(loaded.names[row], score, loaded.payloads[row], mixed))
        return Found(found, float(scores[order[n]]) if len(order) > n else float("-inf"))

    def _current(self) -> _Loaded:
        """Return what the library holds now; it is read again where that has changed."""
        with self._mutex:
            positions = tuple(map(self._library.position, self._fingerprints))
            if self._loaded is None or self._loaded.positions != positions:
                self._loaded = self._load(positions)
            return self._loaded

    def _load(self, positions: tuple[tuple[int, int], ...]) -> _Loaded:
        places: dict[tuple[str, str, float, float], int] = {}
        names: list[str] = []
        payloads: list[Payload] = []
        parts: list[list[tuple[int, Matrix]]] = []
        for fingerprint in self._fingerprints:
            mine: list[tuple[int, Matrix]] = []
            for rows in self._library.embedding_rows(fingerprint):
                videos = self._library.video_rows(list({row[1] for row in rows}))
                for _, video_id, scope, start, end, vector, extra in rows:
                    video = videos.get(video_id)
                    key = (video_id, scope, round(start, 3), round(end, 3))
                    if video is None:
                        continue
                    if key not in places:
                        places[key] = len(names)
                        first = self._fingerprints[0]
                        names.append(point_id(video_id, first, scope, start, end))
                        payloads.append(payload_of(video, scope, start, end, extra))
                    mine.append((places[key], vector))
            if not mine:
                raise NoIndexError(f"{self.place} holds no vectors of {fingerprint}: embed first")
            parts.append(mine)
        kinds = []
        for mine in parts:
            kind = np.zeros((len(names), len(mine[0][1])), np.float32)
            kind[[row for row, _ in mine]] = np.stack([vector for _, vector in mine])
            kinds.append(kind)
        return _Loaded(positions, names, payloads, kinds)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Nothing is written here, and points are nobody's: the library is what it is."""
        raise StoreError(f"{self.place} is written by `vidrec embed` and `vidrec remove`")

    upsert = get = delete = rebuild = _refuse

    def ids(self) -> Iterator[str]:
        return iter(self._current().names)
