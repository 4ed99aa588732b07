"""Deep checks: read all of the library and its indexes, and compare them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace

import numpy as np

from vidrec.care.doctor import Check, guarded
from vidrec.config import Settings
from vidrec.errors import NoIndexError
from vidrec.files import expanded
from vidrec.ingest.index import payload_of
from vidrec.library import Library
from vidrec.library.catalog import has_catalog
from vidrec.library.soundness import damages
from vidrec.point_ids import point_id
from vidrec.progress import Progress, finishing
from vidrec.stores import open_store
from vidrec.stores.base import CollectionInfo, VectorStore, index_command
from vidrec.types import Point
from vidrec.wording import count

BITS = 2.0**-21  # of a number, where a store may have scaled its vector to unit length again
POINTS_AT_A_TIME = 256


def deep(settings: Settings, progress: Progress) -> Iterator[Check]:
    """Yield what is found by reading everything; none raises. Nothing is written."""
    if not has_catalog(settings.library):
        yield from _stores(settings, None, progress, "there is no library to compare it with")
        return
    yield from guarded("catalog", _catalog(settings, progress))


def _catalog(settings: Settings, progress: Progress) -> Iterator[Check]:
    with Library(settings.library, create=False) as library:
        sound = True
        for damage in damages(library, progress):
            sound = False
            yield Check("catalog", "failure", damage.what, damage.mend)
        if sound:
            yield Check("catalog", "ok", f"all of {library.folder} was read")
        why_not = "" if sound else "not compared with the library, which is damaged"
        yield from _stores(settings, library, progress, why_not)


def _stores(
    settings: Settings, library: Library | None, progress: Progress, why_not: str
) -> Iterator[Check]:
    """Look at every collection of the store that is chosen, and at all local ones.

    ``why_not`` says why they are not compared with the library, if they are not.
    """
    folder = expanded(settings.knn.path or settings.library / "knn")
    local = {path.parent.name for path in folder.glob("*/manifest.json")}
    mine = {settings.embedder.name, *(library.embedder_names() if library else ())}
    pairs = {("knn", name) for name in local} | {(settings.store.name, name) for name in mine}
    for store_name, embedder in sorted(pairs):
        chosen = settings.choosing(embedder, store_name)
        checks = _store(chosen, library, f"index of {embedder}", progress, why_not)
        yield from guarded(f"index of {embedder}", checks)


def _store(
    settings: Settings, library: Library | None, name: str, progress: Progress, why_not: str
) -> Iterator[Check]:
    with closing(open_store(settings)) as store:
        if library is not None:
            store.owner = library.id
        info = None
        with suppress(NoIndexError):
            info = store.info()
        if info is not None:
            yield from _collection(store, info, library, name, progress, why_not)


def _collection(
    store: VectorStore, info: CollectionInfo, library: Library | None, name: str,
    progress: Progress, why_not: str,
) -> Iterator[Check]:  # fmt: skip
    embedder = name.removeprefix("index of ")
    lines = list(store.verify(progress))
    for line in lines:
        yield Check(name, "failure", line, index_command(store.name, embedder, "--recreate"))
    if lines:
        return  # it is built anew anyway
    detail = f"all of {info.place} was read: {count(store.count(), 'point')}"
    if library is None or why_not:
        yield Check(name, "warning", f"{detail}; {why_not}")
        return
    if info.fingerprint not in {str(print_) for print_ in library.fingerprints()}:
        yield Check(name, "warning", f"{detail}; the library has nothing of {info.fingerprint}")
        return
    differences = list(_differences(store, info, library, progress))
    if not differences:
        yield Check(name, "ok", f"{detail}, as in the library")
        return
    if library.is_followed(info.place, info.fingerprint, info.version):
        for what, option in differences:
            yield Check(name, "failure", what, index_command(store.name, embedder, option))
        return
    behind = "it or the library has changed since it was indexed: "
    for what, _ in differences:
        yield Check(name, "warning", behind + what, index_command(store.name, embedder))


def _differences(
    store: VectorStore, info: CollectionInfo, library: Library, progress: Progress
) -> Iterator[tuple[str, str]]:
    """Yield what index and library do not have in common, each with the option that mends it."""
    unknown = set(store.ids())
    missing = vectors = payloads = 0
    progress.start(f"comparing {info.place}", store.count(), "point")
    with finishing(progress):
        for rows in library.embedding_rows(info.fingerprint, batch=POINTS_AT_A_TIME):
            videos = library.video_rows(list({row[1] for row in rows}))
            wanted = {}
            for _, video_id, scope, start, end, vector, extra in rows:
                if (video := videos.get(video_id)) is not None:
                    id_ = point_id(video_id, info.fingerprint, scope, start, end)
                    wanted[id_] = Point(id_, vector, payload_of(video, scope, start, end, extra))
            there = {point.id: point for point in store.get(list(wanted))}
            unknown.difference_update(there)
            missing += len(wanted) - len(there)
            for id_, point in there.items():
                vectors += not _same_vector(store, point, wanted[id_])
                payloads += not _same_payload(point, wanted[id_])
            progress.step(len(rows))
    if missing:
        yield f"{count(missing, 'vector')} of the library not in {info.place}", "--recreate"
    if unknown:
        yield f"{count(len(unknown), 'point')} in {info.place}, not of the library", "--prune"
    for number, what in ((vectors, "vectors"), (payloads, "facts")):
        if number:
            points = f"{count(number, 'point')} in {info.place}"
            yield f"{points} with other {what} than the library", "--recreate"


def _same_vector(store: VectorStore, stored: Point, wanted: Point) -> bool:
    if np.array_equal(stored.vector, wanted.vector):
        return True
    if store.keeps_bits or stored.vector.shape != wanted.vector.shape:
        return False
    return bool(np.allclose(stored.vector, wanted.vector, rtol=BITS, atol=0.0))


def _same_payload(stored: Point, wanted: Point) -> bool:
    """Compare what points say; a shared collection may leave out where the files are."""
    path = stored.payload.path and wanted.payload.path
    return replace(stored.payload, path=path) == replace(wanted.payload, path=path)
