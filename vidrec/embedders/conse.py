"""The default embedder: videos, images and texts in one space, offline and untrained.

The recipe is in ``vidrec.models.conse``; here are the frames it gets to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vidrec.calibration import Calibration
from vidrec.config import Settings
from vidrec.embedders.frames import FrameEmbedder
from vidrec.media.tone import LAG_SEC, measure
from vidrec.models.conse import DIM, SEEN_DIM, Conse, recipe_id
from vidrec.models.efficientnet_lite import FRAME_SIZE, FrameClassifier
from vidrec.models.text import TEXT_DIM
from vidrec.models.tone import AXES, FARTHEST, WORDS, coordinates_of, tone_words
from vidrec.sections import ConseSettings
from vidrec.types import Fingerprint, Modality, Scalar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.embedders.frames import Frame
    from vidrec.types import Frames, Vector

# From 64 captioned web videos of 8 categories: what fits a query is what it is about and whatever
# has that category. Pictures were the videos' middle frames, their own videos left out.
CALIBRATIONS: dict[Modality, Calibration] = {
    "text": Calibration(9.63, -2.10),
    "video": Calibration(3.37, -2.08),
    "image": Calibration(2.92, -1.79),
}


class ConseEmbedder(FrameEmbedder):
    """ImageNet labels as the bridge between pictures and words."""

    name = "conse"
    modalities: ClassVar[frozenset[Modality]] = frozenset({"video", "text", "image"})
    # 64 captioned web videos were each changed in six ways (CRF 38, 240 pixels wide, cropped to 90
    # and to 80 %, brightened, 15 frames a second with a box drawn on). Of these copies 73 % have
    # 0.97 or more with what they were made from (0.95: 86 %, 0.99: 37 %); so have 33 % of the
    # halves of one clip, no copies (0.95: 58 %, 0.99: 12 %). Different clips have 0.90 at most.
    copies_from = 0.97
    section = ConseSettings
    model, dim, size = "efficientnet-lite0+minilm-l6", DIM, (FRAME_SIZE, FRAME_SIZE)
    lag_sec = LAG_SEC
    aspects: ClassVar[Mapping[str, tuple[int, int]]] = {
        "things": (0, TEXT_DIM), "look": (TEXT_DIM, SEEN_DIM), "tone": (SEEN_DIM, DIM),
    }  # fmt: skip
    fields: ClassVar[Mapping[str, Sequence[str]]] = {
        "tone": tuple(word for words in WORDS.values() for word in words if word),
        **{f"tone.{axis}": () for axis in AXES},
    }

    def __init__(self, settings: Settings) -> None:
        """Remember what is needed to load the models later."""
        super().__init__(settings)
        self._classifier = FrameClassifier(settings.cache, device=settings.embedder.device)
        self._recipe = Conse(settings.cache)

    @property
    def fingerprint(self) -> Fingerprint:
        options: dict[str, Scalar] = {"frames": self.options.frames, "recipe": recipe_id()}
        return Fingerprint(self.name, self.model, self.dim, options)

    def calibration(self, kind: Modality) -> Calibration | None:
        return CALIBRATIONS.get(kind)

    def load(self) -> None:
        self._classifier.load()
        self._recipe.load()

    def _encode_frames(self, frames: Frames) -> NDArray[np.float32]:
        import numpy as np

        return np.stack([self._encode_clip(frame[None], (1,), {}) for frame in frames])

    def _encode_clip(
        self, frames: Frames, counts: Sequence[int], later: Mapping[int, Frame]
    ) -> Vector:
        tone = measure(frames, counts, later)
        return self._recipe.frames_to_vector(*self._classifier(frames), counts, tone)

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._recipe.texts_to_vectors(texts)

    def understood(self, texts: Sequence[str]) -> list[float]:
        return self._recipe.understood(texts)

    def tell(self, vectors: NDArray[np.float32]) -> Mapping[str, Sequence[Any]]:
        found = coordinates_of(vectors[:, SEEN_DIM:])
        words = [tone_words(row) for row in found.tolist()]
        # On each axis 0 is the lowest end, 0.5 as usual, 1 the top.
        places = ((found / FARTHEST + 1) / 2).T.tolist()
        return {"tone": words, **{f"tone.{a}": p for a, p in zip(AXES, places, strict=True)}}

    def words(self, vectors: NDArray[np.float32], count: int = 5) -> list[list[tuple[str, float]]]:
        return self._recipe.nearest_labels(vectors, count)

    def describe(self, vector: Vector) -> str:
        return ", ".join(tone_words(*coordinates_of(vector[None, SEEN_DIM:]).tolist()))

    def explain_text(self, text: str) -> str:
        says = self._recipe.says(text).items()
        return ", ".join(f"{WORDS[axis][weight > 0]} {abs(weight):.1f}" for axis, weight in says)
