"""Import: embeddings come into the library from elsewhere, without a model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vidrec.batches import in_batches
from vidrec.config import Settings
from vidrec.embedders.outcomes import whole_video
from vidrec.errors import MediaError, UsageError
from vidrec.exchange.rows import Bad, Reading, Row, checked_name
from vidrec.exchange.spaces import Spaces
from vidrec.exchange.targets import STDOUT
from vidrec.exchange.vector_files import kind_of, read_rows
from vidrec.files import exists, expanded, is_file, is_folder
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.progress import Progress, Silent, finishing
from vidrec.types import Embedding, Video, VideoInfo
from vidrec.urls import shown_url

QDRANT, TWELVE_LABS = "qdrant:", "twelvelabs:"
VIDEOS_AT_A_TIME = 200  # in one transaction
ROWS_OF_A_VIDEO = 200_000  # a day's clips of half a second
TOLD = 5  # rows that cannot be taken are told one by one, so many of them
_VIDEO_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How rows are to be understood.

    Attributes:
        kind: of a file, where its name does not tell.
        embedder: what made the vectors, where rows do not say.
        model: which model did, where rows do not say.
        space: an embedder of the settings that made them, and so can be asked with texts:
            ``marengo:marengo3.5:visual``, whatever rows say.
        columns: which names stand for which columns.
        vector: which of a collection's named vectors.
        files: the folder below which rows' paths are files, which are hashed as `embed` would.
    """

    kind: str | None = None
    embedder: str | None = None
    model: str | None = None
    space: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    vector: str | None = None
    files: Path | None = None


@dataclass(slots=True)
class ImportReport:
    """What came in: videos and embeddings by fingerprint; and what could not."""

    source: str
    videos: int = 0
    rows: int = 0
    fingerprints: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # columns that hold no plain values
    unseen: tuple[str, ...] = ()  # names that were to stand for columns, and that no row has
    bad: int = 0
    first: str = ""  # what was wrong with the first of them


def import_vectors(
    settings: Settings,
    source: str,
    options: ImportOptions | None = None,
    *,
    progress: Progress | None = None,
) -> ImportReport:
    """Take embeddings from a file, stdin (``-``), ``qdrant:COLLECTION`` or ``twelvelabs:INDEX``.

    Rows without an id are told apart by what names them; only below the folder ``files`` is a
    path in a row taken for a file of this machine, and hashed as `embed` would.

    A video that is there already under the same fingerprint is replaced. Every vector becomes
    unit length; one that is, keeps every bit. A video without clips gets one of its whole length,
    and one without a vector of its own the mean of its clips', as `embed` would give it. A row
    that cannot be understood is named and left out.

    Raises:
        UsageError: no row at all can be understood, or an option is wrong.
        StorageError, StoreError, EmbedderError: the source cannot be read.
    """
    options = options or ImportOptions()
    progress = progress or Silent()
    report = ImportReport(source)
    reading = Reading(options.columns)
    if options.embedder:
        checked_name(options.embedder, "--embedder")
    with finishing(progress), Library(settings.library) as library:
        spaces = Spaces(settings, library.fingerprints(), options)
        taking = _Import(library, spaces, options.files, report, progress.warn)
        progress.start("importing", None, "row")
        empty = library.is_empty()
        found = _open_source(settings, source, options, reading, library, progress.warn)
        rows = taking.understood(found, settings.exchange.max_rows)
        videos = ((key, _of_one(those)) for key, those in groupby(rows, key=lambda one: one[0]))
        for some in in_batches(videos, VIDEOS_AT_A_TIME):
            with library.transaction():
                for key, those in some:
                    taking.take(key, those)
                    report.rows += len(those)
                    progress.step(len(those))
        taking.complete()
        if empty and len(reading.owners) == 1:  # this is what it lost
            library.take_over(*reading.owners)
    report.videos = len(taking.seen)
    report.fingerprints = tuple(sorted(taking.fingerprints))
    report.left_out = tuple(sorted(reading.left_out))
    report.unseen = tuple(sorted(reading.unseen)) if report.rows else ()
    if report.bad and not report.rows:
        raise UsageError(report.first)
    return report


