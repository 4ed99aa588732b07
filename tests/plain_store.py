"""A store as a third party would write one: points in a dictionary, compared one and all."""

from contextlib import contextmanager
from uuid import UUID

from vidrec.conditions import check_keys, matches
from vidrec.errors import NoIndexError
from vidrec.stores import base
from vidrec.types import Candidate, Point


class PlainStore(base.VectorStore):
    name, place = "plain", ""

    def __init__(self, shelf: dict, place: str) -> None:
        self.shelf, self.place = shelf, place  # by place: fingerprint, dim, points by id

    def info(self) -> base.CollectionInfo | None:
        fingerprint, dim, points = self.shelf.get(self.place, (None, 0, {}))
        about = base.CollectionInfo("plain", fingerprint, dim, len(points), self.place)
        return about if fingerprint else None

    def candidates(self, vectors, n, where, *, by_video=False, fingerprint=None):
        points = self._served()[2].values()
        base.check_query(self.info(), vectors, fingerprint, self.name, "test")
        check_keys(where, {key for p in points for key in p.payload.extra})
        points = [p for p in points if matches(where, p.payload)]
        return [self._nearest(vector, n, points) for vector in vectors]

    def _nearest(self, vector, n, points):
        found = [Candidate(p.id, float(p.vector @ vector), p.payload, p.vector) for p in points]
        found.sort(key=lambda one: -one.score)
        return base.Found(found[:n], found[n].score if len(found) > n else -float("inf"))

    def upsert(self, points):
        points = list(points)
        for point, row in zip(points, base.unit_matrix(points, self._served()[1]), strict=True):
            name = str(UUID(point.id))
            self._served()[2][name] = Point(name, row, point.payload)
        return len(points)

    def get(self, ids):
        return [p for name in ids if self.info() and (p := self._served()[2].get(name))]

    def delete(self, ids):
        return sum(self._served()[2].pop(name, None) is not None for name in ids)

    def ids(self):
        return iter(list(self._served()[2]) if self.info() else ())

    @contextmanager
    def rebuild(self, fingerprint, dim):
        draft = PlainStore({"draft": (fingerprint, dim, {})}, "draft")
        yield draft
        self.shelf[self.place] = draft.shelf["draft"]

    def _served(self):
        if found := self.shelf.get(self.place):
            return found
        raise NoIndexError("nothing is indexed: run `vidrec index --store plain`")
