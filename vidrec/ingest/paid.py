"""What stands before a paid embedder: checks, repairs, a cap on minutes, URLs to read from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from vidrec.config import Settings
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.errors import MediaError, TransientError
from vidrec.files import is_file
from vidrec.library import Library
from vidrec.library.jobs import CatalogJobs, upload_of
from vidrec.storage.s3 import S3Storage
from vidrec.types import Video

# A presigned URL must outlive the provider's queue and its download.
URL_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run would be charged for: new jobs and their minutes of footage."""

    jobs: int = 0
    minutes: float = 0.0


@dataclass(slots=True)
class Gate:
    """Lets videos through to a paid embedder, as long as they fit and the cap allows."""

    settings: Settings
    library: Library
    embedder: Embedder
    max_minutes: float | None = None
    repair: bool = False
    force: bool = False
    repaired: set[str] = field(default_factory=set)
    given: dict[str, str | None] = field(default_factory=dict)  # this run's URLs, by video id
    bill: Bill = Bill()

    def context(self, cancelled: Callable[[], bool] = lambda: False) -> EmbedContext:
        """What an embedder is handed: the job log, and URLs of uploaded videos."""
        return EmbedContext(
            clip_seconds=self.settings.embedder.clip_seconds,
            workers=self.settings.embedder.workers,
            jobs=CatalogJobs(self.library),
            url_for=_Urls(self, S3Storage(self.settings.s3, self.settings.cache)),
            cancelled=cancelled,
            force=self.force,
        )

    def admit(self, video: Video, *, write: bool = True) -> Video | None:
        """Return the video as it may be sent, or None where the cap on minutes forbids it.

        With ``write`` off nothing is repaired: what would be is let through.

        Raises:
            MediaError: the file is no video.
            TransientError: the provider would refuse it; the message names value and limit.
        """
        video = self._probed(video)
        assert video.info is not None
        problem = self.embedder.refusal(video.info, video.size)
        if problem is not None and not self.repair:
            raise TransientError(problem)
        minutes = self.embedder.billed_minutes(video)
        paying = self.embedder.pays_for(video, self.context())
        total = self.bill.minutes + minutes
        if paying and self.max_minutes is not None and total > self.max_minutes:
            return None
        if problem is not None and write:
            video = self._copy(video)
        if paying:
            self.bill = Bill(self.bill.jobs + 1, total)
        return video

    def _probed(self, video: Video) -> Video:
        if video.info is not None:
            return video
        if video.path is None:
            raise MediaError("its length and size are not known, and it is not on this machine")
        from vidrec.media.probe import probe

        return replace(video, info=probe(video.path))

    def _copy(self, video: Video) -> Video:
        """Make the copy that fits, once; it is kept in the cache under the video's id."""
        from vidrec.media.repair import repair

        assert video.path is not None and video.info is not None
        limits = self.embedder.limits
        problem = None if limits else "its embedder knows no limits"
        target = self.settings.cache / "repaired" / f"{video.id}.mp4"
        if limits is not None and not is_file(target):
            repair(video.path, target, video.info, limits)
        if limits is not None:
            from vidrec.media.probe import probe

            problem = self.embedder.refusal(probe(target), target.stat().st_size)
        if problem is not None:
            raise TransientError(f"cannot be repaired: {problem}")
        self.repaired.add(video.id)
        return replace(video, path=target)


@dataclass(slots=True)
class _Urls:
    """Gives the URL that a provider may read a video from, if there is one."""

    gate: Gate
    storage: S3Storage

    def __call__(self, video: Video) -> str | None:
        if video.id in self.gate.repaired:
            return None  # what was uploaded is not what fits
        upload = upload_of(self.gate.library, video.id)
        # What is written down of a signed URL opens nothing: the one that was given does.
        url = upload.url if upload else self.gate.given.get(video.id, video.url)
        if url is None or not url.startswith("s3://"):
            return url
        return self.storage.presign(url, URL_SECONDS)
