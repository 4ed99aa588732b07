"""Texts asked with: embedded once, after that taken from the library."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from vidrec.embedders.base import Embedder
from vidrec.library import Library
from vidrec.records import dataclass

if TYPE_CHECKING:
    from vidrec.types import Vector

AT_A_TIME = 64
MOST_UNPAID = 10_000  # texts that are kept where to embed them again costs nothing: 20 MB


@dataclass(frozen=True, slots=True)
class AskedText:
    """A text's vector, and the probability that the embedder knows what it is about."""

    vector: Vector
    understood: float


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
