"""The default embedder: videos, images and texts in one space, offline and untrained.

The recipe is in ``vidrec.models.conse``; here are the frames it gets to see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from vidrec.calibration import Calibration
from vidrec.config import Settings
from vidrec.embedders.base import EmbedContext, Embedded, Embedder
from vidrec.embedders.local import ahead, embed_in_threads, require_path
from vidrec.models.conse import DIM, Conse, recipe_id
from vidrec.models.efficientnet_lite import FRAME_SIZE, FrameClassifier
from vidrec.types import Clip, Fingerprint, Modality, Scalar, Video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.types import Vector

SIZE = (FRAME_SIZE, FRAME_SIZE)
# From 64 captioned web videos of 8 categories: what fits a query is what it is about and whatever
# has that category. Pictures were the videos' middle frames, their own videos left out.
CALIBRATIONS: dict[Modality, Calibration] = {
    "text": Calibration(9.17, -2.10),
    "video": Calibration(3.19, -1.88),
    "image": Calibration(3.17, -1.83),
}


class ConseEmbedder(Embedder):
    """ImageNet labels as the bridge between pictures and words."""

    name = "conse"
    modalities: ClassVar[frozenset[Modality]] = frozenset({"video", "text", "image"})

    def __init__(self, settings: Settings) -> None:
        """Remember what is needed to load the models later."""
        self._n_frames = settings.conse.frames
        self._classifier = FrameClassifier(settings.cache)
        self._recipe = Conse(settings.cache)

    @property
    def fingerprint(self) -> Fingerprint:
        options: dict[str, Scalar] = {"frames": self._n_frames, "recipe": recipe_id()}
        return Fingerprint(self.name, "efficientnet-lite0+minilm-l6", DIM, options)

    def calibration(self, kind: Modality) -> Calibration | None:
        return CALIBRATIONS.get(kind)

    def embed_videos(self, videos: Iterable[Video], context: EmbedContext) -> Iterator[Embedded]:
        self._classifier.load()
        self._recipe.load()

        def clip_vectors(video: Video, warnings: list[str]) -> Iterator[tuple[Clip, Vector]]:
            return self._clip_vectors(video, context.clip_seconds, warnings)

        return embed_in_threads(videos, context, str(self.fingerprint), clip_vectors)

    def _clip_vectors(
        self, video: Video, clip_sec: float, warnings: list[str]
    ) -> Iterator[tuple[Clip, Vector]]:
        from vidrec.media.sampling import iter_clip_frames

        samples = iter_clip_frames(
            require_path(video),
            clip_sec,
            self._n_frames,
            SIZE,
            info=video.info,
            warnings=warnings,
        )
        for sample in ahead(samples):
            yield sample.clip, self._vector(sample.frames, sample.counts)

    def _vector(self, frames: NDArray[np.uint8], counts: Sequence[int] | None = None) -> Vector:
        return self._recipe.frames_to_vector(*self._classifier(frames), counts)

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._recipe.texts_to_vectors(texts)

    def _encode_image(self, path: Path) -> Vector:
        from vidrec.media.image import read_image

        return self._vector(read_image(path, SIZE, fit="squash")[None])
