"""What every embedder is: videos, images or texts in, unit vectors out.

An embedder is cheap to construct (its fingerprint is known without loading a model) and loads
what it needs on first use. Local and cloud embedders share one call: ``run`` gives a function that
takes one video and returns its outcome. What an embedder needs from the rest of vidrec is handed
to it in an ``EmbedContext``. One that looks at frames derives from ``frames.FrameEmbedder``.
What only some have to say (a price, a calibration, words for a vector) is in ``traits``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vidrec.embedders.context import EmbedContext, Embedded, EmbedOne
from vidrec.embedders.outcomes import in_one_line, outcome_of, outcome_of_clips, sound
from vidrec.embedders.traits import Traits
from vidrec.errors import CapabilityError
from vidrec.types import Clip, Fingerprint, Modality, Video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.config import Settings
    from vidrec.sections import Section
    from vidrec.types import Vector

__all__ = ["EmbedContext", "EmbedOne", "Embedded", "Embedder"]


class Embedder(Traits, ABC):
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

    def __init__(self, settings: Settings) -> None:
        """Check the embedder's own settings.

        Raises:
            ConfigError: there is one that ``section`` does not know or take.
        """
        self.options: Any = self.section and settings.section_of(self.name, self.section)

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

    @contextmanager
    def run(self, context: EmbedContext) -> Iterator[EmbedOne]:
        """Make ready, and give the function that embeds one video.

        It may be called by several threads at once. What it returns is the video's outcome, a
        failure too, or None where the run was cancelled first; it raises only what ends the run.

        Raises:
            EmbedderError: what every video needs is missing.
        """
        with ExitStack() as until_the_end:
            with in_one_line(self.name):
                embed_one = until_the_end.enter_context(self._run(context))
            yield lambda video: outcome_of(self, embed_one, video)

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

    @contextmanager
    def _run(self, context: EmbedContext) -> Iterator[EmbedOne]:
        """Make ready and give the function that embeds one video, unchecked."""
        self.load()
        yield lambda video: outcome_of_clips(self, video, context)

    def _clips(
        self, video: Video, context: EmbedContext, warnings: list[str]
    ) -> Iterable[tuple[Clip, Vector]]:
        """Yield a video's clips in order, each with its vector; may add one-line warnings."""
        raise NotImplementedError

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(len(texts), dim)`` unit vectors.

        Raises:
            CapabilityError: this embedder does not embed text.
        """
        import numpy as np

        self._require("text", "query with a video of the library instead")
        with in_one_line(self.name):
            found = self._encode_texts(texts) if texts else np.empty((0, self.fingerprint.dim))
            return sound(found, (len(texts), self.fingerprint.dim))

    def embed_image(self, path: Path) -> Vector:
        """Return the ``(dim,)`` unit vector of an image file.

        Raises:
            CapabilityError: this embedder does not embed images.
            MediaError: the file is no readable image.
        """
        self._require("image", "use --embedder conse, or query with a video")
        with in_one_line(self.name):
            vector: Vector = sound([self._encode_image(path)], (1, self.fingerprint.dim))[0]
            return vector

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(len(texts), dim)``."""
        raise NotImplementedError

    def _encode_image(self, path: Path) -> Vector:
        """Return ``(dim,)`` for an image file."""
        raise NotImplementedError

    def _require(self, modality: Modality, instead: str) -> None:
        if modality not in self.modalities:
            raise CapabilityError(f"{self.name} cannot embed {modality}: {instead}")
