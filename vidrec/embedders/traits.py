"""What embedders differ in, each with the answer that most give.

An embedder overrides what is otherwise with it. Nothing here is needed to embed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vidrec.embedders.context import EmbedContext, Embedded
from vidrec.types import Modality, Video, VideoInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.calibration import Calibration
    from vidrec.media.repair import Limits
    from vidrec.types import Vector


class Traits:
    """How an embedder cuts and loads, what it costs, and what it can tell."""

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

    # Told in one line what is waited for; whoever opens an embedder may set it.
    say: Callable[[str], None] = staticmethod(lambda words: None)

    # How it gets ready

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

    @property
    def splits(self) -> Mapping[str, str]:
        """The side (train, val, test) of each video that it was trained or tested on, by id."""
        return {}

    # What it costs

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

    def stored(self, outcome: Embedded, context: EmbedContext) -> None:
        """Take note that an outcome's embeddings are in the library."""
        return None

    # What it can tell

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
