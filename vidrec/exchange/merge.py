"""Merge: what another library holds comes into this one, vector for vector.

Nothing that is here is changed. What the other says differently of a video is a conflict: it is
named, and what is here stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidrec.batches import in_batches
from vidrec.config import Settings
from vidrec.errors import UsageError
from vidrec.library import Library
from vidrec.library.jobs import add_upload, upload_of
from vidrec.progress import Progress, Silent, finishing
from vidrec.types import Embedding, Video

VIDEOS_AT_A_TIME = 200  # in one transaction
FACTS = ("path", "url", "label", "group")


@dataclass(slots=True)
class MergeReport:
    """What came in, and what differs: one line each."""

    source: str
    videos: int = 0
    rows: int = 0
    known: int = 0
    conflicts: list[str] = field(default_factory=list)


def merge(settings: Settings, other: Path, progress: Progress | None = None) -> MergeReport:
    """Take over the videos and embeddings of another library; again changes nothing.

    Raises:
        UsageError: it is this very library.
        LibraryError: one of the two cannot be opened.
    """
    progress = progress or Silent()
    report = MergeReport(str(other))
    if other.resolve() == settings.library.resolve():
        raise UsageError(f"{other} is the library that would take it in: name another")
    with (
        Library(other, create=False) as theirs,
        Library(settings.library) as ours,
        theirs.snapshot(),
    ):
        total = int(theirs.read("SELECT count(*) FROM videos")[0][0])
        progress.start("merging", total, "video")
        lengths = {}
        for fingerprint in theirs.fingerprints():
            ours.register(fingerprint)
            lengths[str(fingerprint)] = theirs.clip_seconds(str(fingerprint))
        with finishing(progress):
            merging = _Merge(ours, theirs, report, lengths)
            for some in in_batches(theirs.videos(), VIDEOS_AT_A_TIME):
                with ours.transaction():
                    for video in some:
                        merging.take(video)
                        progress.step()
            _take_bills(ours, theirs)
    return report


@dataclass(frozen=True, slots=True)
class _Merge:
    ours: Library
    theirs: Library
    report: MergeReport
    lengths: dict[str, dict[str, float]]  # clip seconds by fingerprint and video, of theirs

    def take(self, video: Video) -> None:
        here = self.ours.video(video.id)
        if here is None:
            self.ours.add_video(video)
            self.report.videos += 1
        else:
            self.report.known += 1
            for fact in FACTS:
                mine, other = getattr(here, fact), getattr(video, fact)
                if mine is not None and other is not None:
                    self._compare(video, fact, mine, other)
        self._take_fields(video)
        upload = upload_of(self.theirs, video.id)
        if upload is not None and upload_of(self.ours, video.id) is None:
            add_upload(self.ours, upload)
        for fingerprint, by_video in self.lengths.items():
            if video.id in by_video:
                self._take_embeddings(video, fingerprint, by_video[video.id])

    def _take_fields(self, video: Video) -> None:
        """The user's own fields."""
        mine, other = (
            library.fields_of([video.id]).get(video.id, {}) for library in (self.ours, self.theirs)
        )
        for key in filter(mine.__contains__, other):
            self._compare(video, key, mine[key], other[key])
        if new := {key: value for key, value in other.items() if key not in mine}:
            self.ours.set_fields([(video.id, new)])

    def _take_embeddings(self, video: Video, fingerprint: str, clip_seconds: float) -> None:
        found = self.theirs.video_embeddings(video.id, fingerprint)
        mine = self.ours.video_embeddings(video.id, fingerprint)
        if not mine:
            self.ours.save_embeddings(video.id, found, clip_seconds)
            self.report.rows += len(found)
        elif list(map(_content, mine)) != list(map(_content, found)):
            self._differs(video, f"other vectors of {fingerprint}")

    def _compare(self, video: Video, key: str, mine: object, other: object) -> None:
        if mine != other:
            self._differs(video, f"{key} is {mine}, there {other}")

    def _differs(self, video: Video, how: str) -> None:
        self.report.conflicts.append(f"{video.filename} ({video.id[:12]}): {how}")


def _content(embedding: Embedding) -> tuple[Any, ...]:
    e = embedding
    return e.scope, e.start_sec, e.end_sec, e.vector.tobytes(), dict(e.extra)


def _take_bills(ours: Library, theirs: Library) -> None:
    """What was paid for there counts here, too."""
    columns = "job_id, video_id, fingerprint, run, minutes, created_at"
    rows = theirs.read(f"SELECT {columns} FROM paid WHERE job_id IS NOT NULL")
    with ours.transaction() as db:
        db.executemany(f"INSERT OR IGNORE INTO paid ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)
