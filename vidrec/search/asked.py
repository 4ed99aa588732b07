"""Asked: the parts of a query become vectors, and the videos asked with are remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.config import Settings
from vidrec.embedders.base import Embedder
from vidrec.errors import RUN_ENDS, MediaError, OverCapError, UsageError, VidrecError
from vidrec.files import expanded, is_file
from vidrec.library import Library
from vidrec.records import dataclass
from vidrec.search.query import Part
from vidrec.types import Modality, Video
from vidrec.vectors import unit

if TYPE_CHECKING:
    from vidrec.calibration import Calibration
    from vidrec.ingest.paid import Gate
    from vidrec.types import Vector

AT_A_TIME = 64
MOST_UNPAID = 10_000  # texts that are kept where to embed them again costs nothing: 20 MB


@dataclass(frozen=True, slots=True)
class AskedText:
    """A text's vector, and the probability that the embedder knows what it is about."""

    vector: Vector
    understood: float


@dataclass(frozen=True, slots=True)
class AskedPart:
    """A part with its unit vector and what its scores mean.

    ``understood`` is the probability that a text means something to the embedder; ``video_id`` is
    that of the video asked with, if any; ``paid_minutes`` are of footage paid for now.
    """

    part: Part
    vector: Vector
    calibration: Calibration | None = None
    understood: float = 1.0
    video_id: str | None = None
    duration_sec: float | None = None
    paid_minutes: float = 0.0


