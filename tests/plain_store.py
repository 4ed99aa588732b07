"""A store as a third party would write one: points in a dictionary, compared one and all."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from vidrec.conditions import Filter, check_keys, matches
from vidrec.errors import NoIndexError, UsageError
from vidrec.stores.base import (
    CollectionInfo,
    Found,
    VectorStore,
    check_fingerprint,
    check_vectors,
)  # fmt: skip
from vidrec.types import Candidate, Point
from vidrec.vectors import unit_rows


class PlainStore(VectorStore):
    name = "plain"

    def __init__(self, shelf: dict[str, Any], place: str) -> None:
        self.shelf, self._place = shelf, place

    @property
    def place(self) -> str:
        return self._place

    def info(self) -> CollectionInfo | None:
        if self.place not in self.shelf:
            return None
        fingerprint, dim, points = self.shelf[self.place]
        return CollectionInfo("plain", fingerprint, dim, len(points), self.place)

    def candidates(
        self, vectors: np.ndarray, n: int, where: Filter, *, by_video: bool = False,
        fingerprint: str | None = None,
    ) -> list[Found]:  # fmt: skip
        points = self._points().values()
        info = self.info()
        check_vectors(info, vectors)
        check_fingerprint(info, fingerprint, self.name, "test")
        check_keys(where, {key for point in points for key in point.payload.extra})
        left = [point for point in points if matches(where, point.payload)]
        return [self._nearest(vector, n, left) for vector in vectors]

    def _nearest(self, vector: np.ndarray, n: int, points: list[Point]) -> Found:
        found = [Candidate(p.id, float(p.vector @ vector), p.payload, p.vector) for p in points]
        found.sort(key=lambda candidate: -candidate.score)
        return Found(found[:n], found[n].score if len(found) > n else float("-inf"))

    def upsert(self, points: Iterable[Point]) -> int:
        return _Writer(self._points(), self.info().dim).upsert(points)

    def get(self, ids: Sequence[str]) -> list[Point]:
        return [] if self.info() is None else [p for i in ids if (p := self._points().get(i))]

    def delete(self, ids: Iterable[str]) -> int:
        return sum(self._points().pop(name, None) is not None for name in ids)

    def ids(self) -> Iterator[str]:
        return iter([] if self.info() is None else list(self._points()))

    @contextmanager
    def rebuild(self, fingerprint: str, dim: int) -> Iterator["_Writer"]:
        points: dict[str, Point] = {}
        yield _Writer(points, dim)
        self.shelf[self.place] = (fingerprint, dim, points)

    def _points(self) -> dict[str, Point]:
        if self.place not in self.shelf:
            raise NoIndexError("nothing is indexed: run `vidrec index --store plain`")
        return self.shelf[self.place][2]


class _Writer:
    def __init__(self, points: dict[str, Point], dim: int) -> None:
        self.points, self.dim = points, dim

    def upsert(self, points: Iterable[Point]) -> int:
        count = 0
        for point in points:
            if point.vector.shape != (self.dim,):
                raise UsageError(f"a vector has shape {point.vector.shape}, not ({self.dim},)")
            (vector,) = unit_rows(point.vector[None].astype(np.float32), [point.id])
            name = str(uuid.UUID(point.id))
            self.points[name] = Point(name, vector, point.payload)
            count += 1
        return count