def _of_one(rows: Iterable[tuple[str, Row]]) -> list[Row]:
    """Return the rows of one video that lie together."""
    found = [row for _, row in islice(rows, ROWS_OF_A_VIDEO + 1)]
    if len(found) > ROWS_OF_A_VIDEO:
        name = found[0]["filename"] or found[0]["path"] or found[0]["video_id"]
        raise UsageError(f"{name} has more than {ROWS_OF_A_VIDEO:,} rows: they name one video")
    return found


@dataclass(slots=True)
class _Import:
    """Rows of one video after the other, into one library."""

    library: Library
    spaces: Spaces
    files: Path | None
    report: ImportReport
    say: Callable[[str], None]
    seen: set[str] = field(default_factory=set)
    fingerprints: set[str] = field(default_factory=set)
    # clip_seconds by video and fingerprint, of what lacks a clip or the whole
    _incomplete: dict[tuple[str, str], float] = field(default_factory=dict)
    # what the library held before
    _lengths: dict[str, dict[str, float]] = field(default_factory=dict)

    def understood(self, rows: Iterable[Row | Bad], limit: int) -> Iterator[tuple[str, Row]]:
        """Yield rows with their videos' ids; name and count those that cannot be taken.

        Raises:
            UsageError: there are more than may be.
        """
        for number, row in enumerate(rows, 1):
            if number > limit:
                raise UsageError(
                    f"{self.report.source} has more than {limit:,} rows: raise [exchange] max_rows"
                )
            try:
                found = self._understood(row)
            except (UsageError, MediaError) as exc:
                self.report.bad += 1
                self.report.first = self.report.first or str(exc)
                if self.report.bad <= TOLD:
                    self.say(f"skipping {exc}")
            else:
                yield found

    def _understood(self, row: Row | Bad) -> tuple[str, Row]:
        if isinstance(row, UsageError):
            raise row
        row["of"] = self.spaces.of(row)
        if row["fingerprint"] and row["clip_seconds"] is None:
            row["clip_seconds"] = self.spaces.lengths.get(str(row["of"]))
        return _identity(row, self.files), row

    def take(self, video_id: str, rows: list[Row]) -> None:
        """Store a video and its embeddings."""
        video = _video_of(video_id, rows[0])
        self.library.add_video(video)
        by_fingerprint: dict[str, list[Row]] = {}
        for row in rows:
            by_fingerprint.setdefault(str(row["of"]), []).append(row)
        for name, those in by_fingerprint.items():
            if name not in self.fingerprints:
                self.library.register(those[0]["of"])
                self.fingerprints.add(name)
                self._lengths[name] = self.library.clip_seconds(name)
            embeddings = [_embedding_of(video, name, row) for row in those]
            if video_id in self.seen:  # its rows do not lie together: this is a further part
                embeddings = [*self.library.video_embeddings(video_id, name), *embeddings]
            held = self._lengths[name].get(video_id, 0.0)
            length = float(those[0].get("clip_seconds") or held)
            unique = {(e.scope, e.start_sec, e.end_sec): e for e in embeddings}  # the last wins
            self.library.save_embeddings(video_id, list(unique.values()), length)
            if len({e.scope for e in unique.values()}) < 2:
                self._incomplete[video_id, name] = length
            else:
                self._incomplete.pop((video_id, name), None)
        self.seen.add(video_id)

    def complete(self) -> None:
        """Add the clip or the vector of the whole that a video came without."""
        for some in in_batches(self._incomplete.items(), VIDEOS_AT_A_TIME):
            with self.library.transaction():
                for (video_id, name), length in some:
                    embeddings = self.library.video_embeddings(video_id, name)
                    if embeddings[0].scope == "clip":
                        embeddings.append(whole_video(embeddings))
                    else:
                        embeddings += [replace(e, scope="clip") for e in embeddings]
                    self.library.save_embeddings(video_id, embeddings, length)


