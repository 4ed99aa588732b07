"""Export and import: embeddings leave the library and come into it, without a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.config import Settings
from vidrec.embedders.checks import whole_video
from vidrec.errors import NoIndexError, UsageError
from vidrec.exchange.imported import (
    checked,
    checked_name,
    embedding_of,
    identity,
    unit_vectors,
    video_of,
)
from vidrec.files import exists, expanded, is_folder
from vidrec.library import Library
from vidrec.progress import Progress, Silent, finishing
from vidrec.types import Condition, Embedding, Fingerprint, Video

if TYPE_CHECKING:
    from vidrec.exchange.rows import Row

VIDEOS_AT_A_TIME = 200  # in one transaction
ROWS_OF_A_VIDEO = 200_000  # a day's clips of half a second
QDRANT = "qdrant:"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written where."""

    path: Path
    fingerprint: str
    rows: int


@dataclass(slots=True)
class ImportReport:
    """What came in: videos and embeddings by fingerprint."""

    source: str
    videos: int = 0
    rows: int = 0
    fingerprints: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # columns that hold no plain values


def export(
    settings: Settings,
    path: Path,
    *,
    kind: str | None = None,
    fingerprint: str | None = None,
    force: bool = False,
    conditions: Sequence[Condition] = (),
    progress: Progress | None = None,
) -> ExportReport:
    """Write an embedder's embeddings, with what is known of their videos, to a file.

    ``fingerprint`` chooses among several of the embedder's; by default the latest is taken. A
    pipe or a device is written into, ``-`` is stdout; a file that is there is replaced if it is
    an earlier export, another one only with ``force``. Only videos that meet all ``conditions``
    are written.

    Raises:
        NoIndexError: the library holds no such embeddings.
        UsageError: the format is not known, or a file is there that vidrec did not write.
        StorageError: the file cannot be written.
    """
    from vidrec.exchange.vector_files import kind_of, write_rows
    from vidrec.search.told import videos_where

    wished = kind_of(path, kind)
    progress = progress or Silent()
    with Library(settings.library, create=False) as library, library.snapshot():
        chosen = _choose(library, settings.embedder.name, fingerprint)
        met = videos_where(settings, library, conditions)
        total = library.count_embeddings(str(chosen), met)[1]
        progress.start("exporting", total, "row")
        with finishing(progress):
            rows = _rows(library, chosen, met, progress)
            written = write_rows(path, wished, rows, chosen.dim, force=force)
    return ExportReport(path, str(chosen), written)


def _choose(library: Library, embedder: str, wished: str | None) -> Fingerprint:
    filled = [f for f in library.fingerprints() if library.count_embeddings(str(f))[1]]
    for found in reversed(filled):
        if str(found) == wished or (wished is None and found.embedder == embedder):
            return found
    held = ", ".join(str(f) for f in filled) or "none"
    raise NoIndexError(
        f"{library.folder} holds no embeddings of {wished or embedder} (it holds: {held})"
    )


def _rows(
    library: Library, fingerprint: Fingerprint, met: set[str] | None, progress: Progress
) -> Iterator[Row]:
    """Yield an embedder's rows, video by video."""
    lengths = library.clip_seconds(str(fingerprint))
    for video in library.videos():
        if video.id not in lengths or (met is not None and video.id not in met):
            continue
        for embedding in library.video_embeddings(video.id, str(fingerprint)):
            yield _row(video, embedding, fingerprint, lengths[video.id])
            progress.step(1)


def _row(video: Video, embedding: Embedding, of: Fingerprint, clip_seconds: float) -> Row:
    info = video.info
    return {
        "embedder": of.embedder, "model": of.model, "dim": of.dim, "options": dict(of.options),
        "video_id": video.id, "filename": video.filename,
        "path": str(video.path) if video.path else None, "url": video.url, "size": video.size,
        "label": video.label, "group": video.group,
        "duration_sec": info.duration_sec if info else None,
        "width": info.width if info else None, "height": info.height if info else None,
        "fps": info.fps if info else None, "codec": info.codec if info else None,
        "rotation": info.rotation if info else None,
        "scope": embedding.scope, "start_sec": embedding.start_sec,
        "end_sec": embedding.end_sec, "clip_seconds": clip_seconds,
        "extra": dict(embedding.extra), "vector": embedding.vector,
    }  # fmt: skip


