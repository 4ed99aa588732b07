"""Remove: videos leave the library and the store; the files themselves stay."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from vidrec.config import Settings
from vidrec.errors import UsageError, VidrecError
from vidrec.files import exists, expanded, is_folder, is_text
from vidrec.ingest.index import leave_store
from vidrec.ingest.metadata import ids_named
from vidrec.library import Library
from vidrec.stores import open_store
from vidrec.types import Video


@dataclass(frozen=True, slots=True)
class NamedVideo:
    """A video by its names; ``reason``: why it was kept."""

    video_id: str
    filename: str
    path: str | None
    url: str | None
    reason: str = ""

    @classmethod
    def of(cls, video: Video, reason: str = "") -> NamedVideo:
        """Return what a report says of a video."""
        path = str(video.path) if video.path else None
        return cls(video.id, video.filename, path, video.url, reason)


@dataclass(slots=True)
class RemoveReport:
    """What left: videos, and points of the store; ``unknown`` names were not in the library.

    ``kept`` are missing files' videos that only `--yes` forgets. ``behind``
    says why a store still has its points: none of them is found any more, and `index` follows.
    """

    videos: list[NamedVideo] = field(default_factory=list)
    points: int = 0
    unknown: list[str] = field(default_factory=list)
    kept: list[NamedVideo] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    dry_run: bool = False


def remove(
    settings: Settings,
    names: Sequence[str],
    *,
    missing: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> RemoveReport:
    """Forget videos named by ``id:…``, by path, folder or, where it is one's alone, by file name.

    What is not in the library is removed already. ``missing`` forgets those whose files are
    gone, and failures of such files; what was paid for, or lay in a folder that is gone as a
    whole (a disk that is not mounted?), is kept unless ``yes`` is given.

    Raises:
        UsageError: a name fits several videos; nothing is removed then.
    """
    report = RemoveReport(dry_run=dry_run)
    with Library(settings.library, create=False) as library:
        videos: dict[str, Video] = {}
        for name in names:
            ids = _meant(library, name)
            videos |= {video_id: known for video_id in ids if (known := library.video(video_id))}
            if not ids:
                report.unknown.append(name)
        if missing:
            for video, doubt in gone(library):
                if doubt and not yes:
                    report.kept.append(NamedVideo.of(video, doubt))
                else:
                    videos[video.id] = video
        report.videos = [NamedVideo.of(video) for video in videos.values()]
        if dry_run:
            return report
        if missing:
            forget_failures_of_gone(library)
        with library.transaction():
            for video_id in videos:
                library.remove_video(video_id)
        _leave_stores(settings, library, report)
    return report


def gone(library: Library) -> Iterable[tuple[Video, str]]:
    """Yield the videos whose files are gone, each with why that may be a mistake, or ''."""
    paid = {row[0] for row in library.read("SELECT DISTINCT video_id FROM paid")}
    for video in library.videos():
        if video.path is None or video.url is not None or exists(video.path):
            continue
        if any(exists(Path(path)) for path in library.seen_at(video.id)):
            continue
        doubt = ""
        if not exists(video.path.parent):
            doubt = f"the folder {video.path.parent} is gone, too"
        if video.id in paid:
            doubt = "its embedding was paid for"
        yield video, doubt


def forget_failures_of_gone(library: Library, stage: str | None = None) -> None:
    """Forget failures of files that are no longer in their folders, and of folders that open."""
    for failure in library.failures():
        if stage not in (None, failure.stage) or "://" in failure.source:
            continue
        path = Path(failure.source)
        if is_gone(path) or (is_folder(path) and os.access(path, os.R_OK | os.X_OK)):
            library.clear_failure(failure.stage, failure.source)


def is_gone(path: Path) -> bool:
    """Whether a file is no longer in its folder, which is there."""
    return not os.path.lexists(path) and exists(path.parent)


def _meant(library: Library, name: str) -> list[str]:
    """Return the ids of the videos that a name means: one, those of a folder, or none.

    Raises:
        UsageError: it is empty, or the name of several.
    """
    if not name:  # of the working folder all would be forgotten
        raise UsageError("an empty name is no video or folder")
    if name.startswith("id:"):
        prefix = name.removeprefix("id:").lower()
        hexadecimal = prefix and all(c in "0123456789abcdef" for c in prefix)
        if hexadecimal and not library.read(
            "SELECT 1 FROM videos WHERE id GLOB ? LIMIT 1", f"{prefix}*"
        ):
            return []
        return [library.find_video(prefix).id]
    if ids := ids_named(library, name):
        return ids
    places = [f"{place.rstrip('/')}/" for place in (str(expanded(name).absolute()), name)]
    below = "SELECT id FROM videos WHERE substr({0}, 1, length(?)) = ?"
    return [
        video_id
        for column, place in zip(("path", "url"), places, strict=True)
        if is_text(place)
        for video_id in library.column(below.format(column), place, place)
    ]


def _leave_stores(settings: Settings, library: Library, report: RemoveReport) -> None:
    """Delete the points of removed videos from the settings' store, for every embedder.

    Those of an earlier run that was cut off are among them.
    """
    for fingerprint in library.fingerprints():
        try:
            with closing(open_store(settings.choosing(fingerprint.embedder))) as store:
                report.points += leave_store(library, store, str(fingerprint))
        except VidrecError as exc:
            report.behind.append(str(exc))
