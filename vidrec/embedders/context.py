"""What a run hands to an embedder, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from vidrec.errors import EmbedderError, MediaError, VidrecError
from vidrec.records import dataclass
from vidrec.types import Embedding, Video, VideoInfo

if TYPE_CHECKING:
    from pathlib import Path

    from vidrec.library.jobs import CatalogJobs


@dataclass(frozen=True, slots=True)
class EmbedContext:
    """What a run hands to an embedder.

    Attributes:
        clip_seconds: the wished length of a clip.
        workers: how many videos may be in work at once.
        jobs: where paid jobs are written down before anything depends on them, if any can be.
        url_for: a URL from which the provider can fetch the video, or None.
        sent_sec: how long what is sent of a video is; a copy that fits may be longer.
        probed: called with what a video is, where that shows while it is embedded.
        progress: called with a video and the share of it that is done, 0 to 1.
        cancelled: true once the run should end; finished videos are still yielded.
        force: finished jobs do not count; one that still runs does.
    """

    clip_seconds: float = 10.0
    workers: int = 1
    jobs: CatalogJobs | None = None
    url_for: Callable[[Video], str | None] = lambda video: None
    sent_sec: Callable[[Video], float | None] = lambda video: video.duration_sec
    probed: Callable[[VideoInfo], None] = lambda info: None
    progress: Callable[[Video, float], None] = lambda video, share: None
    cancelled: Callable[[], bool] = lambda: False
    force: bool = False

    @property
    def job_log(self) -> CatalogJobs:
        """Return where jobs are written down.

        Raises:
            EmbedderError: nowhere.
        """
        if self.jobs is None:
            raise EmbedderError("this run keeps no job log")
        return self.jobs


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


# Embeds one video; None where the run was cancelled first.
EmbedOne: TypeAlias = Callable[[Video], "Embedded | None"]


def require_path(video: Video) -> Path:
    """Return where the video lies on this machine.

    Raises:
        MediaError: it lies nowhere.
    """
    if video.path is None:
        raise MediaError(f"{video.filename}: its file is not on this machine")
    return video.path
