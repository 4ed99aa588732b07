"""A complete embedder of a function from frames to vectors.

What is left to a subclass is its name and two functions. Sampling, clips, whole videos, pictures as
queries, settings and the fingerprint are here, so that an embedder of CLIP's kind is a dozen lines:

    class Mine(FrameEmbedder):
        name, model, dim = "mine", "vit-b-32", 512
        modalities = frozenset({"video", "image", "text"})

        def _encode_frames(self, frames):      # (t, 224, 224, 3) RGB bytes -> (t, 512)
            return my_image_tower(frames)

        def _encode_texts(self, texts):        # -> (len(texts), 512)
            return my_text_tower(texts)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, SecretStr

from vidrec.batches import ahead
from vidrec.config import Settings
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.embedders.context import require_path
from vidrec.sections import Section
from vidrec.types import Clip, Fingerprint, Modality, Scalar, Video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.media.picture import Fit
    from vidrec.types import Frames, Vector

    Frame = NDArray[np.uint8]  # (h, w, 3)


class FrameSection(Section):
    """Settings that every embedder of frames has; derive from it for more."""

    frames: int = Field(default=8, ge=1, le=64)


class FrameEmbedder(Embedder):
    """Looks at a few frames of each clip.

    Attributes:
        model, dim: what the network is, and the length of its vectors.
        size, fit: how frames are handed over: (h, w), and ``squash``, ``pad`` or ``crop`` where
            their shape is another.
        lag_sec: clips come with what follows half of their frames so much later; 0 for none.
        section: all of its settings that are no secret change the fingerprint.
    """

    modalities: ClassVar[frozenset[Modality]] = frozenset({"video", "image"})
    section: ClassVar[type[Section] | None] = FrameSection
    probes = True
    model: str
    dim: int = 0
    size: tuple[int, int] = (224, 224)
    fit: Fit = "squash"
    lag_sec: float = 0.0

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._first_call = Lock()
        self._counting = Lock()
        self._at_work = 0
        self._called = False

    @property
    def fingerprint(self) -> Fingerprint:
        options: dict[str, Scalar] = {"size": "x".join(map(str, self.size)), "fit": self.fit}
        for name, value in self.options or ():
            if not isinstance(value, SecretStr):
                plain = value is None or isinstance(value, (str, int, float))
                options[name] = value if plain else str(value)
        return Fingerprint(self.name, self.model, self.dim, options)

    @property
    def n_frames(self) -> int:
        """How many instants of a clip are looked at; the setting ``frames`` where there is one."""
        return int(getattr(self.options, "frames", FrameSection().frames))

    @abstractmethod
    def _encode_frames(self, frames: Frames) -> NDArray[np.float32]:
        """Return ``(t, dim)`` for frames ``(t, h, w, 3)``: RGB bytes of the size asked for.

        Called by several threads at once, but not before the first call has returned.
        """

    def _encode_clip(
        self, frames: Frames, counts: Sequence[int], later: Mapping[int, Frame]
    ) -> Vector:
        """Return the ``(dim,)`` vector of a clip: the mean of its frames' unit vectors.

        ``counts`` says for how many of the clip's instants each frame stands, and ``later`` holds
        what follows on some of them, by their place.
        """
        import numpy as np

        from vidrec.embedders.outcomes import sound

        vectors = sound(self._encode_frames(frames), (len(frames), self.dim))
        return np.average(vectors, axis=0, weights=counts).astype(np.float32)

    def _clips(
        self, video: Video, context: EmbedContext, warnings: list[str]
    ) -> Iterator[tuple[Clip, Vector]]:
        from vidrec.media.sampling import ClipFrames, open_film
        from vidrec.media.source import load_decoder
        from vidrec.media.stretches import in_order, in_stretches

        def encoded(sample: ClipFrames) -> Vector:
            return self._vector(sample.frames, sample.counts, sample.later)

        def at_once() -> int:
            return max(1, context.workers // self._at_work)

        load_decoder()
        found = False
        with self._working(), open_film(
            require_path(video), context.clip_seconds, self.n_frames, self.size,
            fit=self.fit, lag_sec=self.lag_sec, info=video.info,
            tell=None if video.info else context.probed, warnings=warnings,
            cancelled=context.cancelled,
        ) as film:  # fmt: skip
            with ExitStack() as threads:  # that end before the file is closed
                if context.workers > 1 and film.can_be_parted:
                    clips = threads.enter_context(closing(in_stretches(film, encoded, at_once)))
                else:
                    samples = threads.enter_context(closing(ahead(film.sample())))
                    clips = in_order(samples, encoded)
                for clip in clips:
                    found = True
                    yield clip
            film.conclude(found)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Count the videos that are in work: idle workers help with a long one."""
        with self._counting:
            self._at_work += 1
        try:
            yield
        finally:
            with self._counting:
                self._at_work -= 1

    def _encode_image(self, path: Path) -> Vector:
        from vidrec.media.image import read_image

        return self._vector(read_image(path, self.size, fit=self.fit)[None], (1,), {})

    def _vector(self, frames: Frames, counts: Sequence[int], later: Mapping[int, Frame]) -> Vector:
        if self._called:
            return self._encode_clip(frames, counts, later)
        with self._first_call:  # it may load a model, which none but one thread should
            vector = self._encode_clip(frames, counts, later)
            self._called = True
            return vector
