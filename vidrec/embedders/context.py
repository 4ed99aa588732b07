"""What a run hands to an embedder, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Protocol

from vidrec.errors import EmbedderError, VidrecError
from vidrec.records import dataclass
from vidrec.types import Copy, Embedding, Job, Video, VideoInfo


class JobLog(Protocol):
    """Where jobs are written down before anything depends on them (the catalog).

    A job is claimed before anything of it is asked for, and reserved before it is paid for.
    """

    def get(self, video_id: str, fingerprint: str) -> Job | None: ...

    def put(self, job: Job) -> None: ...

    def close(self, video_id: str, fingerprint: str) -> None: ...

    def knows(self, job_id: str) -> bool: ...

    def rivals(self, job: Job) -> bool: ...

    def claim(self, video_id: str, fingerprint: str) -> str | None: ...

    def release(self, video_id: str, fingerprint: str) -> None: ...

    def reserve(self, job: Job) -> None: ...

    def unmade(self, job: Job) -> None: ...

    def add_copy(self, copy: Copy) -> None: ...

    def forget_copy(self, name: str) -> None: ...

    def copies(self) -> list[Copy]: ...


class NoJobs:
    """A job log for embedders that have no jobs."""

    def get(self, video_id: str, fingerprint: str) -> Job | None:
        return None

    def put(self, job: Job) -> None:
        raise EmbedderError("this run keeps no job log")

    def close(self, video_id: str, fingerprint: str) -> None:
        return None

    def knows(self, job_id: str) -> bool:
        return False

    def rivals(self, job: Job) -> bool:
        return False

    def claim(self, video_id: str, fingerprint: str) -> str | None:
        return None

    def release(self, video_id: str, fingerprint: str) -> None:
        return None

    def reserve(self, job: Job) -> None:
        raise EmbedderError("this run keeps no job log")

    def unmade(self, job: Job) -> None:
        return None

    def add_copy(self, copy: Copy) -> None:
        raise EmbedderError("this run keeps no job log")

    def forget_copy(self, name: str) -> None:
        return None

    def copies(self) -> list[Copy]:
        return []


@dataclass(frozen=True, slots=True)
class EmbedContext:
    """What a run hands to an embedder.

    Attributes:
        clip_seconds: the wished length of a clip.
        workers: how many videos may be in work at once.
        jobs: the job log; an id is stored there before the first poll.
        url_for: a URL from which the provider can fetch the video, or None.
        sent_sec: how long what is sent of a video is; a copy that fits may be longer.
        probed: called with what a video is, where that shows while it is embedded.
        progress: called with a video and the share of it that is done, 0 to 1.
        cancelled: true once the run should end; finished videos are still yielded.
        force: finished jobs do not count; one that still runs does.
    """

    clip_seconds: float = 10.0
    workers: int = 1
    jobs: JobLog = field(default_factory=NoJobs)
    url_for: Callable[[Video], str | None] = lambda video: None
    sent_sec: Callable[[Video], float | None] = lambda video: video.duration_sec
    probed: Callable[[VideoInfo], None] = lambda info: None
    progress: Callable[[Video, float], None] = lambda video, share: None
    cancelled: Callable[[], bool] = lambda: False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Embedded:
    """The outcome of one video: its embeddings, or the error that ended it.

    ``embeddings`` holds every clip and one of scope ``video``. ``warnings`` are one-line
    remarks ("the file is cut off after 12.4 s").
    """

    video: Video
    embeddings: Sequence[Embedding] = ()
    warnings: Sequence[str] = ()
    error: VidrecError | None = None