def _identity(row: Row, files: Path | None = None) -> str:
    """Return the id of a row's video: the hash of its bytes, or else of what names it.

    Only a file below the folder ``files`` is read: a row may name any path.
    """
    given = row["video_id"] or ""
    if _VIDEO_ID.fullmatch(given):
        return given
    path = row["path"]
    if files is not None and (path or row["filename"]):
        place = (files / (path or row["filename"])).resolve()
        there = place.is_relative_to(files.resolve()) and is_file(place)
        if there and row["size"] in (None, 0, place.stat().st_size):
            row["path"] = str(place)
            return hash_file(place)
    return hashlib.sha256((given or row["url"] or path or row["filename"]).encode()).hexdigest()


def _readable_url(url: str) -> str:
    """Return a URL without what signs it; one put together from a bare file name is escaped."""
    if " " in url or "#" in url:
        url = quote(url, safe="%/:=&?~+!$,;'@()*[]")
    return shown_url(url)


def _video_of(video_id: str, row: Row) -> Video:
    """Return the video that a row is of."""
    path, url = row["path"], row["url"] and _readable_url(row["url"])
    name = row["filename"] or (path or url or video_id).rstrip("/").rpartition("/")[2]
    info = None
    if row["duration_sec"] is not None:
        info = VideoInfo(
            row["duration_sec"], row["width"] or 0, row["height"] or 0,
            row["fps"], row["codec"] or "", row["rotation"] or 0,
        )  # fmt: skip
    return Video(
        video_id, name, Path(path) if path else None, url, row["size"] or 0,
        row["label"], row["group"], info,
    )  # fmt: skip


def _embedding_of(video: Video, fingerprint: str, row: Row) -> Embedding:
    """Return the embedding that a checked row is."""
    scope: Any = row["scope"] or ("clip" if row["start_sec"] is not None else "video")
    start, end = row["start_sec"] or 0.0, row["end_sec"]
    if end is None:
        end = max(video.duration_sec or start, start)
    return Embedding(video.id, fingerprint, scope, start, end, row["vector"], row["extra"])


def _open_source(
    settings: Settings,
    source: str,
    options: ImportOptions,
    reading: Reading,
    library: Library,
    say: Callable[[str], None],
) -> Iterable[Row | Bad]:
    """Return the rows of a source, read as they are asked for; ``say`` is told of waits.

    Raises:
        UsageError: there is no such file, or an option is not for such a source.
    """
    if source.startswith(QDRANT):
        return _of_qdrant(settings, source.removeprefix(QDRANT), options.vector, reading)
    if options.vector is not None:
        raise UsageError("--vector is for qdrant:COLLECTION; of a file say --map vector=NAME")
    if source.startswith(TWELVE_LABS):
        if options.space is not None:
            raise UsageError("an index of Twelve Labs says itself what made its vectors: no --as")
        from vidrec.exchange.twelvelabs import rows_of_index

        return rows_of_index(settings, source.removeprefix(TWELVE_LABS), reading, library, say)
    path = expanded(source)
    if source != STDOUT and (not exists(path) or is_folder(path)):
        raise UsageError(
            f"no file {path}: give a .parquet or .jsonl file, -, qdrant:COLLECTION or "
            "twelvelabs:INDEX"
        )
    return read_rows(source, path, kind_of(path, options.kind), reading)


def _of_qdrant(
    settings: Settings, name: str, vector: str | None, reading: Reading
) -> Iterator[Row | Bad]:
    from vidrec.stores.qdrant import read_collection

    for point, line, owner in read_collection(settings, name, vector):
        if owner is not None:
            reading.owners.add(owner)
        yield reading.row(line, f"point {point}")
