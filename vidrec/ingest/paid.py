"""What stands before a paid embedder: checks, repairs, a cap on minutes, URLs to read from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from vidrec.config import Settings
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.errors import MediaError, StorageError, TransientError
from vidrec.files import is_file
from vidrec.library import Library
from vidrec.library.jobs import Allowance, CatalogJobs, month_minutes, upload_of
from vidrec.media.probe import probe, whole_seconds
from vidrec.storage.s3 import S3Storage, parse_s3_url
from vidrec.types import Video

# A presigned URL must outlive the provider's queue and its download.
URL_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Expected:
    """What a dry run expects to be asked for; of ``unknown`` videos only the least is known."""

    jobs: int = 0
    minutes: float = 0.0
    unknown: int = 0


@dataclass(slots=True)
class Gate:
    """Lets videos through to a paid embedder, as long as they fit and the caps allow.

    What counts for a cap is decided where a job is asked for, in the catalog; here it is foreseen,
    so that nothing is sent or repaired in vain, and the same videos are let through in each run.
    """

    settings: Settings
    library: Library
    embedder: Embedder
    max_minutes: float | None = None  # of this run
    ask_minutes: float | None = None  # in their place, where they are not given
    repair: bool = False
    force: bool = False
    repaired: set[str] = field(default_factory=set)
    given: dict[str, str | None] = field(default_factory=dict)  # this run's URLs, by video id
    told_of_end: bool = False
    expected: Expected = Expected()
    allowance: Allowance = field(init=False)
    jobs: CatalogJobs = field(init=False)
    storage: S3Storage = field(init=False)
    _seconds: dict[str, float] = field(default_factory=dict)  # of what is sent, by video id
    _let_in: dict[str, float] = field(default_factory=dict)  # minutes, until the outcome is known

    def __post_init__(self) -> None:
        run = self.ask_minutes if self.max_minutes is None else self.max_minutes
        month = self.settings.paid.month_minutes
        self.allowance = Allowance(run_minutes=run, month_minutes=month)
        self.jobs = CatalogJobs(self.library, self.allowance)
        self.storage = S3Storage(self.settings.s3, self.settings.cache)

    def context(self, cancelled: Callable[[], bool] = lambda: False) -> EmbedContext:
        """What an embedder is handed: the job log, and URLs of uploaded videos."""
        return EmbedContext(
            clip_seconds=self.settings.embedder.clip_seconds,
            workers=self.settings.embedder.workers,
            jobs=self.jobs,
            url_for=self._url_of,
            sent_sec=lambda video: self._seconds.get(video.id, video.duration_sec),
            cancelled=cancelled,
            force=self.force,
        )

    def admit(self, video: Video, *, write: bool = True) -> Video | None:
        """Return the video as it may be sent, or None where a cap on minutes forbids it.

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
        paying = self.embedder.pays_for(video, self.context())
        minutes = self._minutes(video, repaired=problem is not None)
        if paying and not self._may_pay(video, minutes):
            return None
        if problem is not None and write:
            video = self._copy(video)
        if paying:
            self._let_in[video.id] = minutes
            self.expected = replace(
                self.expected, jobs=self.expected.jobs + 1, minutes=self.expected.minutes + minutes
            )
        return video

    @property
    def limit(self) -> str:
        """The name of the setting or option that allows least."""
        run, month = self.allowance.run_minutes, self.allowance.month_minutes
        left = None if month is None else month - month_minutes(self.library, time.time())
        if left is not None and (run is None or left < run - self.jobs.bill().minutes):
            return "[paid] month_minutes"
        return "--max-minutes" if self.max_minutes is not None else "[paid] ask_minutes"

    def would_pay(self, video: Video) -> float | None:
        """Return the minutes that a video that was let in counts for; None if they are free."""
        return self._let_in.get(video.id)

    def expect_unknown(self) -> None:
        """Count a video of which a dry run knows no length: it has the least that is billed."""
        old = self.expected
        self.expected = Expected(
            old.jobs + 1, old.minutes + self.embedder.billed_minutes(0.0), old.unknown + 1
        )

    def leave(self, video: Video) -> None:
        """What a video was let in for is over; what it cost is in the catalog."""
        self._let_in.pop(video.id, None)

    def _minutes(self, video: Video, *, repaired: bool) -> float:
        """Return the minutes that a video will be billed by: those of what is sent."""
        assert video.info is not None
        seconds = video.info.duration_sec
        if repaired and self.embedder.limits is not None:
            from vidrec.media.repair import copy_seconds

            seconds = copy_seconds(video.info, self.embedder.limits)
        elif video.path is not None and is_file(video.path):
            seconds = max(seconds, whole_seconds(video.path))
        self._seconds[video.id] = seconds
        return self.embedder.billed_minutes(seconds)

    def _may_pay(self, video: Video, minutes: float) -> bool:
        room = self.jobs.room(time.time())
        # To look for a lost job costs nothing; where it was not made, its minutes are free again.
        if room is None or self.jobs.is_lost(video.id):
            return True
        coming = {
            name: some
            for name, some in [*self._let_in.items()]
            if not (self.jobs.has_asked(name) or self.jobs.is_lost(name))
        }
        coming[video.id] = minutes
        return sum(coming.values()) <= room + 1e-9

    def _probed(self, video: Video) -> Video:
        if video.info is not None:
            return video
        if video.path is None:
            raise MediaError("its length and size are not known, and it is not on this machine")
        return replace(video, info=probe(video.path))

    def _copy(self, video: Video) -> Video:
        """Make the copy that fits, once; it is kept in the cache under the video's id."""
        from vidrec.media.repair import repair

        assert video.path is not None and video.info is not None
        limits = self.embedder.limits
        if limits is None:
            raise TransientError("cannot be repaired: its embedder knows no limits")
        target = self.settings.cache / "repaired" / f"{video.id}.mp4"
        if not is_file(target):
            repair(video.path, target, video.info, limits)
        info = probe(target)
        self._seconds[video.id] = max(info.duration_sec, whole_seconds(target))
        if problem := self.embedder.refusal(info, target.stat().st_size):
            raise TransientError(f"cannot be repaired: {problem}")
        self.repaired.add(video.id)
        return replace(video, path=target)

    def _url_of(self, video: Video) -> str | None:
        """Return the URL that a provider may read a video from, if there is one.

        Raises:
            TransientError: what lies there cannot be read now.
        """
        if video.id in self.repaired:
            return None  # what was uploaded is not what fits
        upload = upload_of(self.library, video.id)
        # What is written down of a signed URL opens nothing: the one that was given does.
        url = upload.url if upload else self.given.get(video.id, video.url)
        if url is None or not url.startswith("s3://"):
            return url
        # What is not there would still be paid for.
        try:
            if self.storage.find(*parse_s3_url(url)) is None:
                raise TransientError(
                    f"{url} is not there, or may not be read: run `vidrec upload` again"
                )
            if not self.told_of_end and (early := self.storage.shortened(URL_SECONDS)):
                self.told_of_end = True  # the service may come too late
                self.embedder.say(early)
            return self.storage.presign(url, URL_SECONDS)
        except StorageError as exc:
            raise TransientError(str(exc)) from exc
