"""Whatever one video raises is that video's failure; the run goes on."""

import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.clips import plain, write_clip
from vidrec.config import load_settings
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.errors import MediaError, QuotaError, TransientError, UnexpectedError, failure_of
from vidrec.types import Fingerprint, Video

# A worker decodes while the caller probes the next file, as in a run that is taken up again.
RERUN = """
import sys
from pathlib import Path
from vidrec.embedders.base import EmbedContext
from vidrec.embedders.frames import FrameEmbedder
from vidrec.config import load_settings
from vidrec.types import Video
path = Path(sys.argv[1])
def videos():
    yield Video("0" * 64, "known.mp4", path)
    from vidrec.media.probe import probe
    yield Video("1" * 64, "new.mp4", path, info=probe(path))
class Tiny(FrameEmbedder):
    name, model, dim, size = "tiny", "tiny", 4, (8, 8)
    def _encode_frames(self, frames):
        import numpy as np
        return np.eye(len(frames), 4, dtype=np.float32) + 1
for outcome in Tiny(load_settings()).embed_videos(videos(), EmbedContext(workers=2)):
    assert outcome.error is None, outcome.error
"""


def test_a_rerun_always_runs_100_times(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(
            lambda _: subprocess.run(
                [sys.executable, "-c", RERUN, str(path)], capture_output=True, text=True
            ),
            range(100),
        )
        failed = [run.stderr for run in runs if run.returncode]
    assert failed == []


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("16 is not a valid Type"),
        OverflowError("timestamp out of range"),
        KeyError("x"),
        RuntimeError("line one\nline two"),
        MemoryError(),
        OSError(errno.EMFILE, "Too many open files"),
    ],
)
def test_what_one_video_raises_ends_that_video_alone(raised: Exception) -> None:
    class Fails(Embedder):
        name = "fails"
        modalities = frozenset({"video"})
        fingerprint = Fingerprint("fails", "m", 2)

        def _clips(self, video: Video, context: EmbedContext, warnings: list[str]) -> Any:
            raise raised if video.filename == "bad" else MediaError("another")

    videos = [Video("0" * 64, "bad"), Video("1" * 64, "other")]
    outcomes = list(Fails(load_settings()).embed_videos(videos, EmbedContext()))
    errors = {outcome.video.filename: outcome.error for outcome in outcomes}
    assert isinstance(errors["bad"], TransientError)
    assert "\n" not in str(errors["bad"])
    assert isinstance(errors["other"], MediaError)


def test_a_failure_says_what_it_is() -> None:
    starved = failure_of(OSError(errno.EMFILE, "Too many open files"))
    assert str(starved) == "too many open files: nothing is known of the file"
    assert type(failure_of(MemoryError())) is TransientError
    assert type(failure_of(ValueError("no\n such"))) is UnexpectedError
    assert str(failure_of(ValueError("no\n such"))) == "ValueError: no such"
    with pytest.raises(QuotaError):
        failure_of(QuotaError("no more today"))
