"""Merge: what another library holds comes into this one, vector for vector.

Nothing that is here is changed. What the other says differently of a video is a conflict: it is
named, and what is here stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

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
        for fingerprint in theirs.fingerprints():
            ours.register(fingerprint)
        lengths = {
            str(fingerprint): theirs.clip_seconds(str(fingerprint))
            for fingerprint in theirs.fingerprints()
        }
        with finishing(progress):
            for videos in _batches(theirs.videos()):
                with ours.transaction():
                    for video in videos:
                        _take(ours, theirs, video, lengths, report)
                        progress.step()
            _take_bills(ours, theirs)
    return report


def _take(
    ours: Library,
    theirs: Library,
    video: Video,
    lengths: dict[str, dict[str, float]],
    report: MergeReport,
) -> None:
    here = ours.video(video.id)
    if here is None:
        ours.add_video(video)
        report.videos += 1
    else:
        report.known += 1
        for fact in FACTS:
            mine, other = getattr(here, fact), getattr(video, fact)
            if mine is not None and other is not None and mine != other:
                report.conflicts.append(
                    f"{video.filename} ({video.id[:12]}): {fact} is {mine}, there {other}"
                )
    _take_fields(ours, theirs, video, report)
    upload = upload_of(theirs, video.id)
    if upload is not None and upload_of(ours, video.id) is None:
        add_upload(ours, upload)
    for fingerprint, by_video in lengths.items():
        if video.id in by_video:
            _take_embeddings(ours, theirs, video, fingerprint, by_video[video.id], report)


def _take_fields(ours: Library, theirs: Library, video: Video, report: MergeReport) -> None:
    """The user's own fields."""
    mine = ours.fields_of([video.id]).get(video.id, {})
    new = {}
    for key, value in theirs.fields_of([video.id]).get(video.id, {}).items():
        if key not in mine:
            new[key] = value
        elif mine[key] != value:
            report.conflicts.append(
                f"{video.filename} ({video.id[:12]}): {key} is {mine[key]}, there {value}"
            )
    if new:
        ours.set_fields([(video.id, new)])


def _take_embeddings(
    ours: Library,
    theirs: Library,
    video: Video,
    fingerprint: str,
    clip_seconds: float,
    report: MergeReport,
) -> None:
    found = theirs.video_embeddings(video.id, fingerprint)
    mine = ours.video_embeddings(video.id, fingerprint)
    if not mine:
        ours.save_embeddings(video.id, found, clip_seconds)
        report.rows += len(found)
    elif list(map(_content, mine)) != list(map(_content, found)):
        report.conflicts.append(
            f"{video.filename} ({video.id[:12]}): other vectors of {fingerprint}"
        )


def _content(embedding: Embedding) -> tuple[Any, ...]:
    e = embedding
    return e.scope, e.start_sec, e.end_sec, e.vector.tobytes(), dict(e.extra)


def _take_bills(ours: Library, theirs: Library) -> None:
    """What was paid for there counts here, too."""
    columns = "job_id, video_id, fingerprint, run, minutes, created_at"
    rows = theirs.read(f"SELECT {columns} FROM paid WHERE job_id IS NOT NULL")
    with ours.transaction() as db:
        db.executemany(f"INSERT OR IGNORE INTO paid ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)


def _batches(videos: Iterator[Video]) -> Iterator[list[Video]]:
    while some := list(islice(videos, VIDEOS_AT_A_TIME)):
        yield some
