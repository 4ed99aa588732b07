"""A tiny data set of labelled clips: a bright square that moves or stands, on a noisy ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.videos import write_video

CLASSES = ("Moving", "Standing")
N_GROUPS, PER_GROUP = 5, 2


def write_action(path: Path, label: str, seed: int, n_frames: int = 25) -> Path:
    """A clip of a second (at 25 frames a second), 64 x 48."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 90, (48, 64, 3)).astype(np.uint8)
    top, left = rng.integers(0, 32), rng.integers(0, 48)
    pictures = []
    for i in range(n_frames):
        picture = ground.copy()
        x = (left + (3 * i if label == "Moving" else 0)) % 48
        picture[top : top + 16, x : x + 16] = (240, 240 if label == "Moving" else 60, 40)
        pictures.append(picture)
    return write_video(path, pictures)


def write_actions(root: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """`<Class>/v_<Class>_g01_c01.mp4` …, five groups of two clips a class."""
    for number, label in enumerate(classes):
        for group in range(N_GROUPS):
            for clip in range(PER_GROUP):
                name = f"v_{label}_g{group + 1:02d}_c{clip + 1:02d}.mp4"
                write_action(root / label / name, label, 100 * number + 10 * group + clip)
    return root
