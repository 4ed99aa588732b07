"""A third party's embedder for tests of engines: a video's bytes tell what becomes of it.

``VIDREC_TEST_MARKED`` changes its fingerprint, as another checkpoint would.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.clips import plain, write_clip
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.errors import MediaError
from vidrec.library import Library
from vidrec.types import Clip, Fingerprint, Video

POISON, BROKEN, HELD = b"poison", b"broken", b"held"
_OPEN = "open"  # the file that lets go what is held in its folder


class MarkedEmbedder(Embedder):
    name = "marked"
    modalities = frozenset({"video"})
    probes = True

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("marked", os.environ.get("VIDREC_TEST_MARKED", "one"), 4)

    def _clips(
        self, video: Video, context: EmbedContext, warnings: list[str]
    ) -> Iterator[tuple[Clip, Any]]:
        assert video.path is not None
        content = video.path.read_bytes()
        if content.endswith(POISON):
            os._exit(9)
        if content.endswith(BROKEN):
            raise MediaError("broken")
        if content.endswith(HELD):
            video.path.with_suffix(".held").write_text(str(os.getppid()))
            while not (video.path.parent / _OPEN).exists():
                time.sleep(0.02)
        yield Clip(0.0, 1.0), np.frombuffer(bytes.fromhex(video.id[:8]), np.uint8) + 1.0


def eight_films(folder: Path) -> Path:
    """Write small videos, told apart by what stands behind their last byte; return the folder."""
    first = write_clip(folder / "0.mp4", plain("red"), seconds=0.3)
    for number in range(1, 8):
        mark(first.parent, f"{number}.mp4", b"")
    return first.parent


def mark(folder: Path, name: str, ending: bytes) -> None:
    content = (folder / "0.mp4").read_bytes()
    (folder / name).write_bytes(content + name.encode() + ending)


def holders(folder: Path) -> list[int]:
    """The parent processes of those who are held at a video of a folder, or were."""
    said = [path.read_text() for path in folder.glob("*.held")]
    return [int(number) for number in said if number]


def let_go(folder: Path) -> None:
    """Let what is held go on; nothing of the folder is held any more."""
    (folder / _OPEN).touch()


def rows(library: Path) -> list[Any]:
    """All that a library holds of videos, vectors and failures; not when it was written."""
    with Library(library, create=False) as opened:
        failures = [(f.source, f.reason, f.permanent, f.kind) for f in opened.failures()]
        vectors = [
            (e.video_id, e.scope, e.start_sec, e.end_sec, e.vector.tobytes())
            for fingerprint in opened.fingerprints()
            for video in opened.videos()
            for e in opened.video_embeddings(video.id, str(fingerprint))
        ]
        return [failures, list(opened.videos()), vectors]
