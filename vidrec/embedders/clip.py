"""Open weights for open words: pictures and texts in the space of CLIP or SigLIP.

The networks are fetched once (``vidrec doctor --fetch --embedder clip``) and need no network after
that; ``vidrec.models.towers`` has them. A clip's vector is the mean of its frames' unit vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from vidrec.config import Settings
from vidrec.embedders.frames import FrameEmbedder
from vidrec.files import expanded
from vidrec.models.towers import Facts, Towers
from vidrec.sections import ClipSettings
from vidrec.types import Fingerprint, Modality

if TYPE_CHECKING:
    from vidrec.types import Frames


class ClipEmbedder(FrameEmbedder):
    """A pair of networks, chosen by ``[clip] model`` or in the folder ``[clip] path``."""

    name = "clip"
    modalities: ClassVar[frozenset[Modality]] = frozenset({"video", "text", "image"})
    section = ClipSettings

    def __init__(self, settings: Settings) -> None:
        """Remember where the networks are; the fingerprint is what first looks at them."""
        super().__init__(settings)
        path = expanded(self.options.path) if self.options.path else None
        device = settings.embedder.device
        self._towers = Towers(
            self.options.model, settings.cache, path, device, self.options.weights
        )
        self.fit = self._towers.pair.fit

    @property
    def fingerprint(self) -> Fingerprint:
        """By the files' hashes: a network that was changed on the hub is another one.

        Raises:
            EmbedderError: the networks are not on this machine, or no pair.
        """
        options = {"frames": self.options.frames, "files": self._facts.digest}
        return Fingerprint(self.name, self.options.model, self.dim, options)

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self._facts.dim

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        return self._facts.height, self._facts.width

    @cached_property
    def _facts(self) -> Facts:
        return self._towers.facts()

    def fetch(self) -> str:
        return self._towers.fetch()

    def gigabytes(self) -> float:
        return self._towers.gigabytes()

    def load(self) -> None:
        _ = self._facts  # that it is a pair is seen before the first video
        self._towers.load()

    def _encode_frames(self, frames: Frames) -> Any:
        return self._towers.images(frames)

    def phrased(self, text: str) -> str:
        """As the templates make it: the vectors of videos do not depend on them."""
        return "\n".join(template.format(text) for template in self._templates)

    def _encode_texts(self, texts: Sequence[str]) -> Any:
        import numpy as np

        from vidrec.vectors import unit

        said = [template.format(text) for text in texts for template in self._templates]
        vectors = unit(np.stack(self._towers.texts(said)))
        return vectors.reshape(len(texts), len(self._templates), -1).mean(axis=1)

    @property
    def _templates(self) -> Sequence[str]:
        return self.options.templates or ("{}",)
