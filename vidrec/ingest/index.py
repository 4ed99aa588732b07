"""Index: the library's embeddings become points of a store. No model is called."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import FingerprintError, NoIndexError
from vidrec.library import Library
from vidrec.progress import Progress, Silent
from vidrec.stores import open_store
from vidrec.stores.base import VectorStore, index_command
from vidrec.types import Payload, Point, Scalar, Scope, point_id

if TYPE_CHECKING:
    from vidrec.library.videos import VideoRow

BATCH = 1024
STEP = 256  # points between two signs of progress: a remote store takes seconds for more
T = TypeVar("T")


@dataclass(slots=True)
class IndexReport:
    """What a run did. ``stale`` points are in the store but no longer in the library."""

    store: str
    place: str
    collection: str
    fingerprint: str
    written: int = 0
    deleted: int = 0
    stale: int = 0
    total: int = 0
    seconds: float = 0.0


def index(
    settings: Settings,
    *,
    recreate: bool = False,
    prune: bool = False,
    progress: Progress | None = None,
) -> IndexReport:
    """Bring the store up to date with the library, for the settings' embedder.

    Only what is new or changed is written; ``recreate`` builds all anew beside the served
    collection and then replaces it at once; ``prune`` deletes what the library no longer has.

    Raises:
        NoIndexError: the library holds no embeddings of this embedder.
        FingerprintError: the collection holds vectors of another fingerprint and ``recreate``
            is off.
        LockedError: another process indexes this library.
    """
    progress = progress or Silent()
    started = time.monotonic()
    embedder = load_embedder(settings)
    fingerprint = str(embedder.fingerprint)
    with Library(settings.library, create=False) as library, library.lock("index"):
        videos, total = library.count_embeddings(fingerprint)
        if not videos and not prune:
            raise NoIndexError(_nothing(library, embedder.name, fingerprint))
        store = open_store(settings)
        try:
            sync = _Sync(library, store, fingerprint, embedder.dim, progress)
            report = sync.run(total, recreate=recreate, prune=prune)
        finally:
            store.close()
    report.seconds = time.monotonic() - started
    return report


def _nothing(library: Library, name: str, fingerprint: str) -> str:
    message = f"{library.folder} holds no embeddings of {fingerprint}"
    others = [str(f) for f in library.fingerprints() if library.count_embeddings(str(f))[0]]
    if others:
        message += f" (it holds {', '.join(others)})"
    return f"{message}: run `vidrec embed --embedder {name}` first"


class _Sync:
    """One run over one collection."""

    def __init__(
        self,
        library: Library,
        store: VectorStore,
        fingerprint: str,
        dim: int,
        progress: Progress,
    ) -> None:
        self.library = library
        self.store = store
        self.fingerprint = fingerprint
        self.dim = dim
        self.progress = progress

    def run(self, total: int, *, recreate: bool, prune: bool) -> IndexReport:
        position = self.library.position(self.fingerprint)
        served = None if recreate else self.store.info()  # a damaged one is mended
        report = IndexReport(self.store.name, "", "", self.fingerprint)
        if served is None:
            self.progress.start("indexing", total, "point")
            with self.store.rebuild(self.fingerprint, self.dim) as writer:
                report.written = writer.upsert(self._counted(self._points()))
        elif served.fingerprint != self.fingerprint:
            again = index_command(self.store.name, self.fingerprint.split(":")[0], "--recreate")
            raise FingerprintError(
                f"{served.place} serves {served.fingerprint}, the embedder is "
                f"{self.fingerprint}: run `{again}` to replace it"
            )
        else:
            self._follow(report, served.place, total, prune=prune)
        self.progress.finish()
        now = self.store.info()
        assert now is not None
        report.place, report.collection, report.total = now.place, now.name, now.count
        self.library.set_indexed_position(now.place, self.fingerprint, position)
        return report

    def _follow(self, report: IndexReport, where: str, total: int, *, prune: bool) -> None:
        """Write what is new or changed, and delete what a new embedding of a video replaced."""
        revision, last = self.library.indexed_position(where, self.fingerprint)
        changed = self.library.changed_videos(revision)
        if self.store.count() == self.library.count_up_to(self.fingerprint, last):
            # The store holds just what was written then, so what came since is all there is.
            self.progress.start("indexing", None, "point")
            report.written = self.store.upsert(self._counted(self._since(last, changed)))
            return
        # A point with a known id may have a new vector: imported or embedded again.
        changed |= self.library.embedded_after(self.fingerprint, last)
        stored = set(self.store.ids())
        self.progress.start("indexing", total, "point")
        report.written = self.store.upsert(self._missing(stored, changed))
        # _missing has removed from `stored` what the library has; what is left is stale.
        stale = sorted(stored)
        if not prune:
            stale = [point.id for point in self._replaced(stale)]
        report.deleted = self.store.delete(stale) if stale else 0
        report.stale = len(stored) - len(stale)

    def _missing(self, stored: set[str], changed: set[str]) -> Iterator[Point]:
        for point in self._counted(self._points()):
            if point.id in stored:
                stored.remove(point.id)
                if point.payload.video_id not in changed:
                    continue
            yield point

    def _replaced(self, stale: list[str]) -> Iterator[Point]:
        """Yield stale points of videos that the library still has under this fingerprint."""
        for ids in _batches(stale, BATCH):
            points = self.store.get(ids)
            known = {
                video_id
                for video_id in {point.payload.video_id for point in points}
                if self.library.video_embeddings(video_id, self.fingerprint, "video")
            }
            yield from (point for point in points if point.payload.video_id in known)

    def _counted(self, points: Iterable[Point]) -> Iterator[Point]:
        count = 0
        for point in points:
            yield point
            count += 1
            if count % STEP == 0:
                self.progress.step(STEP)
        self.progress.step(count % STEP)

    def _since(self, last: int, changed: set[str]) -> Iterator[Point]:
        """Yield the points that came after an embedding's number, then the changed videos'."""
        new: set[str] = set()
        for point in self._points(after=last):
            new.add(point.payload.video_id)
            yield point
        for video_id in sorted(changed - new):
            video = self.library.video_rows([video_id]).get(video_id)
            for e in self.library.video_embeddings(video_id, self.fingerprint):
                if video is not None:
                    payload = payload_of(video, e.scope, e.start_sec, e.end_sec, e.extra)
                    yield Point(e.point_id, e.vector, payload)

    def _points(self, after: int = 0) -> Iterator[Point]:
        """Yield the library's points under this fingerprint, in bounded memory."""
        for rows in self.library.embedding_rows(self.fingerprint, after=after):
            videos = self.library.video_rows(list({row[1] for row in rows}))
            for _, video_id, scope, start, end, vector, extra in rows:
                video = videos.get(video_id)
                if video is not None:
                    name = point_id(video_id, self.fingerprint, scope, start, end)
                    yield Point(name, vector, payload_of(video, scope, start, end, extra))


def payload_of(
    video: VideoRow, scope: Scope, start_sec: float, end_sec: float, extra: Mapping[str, Scalar]
) -> Payload:
    """Return what a point says about its video and which part of it."""
    video_id, filename, path, url, label, group, duration = video
    return Payload(
        video_id, filename, scope, start_sec, end_sec, path, url, label, group, duration, extra
    )


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
