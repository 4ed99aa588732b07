"""Demo: a small library of rendered clips, and the commands that show what vidrec does with it.

The clips and their library lie in a folder of their own and never touch the user's. The commands
are given as a user would type them; whoever runs the demo prints each one and runs just that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidrec.config import Settings
from vidrec.files import expanded
from vidrec.progress import Progress, Silent, finishing

# Cuts are three seconds in, so that clips of that length show how a moment is found.
CLIP_SECONDS = 3
TEXTS = ("a cup of espresso", "a rocket before its launch", "sci-fi dark tone")
CLIP = "Animals/cat-pan.mp4"


@dataclass(frozen=True, slots=True)
class Demo:
    """What is ready: the clips, and the commands to run, each a list of arguments.

    ``environment`` must be set for the commands where the user's settings would lead them out of
    the demo's folder.
    """

    clips: Path
    rendered: int
    kept: int
    environment: Mapping[str, str]
    commands: Sequence[Sequence[str]]


def prepare(settings: Settings, dest: Path | None = None, progress: Progress | None = None) -> Demo:
    """Render what clips are missing below ``dest``, by default in the user's cache.

    Raises:
        DatasetError: scikit-image is not installed, or the folder cannot be written.
    """
    from vidrec.datasets import demo_clips

    progress = progress or Silent()
    dest = expanded(dest or settings.cache / "demo").absolute()
    photos = demo_clips.photographs()
    progress.start("rendering", len(demo_clips.CLIPS), "clip")
    rendered = 0
    with finishing(progress):
        for clip in demo_clips.CLIPS:
            rendered += demo_clips.render_clip(clip, dest / "clips", photos)
            progress.step(detail=clip.path)
    environment = {}
    if settings.knn.path is not None:
        environment["VIDREC_KNN_PATH"] = str(dest / "library" / "knn")
    kept = len(demo_clips.CLIPS) - rendered
    return Demo(dest / "clips", rendered, kept, environment, _commands(settings, dest))


def _commands(settings: Settings, dest: Path) -> list[list[str]]:
    """The demo is of the offline embedder and store, whatever the user's settings name."""
    library = ["--library", str(dest / "library")]
    embedder = [] if settings.embedder.name == "conse" else ["--embedder", "conse"]
    store = [] if settings.store.name == "knn" else ["--store", "knn"]
    queries = [*TEXTS, str(dest / "clips" / CLIP)]
    return [
        ["embed", str(dest / "clips"), "--clip-seconds", str(CLIP_SECONDS), *embedder, *library],
        # `embed` brings the store of the settings up to date: here it is another one's turn.
        *([["index", *embedder, *store, *library]] if store else []),
        *(["recommend", query, "-k", "3", *embedder, *store, *library] for query in queries),
    ]
