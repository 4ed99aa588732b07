"""Import: embeddings come into the library from elsewhere, without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.config import Settings
from vidrec.embedders.outcomes import whole_video
from vidrec.errors import MediaError, UsageError
from vidrec.exchange.imported import (
    check_span,
    checked,
    checked_name,
    embedding_of,
    identity,
    unit_vector,
    video_of,
)
from vidrec.exchange.reading import Bad, Reading
from vidrec.exchange.sources import ImportOptions, open_source
from vidrec.exchange.spaces import Spaces
from vidrec.library import Library
from vidrec.progress import Progress, Silent, finishing

if TYPE_CHECKING:
    from vidrec.exchange.rows import Row

VIDEOS_AT_A_TIME = 200  # in one transaction
ROWS_OF_A_VIDEO = 200_000  # a day's clips of half a second
TOLD = 5  # rows that cannot be taken are told one by one, so many of them


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
        taking = _Import(library)
        progress.start("importing", None, "row")
        empty = library.is_empty()
        found = open_source(settings, source, options, reading, library, progress.warn)
        rows = _Checked(found, source, settings.exchange.max_rows, options.files, spaces,
                        progress.warn)  # fmt: skip
        videos = groupby(rows, key=lambda one: one[0])
        while some := list(islice(((key, _of_one(rows)) for key, rows in videos),
                                  VIDEOS_AT_A_TIME)):  # fmt: skip
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
    report.bad, report.first = rows.bad, str(rows.first or "")
    if rows.first is not None and not report.rows:
        raise rows.first
    return report


@dataclass(slots=True)
class _Checked:
    """Rows with their video's id, checked, as far as the limit; counts those that are wrong."""

    rows: Iterable[Row | Bad]
    source: str
    limit: int
    files: Path | None
    spaces: Spaces
    say: Callable[[str], None]
    bad: int = 0
    first: UsageError | None = None

    def __iter__(self) -> Iterator[tuple[str, Row]]:
        """Yield them.

        Raises:
            UsageError: there are more than may be.
        """
        for number, row in enumerate(self.rows, 1):
            if number > self.limit:
                raise UsageError(
                    f"{self.source} has more than {self.limit:,} rows: raise [exchange] max_rows"
                )
            try:
                good = self._good(row, f"{self.source}, row {number}")
            except (UsageError, MediaError) as exc:
                self._note(exc)
            else:
                yield good

    def _good(self, row: Row | Bad, where: str) -> tuple[str, Row]:
        if isinstance(row, UsageError):
            raise row
        row = checked(row, where)
        check_span(row)
        row["vector"] = unit_vector(row)
        row["of"] = self.spaces.of(row)
        if row.get("fingerprint") and row["clip_seconds"] is None:
            row["clip_seconds"] = self.spaces.lengths.get(str(row["of"]))
        return identity(row, self.files), row

    def _note(self, error: UsageError | MediaError) -> None:
        self.bad += 1
        self.first = self.first or UsageError(str(error))
        if self.bad <= TOLD:
            self.say(f"skipping {error}")


def _of_one(rows: Iterable[tuple[str, Row]]) -> list[Row]:
    """Return the rows of one video that lie together."""
    found = [row for _, row in islice(rows, ROWS_OF_A_VIDEO + 1)]
    if len(found) > ROWS_OF_A_VIDEO:
        name = found[0]["filename"] or found[0]["path"] or found[0]["video_id"]
        raise UsageError(f"{name} has more than {ROWS_OF_A_VIDEO:,} rows: they name one video")
    return found


class _Import:
    """Rows of one video after the other, into one library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.seen: set[str] = set()
        self.fingerprints: set[str] = set()
        self._incomplete: dict[tuple[str, str], float] = {}  # clip_seconds by video and print
        self._lengths: dict[str, dict[str, float]] = {}  # what the library held before

    def take(self, video_id: str, rows: list[Row]) -> None:
        """Store a video and its embeddings."""
        video = video_of(video_id, rows[0])
        self.library.add_video(video)
        by_fingerprint: dict[str, list[Row]] = {}
        for row in rows:
            by_fingerprint.setdefault(str(row["of"]), []).append(row)
        for name, those in by_fingerprint.items():
            if name not in self.fingerprints:
                self.library.register(those[0]["of"])
                self.fingerprints.add(name)
                self._lengths[name] = self.library.clip_seconds(name)
            embeddings = [embedding_of(video, name, row) for row in those]
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
