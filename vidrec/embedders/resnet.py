"""The embedder that `vidrec train` makes: a trained checkpoint, served without TensorFlow.

A clip's vector is the mean over several windows in time. Texts are understood through the classes
the network was trained on: the softmax of the cosines between a text and the labels' words mixes
the classes' prototypes (after Norouzi et al. 2013, arXiv:1312.5650). So "putting on lipstick" is
answered if there was such a class. What is like no class lands near some class all the same; that
it was not understood shows in the text, not in the vector, and lowers the confidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from shlex import quote
from typing import TYPE_CHECKING, ClassVar

from vidrec.batches import ahead
from vidrec.calibration import Calibration
from vidrec.config import Settings
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.embedders.context import require_path
from vidrec.errors import CapabilityError, EmbedderError, MediaError
from vidrec.library import Library
from vidrec.library.catalog import has_catalog
from vidrec.models.checkpoint import (
    default_checkpoint,
    named_checkpoint,
    read_checkpoint,
    words_of,
)
from vidrec.sections import ResnetSettings
from vidrec.types import Clip, Fingerprint, Modality, Scalar, Video

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from vidrec.types import Vector

# Cosines between a text and labels differ by a few tenths; this makes the nearest label lead.
TEMPERATURE = 0.05
# From the cosine between a text and the label most like it to the probability that it is about
# that label. Fitted to 80 paraphrases of 40 labels of UCF101's kind, against paraphrases of labels
# that are not among the choice, captions of other videos and words for no action at all: area under
# the ROC curve 0.99; below 0.25 are 2 % of the paraphrases and 99 % of the captions.
UNDERSTANDING = Calibration(16.4, -7.48)


def chosen_checkpoint(settings: Settings) -> tuple[Path, str]:
    """Return the folder of the checkpoint to use, and a remark where a newer one is not.

    Raises:
        EmbedderError: there is none, or none of that name.
    """
    if named := settings.resnet.checkpoint:
        return named_checkpoint(settings.library, named), ""
    used = set()
    if has_catalog(settings.library):
        with Library(settings.library, create=False) as library:
            used = {
                f.model for f in library.fingerprints()
                if f.embedder == ResnetEmbedder.name and library.count_embeddings(str(f))[0]
            }  # fmt: skip
    return default_checkpoint(settings.library, used)


class ResnetEmbedder(Embedder):
    """A network of the user's own."""

    name = "resnet"
    modalities: ClassVar[frozenset[Modality]] = frozenset({"video", "text"})
    section = ResnetSettings

    def __init__(self, settings: Settings) -> None:
        """Read what the checkpoint is; its model is loaded later.

        Raises:
            EmbedderError: there is no finished checkpoint.
        """
        super().__init__(settings)
        self._cache, self._device = settings.cache, settings.embedder.device
        self._checkpoint = read_checkpoint(chosen_checkpoint(settings)[0])
        self._sampling = replace(self._checkpoint.sampling, phases=1)
        self._n_windows = self.options.windows

    @property
    def fingerprint(self) -> Fingerprint:
        options: dict[str, Scalar] = {
            "weights": self._checkpoint.digest,
            "windows": self._n_windows,
            **asdict(self._sampling),
        }
        return Fingerprint(self.name, self._checkpoint.named, self._checkpoint.dim, options)

    @property
    def flags(self) -> str:
        named = self.options.checkpoint
        return super().flags + (f" --checkpoint {quote(str(named))}" if named else "")

    @property
    def splits(self) -> Mapping[str, str]:
        return self._checkpoint.splits

    def calibration(self, kind: Modality) -> Calibration | None:
        """What `vidrec train` found on clips that it had not trained on."""
        return self._checkpoint.calibrations.get(kind)

    def understood(self, texts: Sequence[str]) -> list[float]:
        return [UNDERSTANDING.confidence(best) for best in self._similar(texts).max(axis=1)]

    def load(self) -> None:
        _ = self._session  # a checkpoint that cannot be served ends the run, not each video

    def embed_image(self, path: Path) -> Vector:
        raise CapabilityError(
            "resnet cannot embed an image, it looks at motion: query with a video, or use "
            "--embedder conse with a text"
        )

    def _clips(
        self, video: Video, context: EmbedContext, warnings: list[str]
    ) -> Iterator[tuple[Clip, Vector]]:
        for clip, grid in ahead(self._grids(video, context.clip_seconds, warnings)):
            yield clip, self._vector(grid)

    def _grids(
        self, video: Video, clip_sec: float, warnings: list[str]
    ) -> Iterator[tuple[Clip, NDArray[np.uint8]]]:
        """The frames of each clip, `(g, h, w, 3)`, as far as the picture goes."""
        from vidrec.media.sampling import clips_of
        from vidrec.models.windows import read_grid

        path = require_path(video)
        for number, clip in enumerate(clips_of(path, clip_sec, video.info)):
            times = self._sampling.grid_times(clip.start_sec, clip.end_sec)
            grid, n_seen = read_grid(path, times, self._sampling)
            if n_seen:
                yield clip, grid
            elif number:
                warnings.append(f"the picture ends before {clip.start_sec:.1f} s")
                return
            else:
                raise MediaError(f"{path}: not a single frame can be decoded")

    def _vector(self, grid: NDArray[np.uint8]) -> Vector:
        """The mean over the windows of a clip's grid `(g, h, w, 3)`."""
        import numpy as np

        starts = self._sampling.spread(len(grid), self._n_windows)
        windows = np.stack([self._sampling.window(grid, start) for start in starts])
        (vectors,) = self._session.run(["embedding"], {"frames": windows})
        mean: Vector = np.mean(vectors, axis=0)
        return mean

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        similar = self._similar(texts) / TEMPERATURE
        weights = np.exp(similar - similar.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        mixed: NDArray[np.float32] = weights @ np.asarray(self._checkpoint.prototypes, np.float32)
        return mixed

    def _similar(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The cosine between each text and each label's words, `(t, l)`."""
        encoder, labels = self._labels
        similar: NDArray[np.float32] = encoder.encode(list(texts)) @ labels.T
        return similar

    @cached_property
    def _labels(self):  # type: ignore[no-untyped-def]
        """The text encoder, and what it makes of the labels' words `(l, d)`."""
        from vidrec.models.text import TextEncoder

        encoder = TextEncoder(self._cache)
        return encoder, encoder.encode([words_of(label) for label in self._checkpoint.labels])

    @cached_property
    def _session(self) -> InferenceSession:
        from vidrec.models.serving import open_session

        found = self._checkpoint
        session = open_session(found.model(), device=self._device)
        inputs = [value.name for value in session.get_inputs()]
        outputs = {value.name: value.shape[-1] for value in session.get_outputs() if value.shape}
        size = outputs.get("embedding", 0)  # a number, or a name where it is open
        if inputs != ["frames"] or (isinstance(size, int) and size != found.dim):
            raise EmbedderError(
                f"the checkpoint {found.folder} holds another network than its labels say: "
                "train again"
            )
        return session
