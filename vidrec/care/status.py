"""Status: what the library holds, and how far the stores have followed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vidrec.conditions import Condition
from vidrec.config import Settings
from vidrec.errors import VidrecError
from vidrec.files import is_file
from vidrec.library import Failure, Library
from vidrec.library.videos import is_gone


@dataclass(frozen=True, slots=True)
class EmbedderStatus:
    """What is stored under one fingerprint; ``indexed`` counts the store's points, if any.

    ``problem`` tells why the store could not be asked.
    """

    fingerprint: str
    embedder: str
    videos: int
    embeddings: int
    indexed: int | None
    stale: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class CheckpointStatus:
    """A trained network in the library; ``default``: used where none is named."""

    name: str
    recipe: str
    classes: int
    videos: int
    default: bool


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a library; sizes in bytes, footage in seconds.

    ``tones``: of how many videos each word of tone is told, where the embedder tells any.
    """

    library: Path
    store: str
    videos: int
    missing: int
    footage_sec: float
    catalog_bytes: int
    library_bytes: int
    embedders: list[EmbedderStatus]
    checkpoints: list[CheckpointStatus]
    failures: list[Failure]
    tones: dict[str, int]


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """A video of the library, with the names of the embedders that it has vectors of."""

    video_id: str
    path: str | None
    url: str | None
    filename: str
    label: str | None
    group: str | None
    size: int
    duration_sec: float | None
    embedders: list[str]
    gone: bool


def status(settings: Settings) -> Status:
    """Describe the library.

    Raises:
        LibraryError: there is none.
    """
    with Library(settings.library, create=False) as library:
        videos = list(library.videos())
        tones = _tones(settings, library).values()
        words = Counter(word for said in tones for word in said.split(", ") if word)
        embedders = [_embedder(settings, library, str(f), f.embedder)
                     for f in library.fingerprints()]  # fmt: skip
        return Status(
            library=library.folder,
            store=settings.store.name,
            videos=len(videos),
            missing=sum(is_gone(video) for video in videos),
            footage_sec=sum(video.duration_sec or 0.0 for video in videos),
            catalog_bytes=_bytes(library.folder.glob("catalog.sqlite3*")),
            library_bytes=_bytes(library.folder.rglob("*")),
            embedders=embedders,
            checkpoints=_checkpoints(settings, embedders),
            failures=library.failures(),
            tones=dict(words.most_common()),
        )


def list_videos(settings: Settings, conditions: Sequence[Condition] = ()) -> list[ListedVideo]:
    """Return the videos that meet conditions.

    Raises:
        UsageError: a field is not known.
    """
    from vidrec.search.told import videos_where

    with Library(settings.library, create=False) as library:
        done = library.embedders_by_video()
        met = videos_where(settings, library, conditions)
        return [
            ListedVideo(
                video.id, str(video.path) if video.path else None, video.url, video.filename,
                video.label, video.group, video.size, video.duration_sec, done.get(video.id, []),
                is_gone(video),
            )
            for video in library.videos()
            if met is None or video.id in met
        ]  # fmt: skip


def tones(settings: Settings) -> dict[str, str]:
    """Return each video's tone in words ("dark, still"), by id, where the embedder tells it."""
    with Library(settings.library, create=False) as library:
        return _tones(settings, library)


def _tones(settings: Settings, library: Library) -> dict[str, str]:
    from vidrec.search.told import told_by

    told = told_by(settings, library)
    fields = told.of_videos() if told else {}
    return {video_id: ", ".join(one["tone"]) for video_id, one in fields.items() if "tone" in one}


def _embedder(
    settings: Settings, library: Library, fingerprint: str, embedder: str
) -> EmbedderStatus:
    from vidrec.stores import open_store

    indexed, stale = None, False
    info = problem = None
    try:
        with closing(open_store(settings.choosing(embedder))) as store:
            store.owner = library.id
            info = store.info()
    except VidrecError as exc:
        problem = str(exc)
    if info is not None and info.fingerprint == fingerprint:
        indexed = info.count
        stale = not library.is_followed(info.place, fingerprint, info.version)
    counts = library.count_embeddings(fingerprint)
    return EmbedderStatus(fingerprint, embedder, *counts, indexed, stale, problem)


def _checkpoints(settings: Settings, embedders: Sequence[EmbedderStatus]) -> list[CheckpointStatus]:
    from vidrec.embedders.resnet import chosen_checkpoint
    from vidrec.models.checkpoint import checkpoints, read_checkpoint

    folders = checkpoints(settings.library)
    if not folders:
        return []
    try:
        default = chosen_checkpoint(settings)[0]
        read = [(folder, read_checkpoint(folder)) for folder in folders]
    except VidrecError:  # doctor tells of what is damaged
        return []
    videos = {row.fingerprint.split(":")[1]: row.videos for row in embedders}
    return [
        CheckpointStatus(
            folder.name, found.recipe, len(found.labels), videos.get(found.named, 0),
            folder == default,
        )
        for folder, found in read
    ]  # fmt: skip


def _bytes(paths: Iterator[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size if is_file(path) else 0
        except OSError:  # it went while we looked
            continue
    return total
