"""What every embedder is: videos, images or texts in, unit vectors out.

An embedder is cheap to construct (its fingerprint is known without loading a model) and loads
what it needs on first use. Local and cloud embedders share one call, ``embed_videos``: it takes
an iterable of videos and yields each one's outcome as it is done, in any order. What an embedder
needs from the rest of vidrec is handed to it in an ``EmbedContext``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from vidrec.errors import CapabilityError, EmbedderError, VidrecError
from vidrec.types import Embedding, Fingerprint, Job, Modality, Video, VideoInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.calibration import Calibration
    from vidrec.media.repair import Limits
    from vidrec.types import Vector


class JobLog(Protocol):
    """Where jobs are written down before anything depends on them (the catalog)."""

    def get(self, video_id: str, fingerprint: str) -> Job | None: ...

    def put(self, job: Job) -> None: ...

    def close(self, video_id: str, fingerprint: str) -> None: ...

    def knows(self, job_id: str) -> bool: ...


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


@dataclass(frozen=True, slots=True)
class EmbedContext:
    """What a run hands to an embedder.

    Attributes:
        clip_seconds: the wished length of a clip.
        workers: how many videos may be in work at once.
        jobs: the job log; an id is stored there before the first poll.
        url_for: a URL from which the provider can fetch the video, or None.
        progress: called with a video and the share of it that is done, 0 to 1.
        cancelled: true once the run should end; finished videos are still yielded.
        force: finished jobs do not count; one that still runs does.
    """

    clip_seconds: float = 10.0
    workers: int = 1
    jobs: JobLog = field(default_factory=NoJobs)
    url_for: Callable[[Video], str | None] = lambda video: None
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


class Embedder(ABC):
    """Turns videos, texts and images into unit vectors of one space.

    Subclasses set ``name`` and ``modalities`` and implement ``fingerprint``, ``embed_videos``
    and, where the modality is theirs, ``_encode_texts`` and ``_encode_image``. Capability
    checks and normalisation are done here, once.
    """

    name: ClassVar[str]
    modalities: ClassVar[frozenset[Modality]]
    # True where the embedder cuts clips by rules of its own (part of its fingerprint), so that
    # another wished clip length gives no reason to embed again.
    own_clips: ClassVar[bool] = False
    # True where a video costs money: its facts are checked and counted before it is sent.
    paid: ClassVar[bool] = False

    @property
    @abstractmethod
    def fingerprint(self) -> Fingerprint:
        """What the vectors depend on; known without loading a model."""

    @property
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """All that one video's embeddings may bear; ``fingerprint`` is among them."""
        return (self.fingerprint,)

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self.fingerprint.dim

    @abstractmethod
    def embed_videos(self, videos: Iterable[Video], context: EmbedContext) -> Iterator[Embedded]:
        """Yield each video's outcome as it is done, in any order.

        A video's failure is its outcome, never an exception; exceptions end the run
        (``QuotaError``, a missing model).
        """

    def refusal(self, info: VideoInfo, size: int) -> str | None:
        """Say why a video of these facts and bytes would be refused, or None."""
        return None

    @property
    def limits(self) -> Limits | None:
        """What a copy must fit to be taken, where ``refusal`` may refuse."""
        return None

    def billed_minutes(self, video: Video) -> float:
        """How many minutes of footage a video counts for."""
        return (video.duration_sec or 0.0) / 60

    def price(self, minutes: float) -> float | None:
        """What so much footage costs in US dollars; None where that is not known."""
        return None

    def pays_for(self, video: Video, context: EmbedContext) -> bool:
        """Whether embedding a video now would be paid for (again)."""
        return False

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(len(texts), dim)`` unit vectors.

        Raises:
            CapabilityError: this embedder does not embed text.
        """
        self._require("text", "query with a video of the library instead")
        return self._checked(self._encode_texts(texts), len(texts))

    def embed_text(self, text: str) -> Vector:
        """Return the ``(dim,)`` unit vector of one text."""
        vector: Vector = self.embed_texts([text])[0]
        return vector

    def embed_image(self, path: Path) -> Vector:
        """Return the ``(dim,)`` unit vector of an image file.

        Raises:
            CapabilityError: this embedder does not embed images.
            MediaError: the file is no readable image.
        """
        self._require("image", "use --embedder conse, or query with a video")
        vector: Vector = self._checked(self._encode_image(path)[None], 1)[0]
        return vector

    def calibration(self, kind: Modality) -> Calibration | None:
        """What scores of clips mean for a query of this kind; None where it was not measured."""
        return None

    def understood(self, texts: Sequence[str]) -> list[float]:
        """Return the probability, 0 to 1, that the embedder knows what each text is about."""
        return [1.0] * len(texts)

    def close(self) -> None:
        """Release what the embedder holds."""
        return None

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise NotImplementedError

    def _encode_image(self, path: Path) -> Vector:
        raise NotImplementedError

    def _require(self, modality: Modality, instead: str) -> None:
        if modality not in self.modalities:
            raise CapabilityError(f"{self.name} cannot embed {modality}: {instead}")

    def _checked(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if vectors.shape != (count, self.dim):
            raise EmbedderError(
                f"{self.name} returned vectors of shape {vectors.shape}, not {(count, self.dim)}"
            )
        return unit(vectors)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row of ``(n, dim)`` or a ``(dim,)`` vector to unit length, as float32.

    Raises:
        EmbedderError: a vector is zero or holds a number that is not finite.
    """
    import numpy as np

    wide = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise EmbedderError("a vector is zero or not finite, so it has no direction")
    return np.ascontiguousarray(wide / norms, dtype=np.float32)


def whole_video(clips: Sequence[Embedding]) -> Embedding:
    """Return the embedding of a whole video: the unit mean of its clips', weighted equally."""
    import numpy as np

    mean = np.mean([clip.vector for clip in clips], axis=0)
    first = clips[0]
    return Embedding(
        first.video_id,
        first.fingerprint,
        "video",
        min(clip.start_sec for clip in clips),
        max(clip.end_sec for clip in clips),
        unit(mean),
    )
