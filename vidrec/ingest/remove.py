"""Remove: videos leave the library and the store; the files themselves stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidrec.config import Settings
from vidrec.errors import UsageError
from vidrec.files import expanded
from vidrec.library import Library
from vidrec.stores import open_store
from vidrec.types import Video


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """What left: videos, and points of the store."""

    videos: Sequence[Video]
    points: int


def remove(settings: Settings, names: Sequence[str]) -> RemoveReport:
    """Forget videos named by ``id:…``, by path or, where it is one video's alone, by file name.

    Raises:
        UsageError: a name fits no video or several; nothing is removed then.
    """
    with Library(settings.library, create=False) as library:
        known = _Names(library)
        videos = {video.id: video for video in map(known.find, names)}
        with library.transaction():
            pass  # it can be written: what leaves the store must leave the library too
        points = _leave_stores(settings, library, videos)
        for video_id in videos:
            library.remove_video(video_id)
    return RemoveReport(list(videos.values()), points)


class _Names:
    """What the library's videos are known by, looked through once."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.places: dict[str, list[Video]] = {}
        self.filenames: dict[str, list[Video]] = {}
        for video in library.videos():
            for place in (video.path, video.url):
                if place is not None:
                    self.places.setdefault(str(place), []).append(video)
            self.filenames.setdefault(video.filename, []).append(video)

    def find(self, name: str) -> Video:
        """Return the one video that a name means.

        Raises:
            UsageError: it means none or several.
        """
        if name.startswith("id:"):
            return self.library.find_video(name.removeprefix("id:"))
        path = str(expanded(name).absolute())
        found = self.places.get(path) or self.places.get(name) or self.filenames.get(name, [])
        if len(found) != 1:
            problem = "is the name of several videos" if found else "is no video of the library"
            raise UsageError(f"{name} {problem}: `vidrec list` shows their ids")
        return found[0]


def _leave_stores(settings: Settings, library: Library, videos: dict[str, Video]) -> int:
    """Delete the videos' points from the settings' store, for every embedder."""
    removed = 0
    for fingerprint in library.fingerprints():
        ids = [
            embedding.point_id
            for video_id in videos
            for embedding in library.video_embeddings(video_id, str(fingerprint))
        ]
        chosen = settings.model_copy(deep=True)
        chosen.embedder.name = fingerprint.embedder
        store = open_store(chosen)
        try:
            info = store.info()
            if ids and info is not None and info.fingerprint == str(fingerprint):
                removed += store.delete(ids)
        finally:
            store.close()
    return removed
