"""What every embedder is: videos, images or texts in, unit vectors out.

An embedder is cheap to construct (its fingerprint is known without loading a model) and loads
what it needs on first use. Local and cloud embedders share one call: ``run`` gives a function that
takes one video and returns its outcome. What an embedder needs from the rest of vidrec is handed
to it in an ``EmbedContext``. One that looks at frames derives from ``frames.FrameEmbedder``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from vidrec.embedders.checks import checked, sound
from vidrec.embedders.context import EmbedContext, Embedded
from vidrec.errors import (
    Cancelled,
    CapabilityError,
    EmbedderError,
    UnexpectedError,
    VidrecError,
    failure_of,
)
from vidrec.types import Clip, Embedding, Fingerprint, Modality, Video, VideoInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.calibration import Calibration
    from vidrec.config import Settings
    from vidrec.media.repair import Limits
    from vidrec.sections import Section
    from vidrec.types import Vector

__all__ = ["EmbedContext", "EmbedOne", "Embedded", "Embedder"]

EmbedOne: TypeAlias = "Callable[[Video], Embedded | None]"


class Embedder(ABC):
    """Turns videos, texts and images into unit vectors of one space.

    A subclass sets ``name`` and ``modalities`` and implements ``fingerprint`` and, for what it
    takes, ``_clips`` (a video's clips with their vectors), ``_encode_texts`` and ``_encode_image``.
    Vectors may have any length: that each is of the right size, finite and a unit vector is seen
    to here, once for all embedders, and whatever goes wrong with one video is its outcome.

    ``section`` is a pydantic model of the embedder's own settings: the table ``[name]`` of the
    config file and ``VIDREC_NAME_…``, checked and kept as ``options``.
    """

    name: ClassVar[str]
    modalities: ClassVar[frozenset[Modality]]
    section: ClassVar[type[Section] | None] = None
    # True where the embedder cuts clips by rules of its own (part of its fingerprint), so that
    # another wished clip length gives no reason to embed again.
    own_clips: ClassVar[bool] = False
    # True where embedding a video also tells what it is (``context.probed``), so that it need not
    # be opened once more to find out.
    probes: ClassVar[bool] = False
    # True where a video costs money: its facts are checked and counted before it is sent.
    paid: ClassVar[bool] = False
    # Two videos of one length whose whole vectors have this cosine are copies of each other.
    copies_from: ClassVar[float] = 0.999
    # What stretches (start, end) of a vector are about, where that can be said; then a score, too,
    # can be told as made of them. Together they are the whole vector.
    aspects: ClassVar[Mapping[str, tuple[int, int]]] = {}
    # Fields that a whole video's vector tells by itself, which conditions may ask for, and the
    # words that each may hold; none for a number.
    fields: ClassVar[Mapping[str, Sequence[str]]] = {}

    def __init__(self, settings: Settings) -> None:
        """Check the embedder's own settings.

        Raises:
            ConfigError: there is one that ``section`` does not know or take.
        """
        self.options: Any = self.section and settings.section_of(self.name, self.section)

    # Told in one line what is waited for; whoever opens an embedder may set it.
    say: Callable[[str], None] = staticmethod(lambda words: None)

    @property
    @abstractmethod
    def fingerprint(self) -> Fingerprint:
        """What the vectors depend on; known without loading a model."""

    @property
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """All that one video's embeddings may bear; ``fingerprint`` is among them."""
        return (self.fingerprint,)

    @property
    def flags(self) -> str:
        """The options of the command line that name it as it is now."""
        return f"--embedder {self.name}"

    @property
    def splits(self) -> Mapping[str, str]:
        """The side (train, val, test) of each video that it was trained or tested on, by id."""
        return {}

    @property
    def searched(self) -> tuple[tuple[str, float | None], ...]:
        """The fingerprints that a query is compared with, each with its weight, if it has one."""
        return ((str(self.fingerprint), None),)

    @property
    def text_space(self) -> str:
        """What a text's vector depends on: under equal ones no text is embedded again."""
        return str(self.fingerprint)

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self.fingerprint.dim

    def load(self) -> None:
        """Load what every video needs; what is raised here ends a run before its first video."""
        return None

    def fetch(self) -> str:
        """Bring here what a run needs, from the network too; say in a few words what is here."""
        self.load()
        return "all that it needs is here"

    def gigabytes(self) -> float:
        """How much ``fetch`` may have to download; 0 where all of it was installed."""
        return 0.0

    def at_once(self, context: EmbedContext) -> int:
        """How many videos may be in work at once."""
        return context.workers

    @contextmanager
    def run(self, context: EmbedContext) -> Iterator[EmbedOne]:
        """Make ready, and give the function that embeds one video.

        It may be called by several threads at once. What it returns is the video's outcome, a
        failure too, or None where the run was cancelled first; it raises only what ends the run.

        Raises:
            EmbedderError: what every video needs is missing.
        """
        with ExitStack() as until_the_end:
            with self._in_one_line():
                embed_one = until_the_end.enter_context(self._run(context))

            def outcome_of(video: Video) -> Embedded | None:
                try:
                    outcome = embed_one(video)
                    return outcome and checked(outcome, self.fingerprints)
                except Exception as exc:
                    return Embedded(video, error=failure_of(exc))
                except SystemExit as exc:
                    reason = f"{self.name} called exit({exc.code})"
                    return Embedded(video, error=UnexpectedError(reason))

            yield outcome_of

    def embed_videos(self, videos: Iterable[Video], context: EmbedContext) -> Iterator[Embedded]:
        """Yield the outcome of one video after the other; a run of many has threads of its own.

        A video's failure is its outcome, never an exception; exceptions end the run
        (``QuotaError``, a missing model).
        """
        with self.run(context) as embed_one:
            for video in videos:
                outcome = None if context.cancelled() else embed_one(video)
                if outcome is None:
                    return
                yield outcome
                # The consumer has come back: it has stored what it was given.
                self.stored(outcome, context)

    def stored(self, outcome: Embedded, context: EmbedContext) -> None:
        """Take note that an outcome's embeddings are in the library."""
        return None

    @contextmanager
    def _run(self, context: EmbedContext) -> Iterator[EmbedOne]:
        """Make ready and give the function that embeds one video, unchecked."""
        self.load()

        def embed_one(video: Video) -> Embedded | None:
            warnings: list[str] = []
            clips: list[Embedding] = []
            fingerprint = str(self.fingerprint)
            found = [video.info] if video.info else []
            noting = replace(context, probed=found.append)
            try:
                for clip, vector in self._clips(video, noting, warnings):
                    if context.cancelled():
                        return None
                    span = (clip.start_sec, clip.end_sec)
                    clips.append(Embedding(video.id, fingerprint, "clip", *span, vector))
                    if found and found[0].duration_sec:
                        context.progress(video, min(1.0, clip.end_sec / found[0].duration_sec))
            except Cancelled:
                return None
            except Exception as exc:
                return Embedded(video, warnings=warnings, error=failure_of(exc))
            # Where a header lies about the length, the frames know better.
            if found and clips:
                info = replace(found[0], duration_sec=clips[-1].end_sec)
                video = replace(video, info=info)
            return Embedded(video, clips, warnings)

        yield embed_one

    def _clips(
        self, video: Video, context: EmbedContext, warnings: list[str]
    ) -> Iterable[tuple[Clip, Vector]]:
        """Yield a video's clips in order, each with its vector; may add one-line warnings."""
        raise NotImplementedError

    def refusal(self, info: VideoInfo, size: int) -> str | None:
        """Say why a video of these facts and bytes would be refused, or None."""
        return None

    @property
    def limits(self) -> Limits | None:
        """What a copy must fit to be taken, where ``refusal`` may refuse."""
        return None

    def billed_minutes(self, seconds: float) -> float:
        """How many minutes so many seconds of footage count for."""
        return seconds / 60

    def price(self, minutes: float) -> float | None:
        """What so much footage costs in US dollars; None where that is not known."""
        return None

    def price_of_texts(self, count: int) -> float | None:
        """What so many texts cost in US dollars; None where that is not known."""
        return None

    def pays_for(self, video: Video, context: EmbedContext) -> bool:
        """Whether embedding a video now would be paid for (again)."""
        return False

    def clean(self, context: EmbedContext) -> None:
        """Delete what earlier runs left at the provider, as far as nothing needs it any more."""
        return None

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(len(texts), dim)`` unit vectors.

        Raises:
            CapabilityError: this embedder does not embed text.
        """
        import numpy as np

        self._require("text", "query with a video of the library instead")
        with self._in_one_line():
            found = self._encode_texts(texts) if texts else np.empty((0, self.fingerprint.dim))
            return sound(found, (len(texts), self.fingerprint.dim))

    def embed_image(self, path: Path) -> Vector:
        """Return the ``(dim,)`` unit vector of an image file.

        Raises:
            CapabilityError: this embedder does not embed images.
            MediaError: the file is no readable image.
        """
        self._require("image", "use --embedder conse, or query with a video")
        with self._in_one_line():
            vector: Vector = sound([self._encode_image(path)], (1, self.fingerprint.dim))[0]
            return vector

    def calibration(self, kind: Modality) -> Calibration | None:
        """What scores of clips mean for a query of this kind; None where it was not measured."""
        return None

    def understood(self, texts: Sequence[str]) -> list[float]:
        """Return the probability, 0 to 1, that the embedder knows what each text is about."""
        return [1.0] * len(texts)

    def tell(self, vectors: NDArray[np.float32]) -> Mapping[str, Sequence[Any]]:
        """Return the values of each of ``fields``, one for each of ``(n, dim)`` vectors."""
        return {}

    def words(self, vectors: NDArray[np.float32], count: int = 5) -> list[list[tuple[str, float]]]:
        """Return the embedder's own words nearest to each of ``(n, dim)`` vectors, with cosines."""
        return [[] for _ in vectors]

    def describe(self, vector: Vector) -> str:
        """Say in a few words what a stored vector tells by itself ("dark, still"), or nothing."""
        return ""

    def phrased(self, text: str) -> str:
        """Return a text with what settings make of it: by that its vector is kept."""
        return text

    def explain_text(self, text: str) -> str:
        """Say in a few words what a text asks for beyond things ("dark 1.0"), or nothing."""
        return ""

    def close(self) -> None:
        """Release what the embedder holds."""
        return None

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(len(texts), dim)``."""
        raise NotImplementedError

    def _encode_image(self, path: Path) -> Vector:
        """Return ``(dim,)`` for an image file."""
        raise NotImplementedError

    def _require(self, modality: Modality, instead: str) -> None:
        if modality not in self.modalities:
            raise CapabilityError(f"{self.name} cannot embed {modality}: {instead}")

    @contextmanager
    def _in_one_line(self) -> Iterator[None]:
        """Whatever a plug-in raises outside any video is an error of one line."""
        try:
            yield
        except (VidrecError, ModuleNotFoundError):
            raise
        except Exception as exc:
            raise EmbedderError(f"{self.name}: {failure_of(exc)}") from exc
