"""A folder of captioned videos, embedded by the default embedder: for benches of quality."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import Embedder
from vidrec.ingest.embed import EmbedOptions, embed
from vidrec.library import Library
from vidrec.progress import Silent


@dataclass
class Captioned:
    """Clips and captions as vectors.

    Attributes:
        names: of the videos.
        clips: ``(n, dim)`` unit vectors.
        videos: ``(n,)`` the video that each clip is of.
        texts: ``(m, dim)`` unit vectors of the captions, in the order of the videos.
    """

    embedder: Embedder
    names: list[str]
    clips: np.ndarray
    videos: np.ndarray
    texts: np.ndarray

    @cached_property
    def scores(self) -> np.ndarray:
        """``(m, n)`` cosines of captions and clips."""
        found: np.ndarray = self.texts @ self.clips.T
        return found

    def of_videos(self, scores: np.ndarray) -> np.ndarray:
        """Return ``(q, m)`` the scores of videos, each that of its best clip."""
        best = np.full((len(scores), len(self.names)), -np.inf)
        np.maximum.at(best.T, self.videos, scores.T)
        return best


def embedded(folder: Path) -> Captioned:
    """Embed the videos that ``captions.csv`` of a folder names in its columns file and caption."""
    with (folder / "captions.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    names = [row["file"] for row in rows]
    with tempfile.TemporaryDirectory() as name:
        settings = load_settings(overrides={"library": Path(name) / "library"})
        embed(settings, [str(folder / name) for name in names], EmbedOptions(), Silent())
        embedder = load_embedder(settings)
        with Library(settings.library) as library:
            number = {video.id: names.index(video.filename) for video in library.videos()}
            clips = [
                embedding
                for _, embedding in library.embeddings(str(embedder.fingerprint))
                if embedding.scope == "clip"
            ]
    return Captioned(
        embedder, names, np.stack([clip.vector for clip in clips]),
        np.array([number[clip.video_id] for clip in clips]),
        embedder.embed_texts([row["caption"] for row in rows]),
    )  # fmt: skip