@dataclass(slots=True)
class Asker:
    """Makes vectors of parts. Safe to share between threads.

    One at a time embeds texts, and one a clip or a picture: that may take a while, and no text
    waits for it.
    """

    library: Library
    embedder: Embedder
    settings: Settings
    may_pay: Callable[[str], bool] = lambda words: False
    _mutex: threading.RLock = field(default_factory=threading.RLock)
    _looking: threading.RLock = field(default_factory=threading.RLock)

    def texts(self, texts: Sequence[str]) -> dict[str, AskedText]:
        """Embed the texts of many queries together; left out is what must be asked by itself."""
        try:
            known = asked_texts(self.library, self.embedder, texts, self._mutex)
        except RUN_ENDS:
            raise
        except VidrecError:  # of one text, perhaps: its own query will tell
            return {}
        return dict(zip(texts, known, strict=True))

    def ask(
        self, parts: Sequence[Part], known: Mapping[str, AskedText] | None = None
    ) -> list[AskedPart]:
        """Return the parts in their order; all texts that are not known are embedded together.

        Raises:
            UsageError: a video is not known, or has no embedding and no file.
            CapabilityError: the embedder does not embed that kind of part.
            MediaError: a file cannot be read.
        """
        said = dict(known or {})
        texts = [part.value for part in parts if part.kind == "text" and part.value not in said]
        if texts:
            made = asked_texts(self.library, self.embedder, texts, self._mutex)
            said.update(zip(texts, made, strict=True))
        return [self._one(part, said) for part in parts]

    def calibration(self, kind: Modality) -> Calibration | None:
        """What scores of clips mean here for a query of this kind."""
        if len(self.embedder.searched) > 1:  # measured of one kind of vectors, not of their best
            return None
        measured = self.library.calibration(str(self.embedder.fingerprint), kind)
        return measured or self.embedder.calibration(kind)

    def find(self, name: str) -> Video:
        """Return the library's one video with that id, beginning of an id, or name.

        Raises:
            UsageError: there is none, or there are several.
        """
        from vidrec.ingest.metadata import find_video

        try:
            return find_video(self.library, name)
        except UsageError as exc:
            if "is not in the library" not in str(exc):
                raise
        if "://" in name:
            raise UsageError(f"no video of the library has the URL {name}: `vidrec embed` it first")
        raise UsageError(
            f"{name} looks like a file but does not exist, here or in the library: give a video, "
            "an image or a text"
        )

    def _one(self, part: Part, said: Mapping[str, AskedText]) -> AskedPart:
        match part.kind:
            case "text":
                text = said[part.value]
                meaning = self.calibration("text")
                return AskedPart(part, text.vector, meaning, text.understood)
            case "image":
                with self._looking:
                    vector = self.embedder.embed_image(expanded(part.value))
                return AskedPart(part, vector, self.calibration("image"))
            case "vector":
                return AskedPart(part, self._given(part.value))
            case "id":
                return self._stored(part, self.library.find_video(part.value))
            case "name":
                return self._stored(part, self.find(part.value))
            case _:
                return self._file(part, expanded(part.value).absolute())

    def _given(self, vector: Vector) -> Vector:
        import numpy as np

        made = np.asarray(vector)
        if made.shape != (self.embedder.dim,) or made.dtype.kind not in "fiu":
            raise UsageError(
                f"{self.embedder.name} makes vectors of {self.embedder.dim} numbers. "
                f"Received: {made.dtype} of shape {made.shape}"
            )
        return unit(made)

    def _stored(self, part: Part, video: Video) -> AskedPart:
        found = self.library.video_embeddings(video.id, str(self.embedder.fingerprint), "video")
        minutes = 0.0
        if found:
            vector = found[0].vector
        elif video.path is not None and is_file(video.path):
            with self._looking:
                vector, minutes = self._embed(video)
        else:
            raise UsageError(
                f"{video.filename} has no embedding of {self.embedder.name}: run "
                f"`vidrec embed {self.embedder.flags}` on it"
            )
        meaning = self.calibration("video")
        return AskedPart(part, vector, meaning, 1.0, video.id, video.duration_sec, minutes)

    def _file(self, part: Part, path: Path) -> AskedPart:
        """A file of the library is looked up by its bytes; any other is embedded, not kept."""
        from vidrec.ingest.scan import hash_file

        try:
            video_id = hash_file(path)
        except (MediaError, ValueError) as exc:  # no file has a name with a NUL
            raise MediaError(f"{path}: {exc}") from exc
        known = self.library.video(video_id)
        video = known or Video(video_id, path.name, path, size=path.stat().st_size)
        return self._stored(part, video)

    def _embed(self, video: Video) -> tuple[Vector, float]:
        """Return its vector, and how many minutes of footage were paid for."""
        from vidrec.ingest.paid import Gate

        gate = Gate(self.settings, self.library, self.embedder, repair=True)
        if self.embedder.paid:
            video = self._allowed(video, gate)
        fingerprint = str(self.embedder.fingerprint)
        for outcome in self.embedder.embed_videos([video], gate.context()):
            if outcome.error is not None:
                reason = str(outcome.error).removeprefix(f"{video.path}: ")
                raise type(outcome.error)(f"{video.filename}: {reason}")
            for embedding in outcome.embeddings:
                if embedding.scope == "video" and embedding.fingerprint == fingerprint:
                    return embedding.vector, gate.jobs.bill().minutes
        raise UsageError(f"{video.filename} gave no embedding")

    def _allowed(self, video: Video, gate: Gate) -> Video:
        """Return the video as it may be sent, once whoever asks agrees to pay."""
        gate.admit(video, write=False)
        minutes = gate.would_pay(video)
        if minutes is not None and not self.settings.paid.queries:
            price = self.embedder.price(minutes)
            cost = "" if price is None else f", ${price:.2f}"
            words = f"to ask with {video.filename} costs {minutes:.2f} minutes of footage{cost}"
            if not self.may_pay(words):
                raise UsageError(f"{words}: allow it with --allow-paid, or as [paid] queries")
        admitted = gate.admit(video)
        if admitted is None:
            raise OverCapError(f"{video.filename}: [paid] month_minutes is used up")
        return admitted


def asked_texts(
    library: Library,
    embedder: Embedder,
    texts: Sequence[str],
    turn: AbstractContextManager[object] | None = None,
) -> list[AskedText]:
    """Return what the embedder makes of each text; the library keeps it, if it can be written now.

    ``turn`` is held while the embedder is asked: what the library knows does not wait for it.

    Raises:
        CapabilityError: this embedder embeds no text.
    """
    space = embedder.text_space
    kept = {text: embedder.phrased(text) for text in texts}
    cached = library.cached_queries(kept.values(), space)
    found = {text: AskedText(*cached[name]) for text, name in kept.items() if name in cached}
    new = [text for text in dict.fromkeys(texts) if text not in found]
    if new and turn is not None:
        with turn:  # somebody may have asked the same just now: nothing is paid for twice
            return asked_texts(library, embedder, texts)
    for start in range(0, len(new), AT_A_TIME):
        part = new[start : start + AT_A_TIME]
        vectors, understood = embedder.embed_texts(part), embedder.understood(part)
        names = [kept[text] for text in part]
        most = None if embedder.paid else MOST_UNPAID
        library.cache_queries(zip(names, vectors, understood, strict=True), space, most)
        for text, vector, known in zip(part, vectors, understood, strict=True):
            found[text] = AskedText(vector, known)
    return [found[text] for text in texts]
