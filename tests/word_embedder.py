"""A whole embedder of a third party, small enough to reckon with by hand.

Its space has one axis for each word of WORDS; a text's vector counts its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidrec.config import Settings
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.errors import JobError
from vidrec.types import Fingerprint, Video

WORDS = ("red", "green", "blue", "cat", "dog")


class WordEmbedder(Embedder):
    name = "words"
    modalities = frozenset({"text"})

    def __init__(self, settings: Settings | None = None) -> None:
        pass

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("words", "count", len(WORDS))

    def _clips(self, video: Video, context: EmbedContext, warnings: list[str]) -> Any:
        raise JobError("words are no videos")

    def _encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.split().count(word) for word in WORDS] for text in texts], float)


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str = "words",
    what: str = "tests.word_embedder:WordEmbedder",
    kind: str = "embedder",
) -> None:
    """Install a plug-in as `pip` would: a distribution on the path, with an entry point."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vidrec.{kind}s]\n{name} = {what}")
    monkeypatch.syspath_prepend(str(folder))
