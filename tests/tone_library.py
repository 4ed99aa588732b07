"""A library of the default embedder without any video: each clip's tone is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vidrec.config import load_settings
from vidrec.embedders.conse import ConseEmbedder
from vidrec.library import Library
from vidrec.media.tone import Tone
from vidrec.models.conse import SEEN_DIM, TONE_SHARE
from vidrec.models.tone import REFERENCE, tone_part
from vidrec.types import Embedding, Video, VideoInfo
from vidrec.vectors import unit


def toned(things: np.ndarray, deviations: Mapping[str, float]) -> np.ndarray:
    """The unit vector of a clip of things ``(448,)`` whose tone is so far from the usual."""
    tone = Tone(**{axis: m + deviations.get(axis, 0.0) * d for axis, (m, d) in REFERENCE.items()})
    parts = [unit(things) * np.sqrt(1 - TONE_SHARE), tone_part(tone) * np.sqrt(TONE_SHARE)]
    return np.concatenate(parts).astype(np.float32)


def put_toned(
    library: Library, name: str, clips: Sequence[Mapping[str, float]], *, label: str | None = None
) -> str:
    """Put a video of clips of ten seconds into a library; return its id."""
    fingerprint = ConseEmbedder(load_settings()).fingerprint
    number = len(list(library.videos())) + 1
    noise = np.random.default_rng(number)
    seconds = 10.0 * len(clips)
    info = VideoInfo(seconds, 640, 360)
    video = Video(f"{number:064x}", name, Path("/films") / name, label=label, info=info)
    library.register(fingerprint)
    library.add_video(video)
    vectors = [toned(noise.standard_normal(SEEN_DIM), clip) for clip in clips]
    key = (video.id, str(fingerprint))
    rows = [Embedding(*key, "clip", 10.0 * i, 10.0 * i + 10, v) for i, v in enumerate(vectors)]
    whole = Embedding(*key, "video", 0.0, seconds, unit(np.mean(vectors, axis=0)))
    library.save_embeddings(video.id, [*rows, whole], 10.0)
    return video.id
