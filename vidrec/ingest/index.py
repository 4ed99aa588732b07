"""Index: the library's embeddings become points of a store. No model is called."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from vidrec.batches import in_batches
from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import FingerprintError, NoIndexError, StoreError, UsageError
from vidrec.library import Library
from vidrec.point_ids import point_id
from vidrec.progress import Progress, Silent
from vidrec.records import dataclass
from vidrec.stores import open_store
from vidrec.stores.base import CollectionInfo, VectorStore, index_command
from vidrec.types import Payload, Point, Scalar, Scope
from vidrec.wording import count

if TYPE_CHECKING:
    from vidrec.library.embeddings import EmbeddingRow
    from vidrec.library.videos import VideoRow

BATCH = 1024
STEP = 256  # points between two signs of progress: a remote store takes seconds for more
Agree: TypeAlias = Callable[[str], bool]  # is asked a question


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
    agree: Agree | None = None,
    progress: Progress | None = None,
) -> IndexReport:
    """Bring the store up to date with the library, for the settings' embedder.

    Only what is new or changed is written, and what the library replaced or removed is deleted.
    ``recreate`` builds all anew beside the served collection and then replaces it at once;
    ``prune`` deletes whatever else the library does not have. ``agree`` is asked before that
    empties the index, or deletes points where others may see them.

    Raises:
        NoIndexError: the library holds no embeddings of this embedder.
        FingerprintError: the collection holds vectors of another fingerprint and ``recreate``
            is off.
        LockedError: another process indexes this library.
        UsageError: nobody agreed; nothing is changed then.
    """
    progress = progress or Silent()
    started = time.monotonic()
    embedder = load_embedder(settings)
    fingerprint = str(embedder.fingerprint)
    with Library(settings.library, create=False) as library, library.lock("index"):
        videos, total = library.count_embeddings(fingerprint)
        to_delete = not recreate and (prune or library.removed_videos(0))
        if not videos and not to_delete:
            raise NoIndexError(_nothing(library, embedder.flags, fingerprint))
        store = open_store(settings)
        store.owner = library.id
        try:
            sync = _Sync(library, store, fingerprint, embedder.dim, total, agree, progress)
            report = sync.run(recreate=recreate, prune=prune)
        finally:
            store.close()
    report.seconds = time.monotonic() - started
    return report


def leave_store(library: Library, store: VectorStore, fingerprint: str) -> int:
    """Delete the points of the videos that were removed since a store followed the library.

    Returns:
        How many points there were.
    """
    store.owner = library.id
    info = store.info()
    if info is None or info.fingerprint != fingerprint:
        return 0
    followed, now = library.followed(info.place, fingerprint), library.position(fingerprint)
    known = info.version == followed.version
    if known:
        library.set_writing(info.place, fingerprint)
    deleted = store.delete_videos(library.removed_videos(followed.position[0]))
    after = store.info()
    if known and after is not None:
        behind = library.changed_videos(followed.position[0]) or now[1] > followed.position[1]
        position = followed.position if behind else now
        library.set_followed(info.place, fingerprint, position, after.version)
    return deleted


def _nothing(library: Library, flags: str, fingerprint: str) -> str:
    message = f"{library.folder} holds no embeddings of {fingerprint}"
    others = [str(f) for f in library.fingerprints() if library.count_embeddings(str(f))[0]]
    if others:
        message += f" (it holds {', '.join(others)})"
    return f"{message}: run `vidrec embed PATHS… {flags}` first"


@dataclass(slots=True)
class _Difference:
    """What a collection and the library do not have in common, by a look at every id.

    Attributes:
        stored: how many points the collection has.
        missing: numbers of the embeddings to be written.
        replaced: points of videos that were embedded anew, or removed.
        unknown: points that the library knows nothing of.
    """

    stored: int
    missing: list[int]
    replaced: list[str]
    unknown: list[str]


@dataclass(frozen=True, slots=True)
class _Sync:
    """One run over one collection."""

    library: Library
    store: VectorStore
    fingerprint: str
    dim: int
    total: int
    agree: Agree | None
    progress: Progress

    def run(self, *, recreate: bool, prune: bool) -> IndexReport:
        position = self.library.position(self.fingerprint)
        served = self._served(mending=recreate)
        report = IndexReport(self.store.name, "", "", self.fingerprint)
        same = served is not None and served.fingerprint == self.fingerprint
        others = served is not None and self.store.count() < served.count
        if served is None or (recreate and not (same and others)):
            self._rebuild(report, served if same else None)
        elif not same:
            raise self._other_fingerprint(served)
        else:
            self._follow(report, served, anew=recreate, prune=prune or recreate)
        self.progress.finish()
        now = self.store.info()
        assert now is not None
        report.place, report.collection, report.total = now.place, now.name, now.count
        self.library.set_followed(now.place, self.fingerprint, position, now.version)
        return report

    def _served(self, *, mending: bool) -> CollectionInfo | None:
        try:
            return self.store.info()
        except StoreError:
            if not mending:
                raise
            return None  # damaged: it is built anew

    def _other_fingerprint(self, served: CollectionInfo) -> FingerprintError:
        again = index_command(self.store.name, self.fingerprint.split(":")[0], "--recreate")
        return FingerprintError(
            f"{served.place} serves {served.fingerprint}, the embedder is "
            f"{self.fingerprint}: run `{again}` to replace it"
        )

    def _rebuild(self, report: IndexReport, served: CollectionInfo | None) -> None:
        if not self.total:
            name = self.fingerprint.split(":")[0]
            raise NoIndexError(_nothing(self.library, name, self.fingerprint))
        if served is not None and (self.store.shared or served.count > self.total):
            self._ask(served, self._compare((0, 0)))
        self.progress.start("indexing", self.total, "point")
        with self.store.rebuild(self.fingerprint, self.dim) as writer:
            report.written = writer.upsert(self._counted(self._points()))

    def _follow(
        self, report: IndexReport, served: CollectionInfo, *, anew: bool, prune: bool
    ) -> None:
        """Write what is new or changed, and delete what was replaced or removed."""
        followed = self.library.followed(served.place, self.fingerprint)
        known = served.version != "" and served.version == followed.version
        trusted = not anew and (known or followed.writing or not served.version)
        position = followed.position if trusted else (0, 0)
        if known and not anew and not prune:
            self._catch_up(report, served.place, position)
            if self.store.count() == self.total:
                # It had all that the library had, and got all that came since: it has no more.
                return
            position = self.library.position(self.fingerprint)
        difference = self._compare(position)
        if prune:
            self._ask(served, difference)
        if trusted:
            self.library.set_writing(served.place, self.fingerprint)
        self.progress.start("indexing", len(difference.missing), "point")
        report.written += self.store.upsert(self._counted(self._numbered(difference.missing)))
        stale = difference.replaced + (difference.unknown if prune else [])
        report.deleted += self.store.delete(stale) if stale else 0
        report.stale = 0 if prune else len(difference.unknown)

    def _catch_up(self, report: IndexReport, place: str, position: tuple[int, int]) -> None:
        """Let a collection that has all up to a position have the rest, too."""
        revision, last = position
        self.library.set_writing(place, self.fingerprint)
        removed = self.library.removed_videos(revision)
        report.deleted = self.store.delete_videos(removed) if removed else 0
        changed = self.library.changed_videos(revision)
        self.progress.start("indexing", None, "point")
        report.written = self.store.upsert(self._counted(self._since(last, changed)))

    def _compare(self, position: tuple[int, int]) -> _Difference:
        """Look at every point's id; what came or changed after a position is missing, too."""
        revision, last = position
        changed = self.library.changed_videos(revision)
        left = set(self.store.ids())
        stored, missing = len(left), []
        for number, video_id, scope, start, end in self.library.embedding_keys(self.fingerprint):
            name = point_id(video_id, self.fingerprint, scope, start, end)
            there = name in left
            left.discard(name)
            # One that is there may have another vector: imported or embedded again.
            if not there or number > last or video_id in changed:
                missing.append(number)
        stale = sorted(left)
        replaced = list(self._replaced(stale))
        return _Difference(stored, missing, replaced, sorted(left.difference(replaced)))

    def _replaced(self, stale: list[str]) -> Iterator[str]:
        """Yield stale points of videos that the library has embedded, or that it removed."""
        removed = self.library.removed_videos(0) if stale else set()
        for ids in in_batches(stale, BATCH):
            points = self.store.get(ids)
            known = {
                video_id
                for video_id in {point.payload.video_id for point in points}
                if video_id in removed
                or self.library.video_embeddings(video_id, self.fingerprint, "video")
            }
            yield from (point.id for point in points if point.payload.video_id in known)

    def _ask(self, served: CollectionInfo, difference: _Difference) -> None:
        """Ask before points are deleted that the library knows nothing of.

        Raises:
            UsageError: nobody agrees.
        """
        strange = len(difference.unknown)
        if not strange or not (self.store.shared or strange == difference.stored):
            return
        what = (
            f"{served.place} holds {count(difference.stored, 'point')}, {strange} of them of "
            f"videos that the library {self.library.folder} does not have"
        )
        if self.agree is None or not self.agree(f"{what}: delete them?"):
            raise UsageError(f"{what}: --yes deletes them")

    def _counted(self, points: Iterable[Point]) -> Iterator[Point]:
        done = 0
        for point in points:
            yield point
            done += 1
            if done % STEP == 0:
                self.progress.step(STEP)
        self.progress.step(done % STEP)

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

    def _numbered(self, numbers: list[int]) -> Iterator[Point]:
        if len(numbers) == self.total:
            return self._points()
        return self._made(self.library.embeddings_numbered(numbers))

    def _points(self, after: int = 0) -> Iterator[Point]:
        """Yield the library's points under this fingerprint, in bounded memory."""
        return self._made(self.library.embedding_rows(self.fingerprint, after=after))

    def _made(self, batches: Iterable[Sequence[EmbeddingRow]]) -> Iterator[Point]:
        for rows in batches:
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