def import_vectors(
    settings: Settings,
    source: str,
    *,
    kind: str | None = None,
    embedder: str | None = None,
    model: str | None = None,
    files: Path | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Take embeddings from a file, stdin (``-``) or a Qdrant collection (``qdrant:NAME``).

    Rows without an id are told apart by what names them; only below the folder ``files`` is a
    path in a row taken for a file of this machine, and hashed as `embed` would.

    ``embedder`` and ``model`` name what made the vectors where the rows do not. A video that
    is there already under the same fingerprint is replaced. Every vector becomes unit length;
    one that is, keeps every bit. A video without clips gets one of its whole length, and one
    without a vector of its own the mean of its clips', as `embed` would give it.

    Raises:
        UsageError: a row cannot be understood; what was read before it stays.
        StorageError, StoreError: the source cannot be read.
    """
    progress = progress or Silent()
    report = ImportReport(source)
    name = checked_name(embedder or "imported", "--embedder")
    progress.start("importing", None, "row")
    with finishing(progress), Library(settings.library) as library:
        taking = _Import(library, name, model or "unknown")
        left_out: set[str] = set()
        found = _source(settings, source, kind, left_out)
        rows_of = _bounded(found, source, settings.exchange.max_rows)
        videos = groupby(rows_of, key=partial(identity, files=files))
        while some := list(islice(((key, _of_one(rows)) for key, rows in videos),
                                  VIDEOS_AT_A_TIME)):  # fmt: skip
            with library.transaction():
                for key, rows in some:
                    taking.take(key, rows)
                    report.rows += len(rows)
                    progress.step(len(rows))
        taking.complete()
    report.videos = len(taking.seen)
    report.fingerprints = tuple(sorted(taking.fingerprints))
    report.left_out = tuple(sorted(left_out))
    return report


def _bounded(rows: Iterable[Row], source: str, limit: int) -> Iterator[Row]:
    """Yield checked rows, as far as the limit.

    Raises:
        UsageError: there are more, or one cannot be understood.
    """
    for number, row in enumerate(rows, 1):
        if number > limit:
            raise UsageError(f"{source} has more than {limit:,} rows: raise [exchange] max_rows")
        yield checked(row, f"{source}, row {number}")


def _of_one(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of one video that lie together.

    Raises:
        UsageError: they are more than a video has clips.
    """
    found = list(islice(rows, ROWS_OF_A_VIDEO + 1))
    if len(found) > ROWS_OF_A_VIDEO:
        name = found[0]["filename"] or found[0]["path"] or found[0]["video_id"]
        raise UsageError(f"{name} has more than {ROWS_OF_A_VIDEO:,} rows: they name one video")
    return found


def _source(settings: Settings, source: str, kind: str | None, left_out: set[str]) -> Iterable[Row]:
    from vidrec.exchange.targets import STDOUT
    from vidrec.exchange.vector_files import kind_of, read_rows

    if source.startswith(QDRANT):
        from vidrec.stores.qdrant import read_collection

        return read_collection(settings, source.removeprefix(QDRANT))
    path = expanded(source)
    if source != STDOUT and (not exists(path) or is_folder(path)):
        raise UsageError(f"no file {path}: give a .parquet or .jsonl file, - or qdrant:NAME")
    return read_rows(source, path, kind_of(path, kind), left_out)


class _Import:
    """Rows of one video after the other, into one library."""

    def __init__(self, library: Library, embedder: str, model: str) -> None:
        self.library = library
        self.embedder = embedder
        self.model = model
        self.seen: set[str] = set()
        self.fingerprints: set[str] = set()
        self._incomplete: dict[tuple[str, str], float] = {}  # clip_seconds by video and print
        self._lengths: dict[str, dict[str, float]] = {}  # what the library held before
        self._known = {str(f): f for f in library.fingerprints()}

    def take(self, video_id: str, rows: list[Row]) -> None:
        """Store a video and its embeddings."""
        video = video_of(video_id, rows[0])
        self.library.add_video(video)
        by_fingerprint: dict[str, list[Embedding]] = {}
        for row, vector in zip(rows, unit_vectors(rows), strict=True):
            fingerprint = self._fingerprint(row)
            if str(fingerprint) not in self.fingerprints:
                self.library.register(fingerprint)
                self.fingerprints.add(str(fingerprint))
                self._lengths[str(fingerprint)] = self.library.clip_seconds(str(fingerprint))
            embedding = embedding_of(video, str(fingerprint), row, vector)
            by_fingerprint.setdefault(str(fingerprint), []).append(embedding)
        for name, embeddings in by_fingerprint.items():
            if video_id in self.seen:  # its rows do not lie together: this is a further part
                embeddings = [*self.library.video_embeddings(video_id, name), *embeddings]
            held = self._lengths[name].get(video_id, 0.0)
            length = float(rows[0].get("clip_seconds") or held)
            unique = {(e.scope, e.start_sec, e.end_sec): e for e in embeddings}  # the last wins
            self.library.save_embeddings(video_id, list(unique.values()), length)
            scopes = {e.scope for e in unique.values()}
            if len(scopes) < 2:
                self._incomplete[video_id, name] = length
            else:
                self._incomplete.pop((video_id, name), None)
        self.seen.add(video_id)

    def complete(self) -> None:
        """Add the clip or the vector of the whole that a video came without."""
        items = iter(self._incomplete.items())
        while some := list(islice(items, VIDEOS_AT_A_TIME)):
            with self.library.transaction():
                for (video_id, name), length in some:
                    embeddings = self.library.video_embeddings(video_id, name)
                    if embeddings[0].scope == "clip":
                        embeddings.append(whole_video(embeddings))
                    else:
                        embeddings += [replace(e, scope="clip") for e in embeddings]
                    self.library.save_embeddings(video_id, embeddings, length)

    def _fingerprint(self, row: Row) -> Fingerprint:
        dim = len(row["vector"])
        written = row.get("fingerprint")  # of a point in Qdrant: its options are a digest only
        if written in self._known:
            return self._known[written]
        if written and row.get("embedder") is None and written.count(":") >= 3:
            embedder, rest = written.split(":", 1)
            model = rest.rsplit(":", 2)[0]
            checked_name(embedder, "fingerprint: embedder")
            return Fingerprint(embedder, model, dim, {"imported": written})
        options = row.get("options")
        return Fingerprint(
            row.get("embedder") or self.embedder,
            row.get("model") or self.model,
            dim,
            options if isinstance(options, dict) else {},
        )
