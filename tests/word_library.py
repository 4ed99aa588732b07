"""A library of word vectors, without any video: what each clip shows is said by words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.word_embedder import WORDS, WordEmbedder, install
from vidrec.config import Settings, load_settings
from vidrec.library import Library
from vidrec.types import Embedding, Video, VideoInfo
from vidrec.vectors import unit

FINGERPRINT = WordEmbedder().fingerprint


def word_settings(folder: Path, monkeypatch: pytest.MonkeyPatch, **flags: Any) -> Settings:
    """Install the embedder `words` and choose it."""
    site = folder / "site"
    site.mkdir()
    install(site, monkeypatch)
    return load_settings(overrides={"library": folder / "words", "embedder.name": "words", **flags})


def shown(words: str) -> np.ndarray:
    """The unit vector of ``"red red cat"``."""
    found = words.split()
    return unit(np.array([found.count(word) for word in WORDS], float))


def put(
    library: Library, name: str, clips: Sequence[str], *, about: Mapping[str, Any] | None = None
) -> str:
    """Put a video of clips of ten seconds into a library; return its id."""
    number = len(list(library.videos())) + 1
    about = {"path": Path("/films") / name, "size": 1, **(about or {})}
    info = about.pop("info", VideoInfo(10.0 * len(clips), 640, 360))
    video = Video(f"{number:064x}", name, info=info, **about)
    library.register(FINGERPRINT)
    library.add_video(video)
    key = (video.id, str(FINGERPRINT))
    vectors = [shown(clip) for clip in clips]
    rows = [
        Embedding(*key, "clip", 10.0 * i, 10.0 * i + 10, vector) for i, vector in enumerate(vectors)
    ]
    whole = Embedding(*key, "video", 0.0, 10.0 * len(clips), unit(np.mean(vectors, axis=0)))
    library.save_embeddings(video.id, [*rows, whole], 10.0)
    return video.id
