"""The embedders of this machine: conse, and the loop that it shares with others."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clips import PHOTOGRAPHS, photograph, write_clip, write_clips
from vidrec.batches import ahead
from vidrec.config import load_settings
from vidrec.embedders.base import EmbedContext, Embedded, Embedder
from vidrec.embedders.conse import ConseEmbedder
from vidrec.embedders.outcomes import whole_video
from vidrec.errors import EmbedderError, MediaError
from vidrec.evaluate.evaluate import evaluate
from vidrec.ingest.embed import embed as embed_stage
from vidrec.media.probe import probe
from vidrec.types import Clip, Fingerprint, Video, VideoInfo

CAPTIONED = Path(__file__).parents[2] / "shared" / "data" / "captioned"


def video(path: Path) -> Video:
    return Video(id=path.name, filename=path.name, path=path)


@pytest.fixture
def embedder() -> ConseEmbedder:
    return ConseEmbedder(load_settings())


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_clips(tmp_path_factory.mktemp("clips"))


def embed(
    embedder: ConseEmbedder, paths: list[Path], context: EmbedContext | None = None
) -> dict[str, Embedded]:
    context = context or EmbedContext()
    return {o.video.id: o for o in embedder.embed_videos(map(video, paths), context)}


def test_texts_find_their_video(embedder: ConseEmbedder, clips: dict[str, Path]) -> None:
    outcomes = embed(embedder, list(clips.values()), EmbedContext(workers=2))
    whole = np.stack([outcomes[f"{name}.mp4"].embeddings[-1].vector for name in PHOTOGRAPHS])
    texts = ["a cat looking at the camera", "a cup of coffee", "a rocket being launched"]
    scores = embedder.embed_texts(texts) @ whole.T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]


def test_clips_and_whole_video(embedder: ConseEmbedder, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.mp4", photograph("coffee"), seconds=5)
    outcome = embed(embedder, [path], EmbedContext(clip_seconds=2))["long.mp4"]
    assert outcome.error is None and not outcome.warnings
    *pieces, whole = outcome.embeddings
    assert [(p.scope, p.start_sec) for p in pieces] == [("clip", 0), ("clip", 2), ("clip", 4)]
    assert pieces[-1].end_sec == pytest.approx(5, abs=0.11)
    assert whole.scope == "video" and whole.end_sec == pieces[-1].end_sec
    np.testing.assert_array_equal(whole.vector, whole_video(pieces).vector)
    for embedding in outcome.embeddings:
        assert embedding.fingerprint == str(embedder.fingerprint)
        assert embedding.vector.shape == (embedder.dim,)
        assert embedding.vector.dtype == np.float32
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-5)


def test_embedding_tells_what_a_video_is(embedder: ConseEmbedder, tmp_path: Path) -> None:
    for name, seconds in {"a.mp4": 3, "b.mkv": 3}.items():
        path = write_clip(tmp_path / name, photograph("coffee"), seconds=seconds)
        assert embed(embedder, [path])[name].video.info == probe(path)


def test_vectors_do_not_depend_on_company_or_workers(
    embedder: ConseEmbedder, clips: dict[str, Path]
) -> None:
    together = embed(embedder, list(clips.values()), EmbedContext(workers=3))
    for path in clips.values():
        alone = embed(embedder, [path])[path.name]
        np.testing.assert_array_equal(
            alone.embeddings[-1].vector, together[path.name].embeddings[-1].vector
        )


def test_a_bad_file_is_an_outcome_and_the_others_go_on(
    embedder: ConseEmbedder, clips: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    lost = replace(video(tmp_path / "lost.mp4"), path=None)
    videos = [video(tmp_path / "notes.mp4"), lost, video(clips["coffee"])]
    outcomes = {o.video.id: o for o in embedder.embed_videos(videos, EmbedContext(workers=2))}
    assert isinstance(outcomes["notes.mp4"].error, MediaError)
    assert "not on this machine" in str(outcomes["lost.mp4"].error)
    assert outcomes["coffee.mp4"].error is None


def test_an_image_finds_the_video_made_of_it(
    embedder: ConseEmbedder, clips: dict[str, Path], tmp_path: Path
) -> None:
    outcomes = embed(embedder, list(clips.values()))
    whole = np.stack([outcomes[f"{name}.mp4"].embeddings[-1].vector for name in PHOTOGRAPHS])
    for place, name in enumerate(PHOTOGRAPHS):
        path = tmp_path / f"{name}.png"
        Image.fromarray(photograph(name)).save(path)
        vector = embedder.embed_image(path)
        assert vector.shape == (embedder.dim,)
        scores = whole @ vector
        assert scores.argmax() == place and scores[place] > 0.7
    with pytest.raises(MediaError):
        embedder.embed_image(tmp_path / "absent.png")


def test_no_videos_and_no_texts(embedder: ConseEmbedder) -> None:
    assert embed(embedder, []) == {}
    assert embedder.embed_texts([]).shape == (0, embedder.dim)


def test_fingerprint_follows_what_changes_the_vectors() -> None:
    one, same = ConseEmbedder(load_settings()), ConseEmbedder(load_settings())
    other = ConseEmbedder(load_settings(overrides={"conse.frames": 4}))
    elsewhere = ConseEmbedder(load_settings(overrides={"cache": "/nowhere"}))
    assert str(one.fingerprint) == str(same.fingerprint) == str(elsewhere.fingerprint)
    assert str(one.fingerprint) != str(other.fingerprint)


def test_a_cache_that_cannot_be_written_is_said_before_the_first_video(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    embedder = ConseEmbedder(load_settings(overrides={"cache": str(tmp_path / "file")}))
    with pytest.raises(EmbedderError, match="cache"):
        list(embedder.embed_videos([], EmbedContext()))


# The loop itself, with work that the tests control.


class Controlled(Embedder):
    """Yields the clips that a test's function does."""

    name = "controlled"
    modalities = frozenset({"video"})
    fingerprint = Fingerprint("controlled", "m", 2)

    def __init__(self, clips: Callable[[Video, list[str]], Iterator[tuple[Clip, np.ndarray]]]):
        self.clips = clips

    def _clips(
        self, video: Video, context: EmbedContext, warnings: list[str]
    ) -> Iterator[tuple[Clip, np.ndarray]]:
        return self.clips(video, warnings)


UNIT = np.array([1.0, 0.0], np.float32)


def plain(name: str) -> Video:
    return Video(id=name, filename=name, path=Path(name))


def test_cancelling_keeps_what_is_finished_and_drops_what_is_not() -> None:
    cancel = threading.Event()

    def clips(video: Video, warnings: list[str]) -> Iterator[tuple[Clip, np.ndarray]]:
        yield Clip(0, 1), UNIT
        if video.id != "first":
            cancel.set()
            yield Clip(1, 2), UNIT

    context = EmbedContext(workers=1, cancelled=cancel.is_set)
    videos = [plain("first"), plain("second"), plain("third")]
    outcomes = Controlled(clips).embed_videos(videos, context)
    assert [outcome.video.id for outcome in outcomes] == ["first"]


def test_progress_and_warnings_are_passed_on() -> None:
    shares: list[float] = []

    def clips(video: Video, warnings: list[str]) -> Iterator[tuple[Clip, np.ndarray]]:
        warnings.append("cut off")
        yield Clip(0, 1), UNIT
        yield Clip(1, 2), UNIT

    known = replace(plain("a"), info=VideoInfo(2.0, 320, 240))
    context = EmbedContext(progress=lambda video, share: shares.append(share))
    (outcome,) = Controlled(clips).embed_videos([known], context)
    assert shares == [0.5, 1.0] and list(outcome.warnings) == ["cut off"]


def test_ahead_makes_the_next_item_meanwhile_and_no_more() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    stream = ahead(items())
    assert next(stream) == 0
    assert second.wait(20)  # made by another thread while this one holds the first
    stream.close()
    assert len(made) <= 2
    assert list(ahead(iter("abc"))) == ["a", "b", "c"]
    assert list(ahead(iter(()))) == []


def test_ahead_passes_errors_on_in_their_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise MediaError("cut off")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(MediaError, match="cut off"):
        next(stream)


def test_a_package_that_is_missing_ends_the_run() -> None:
    def clips(video: Video, warnings: list[str]) -> Iterator[tuple[Clip, np.ndarray]]:
        raise ModuleNotFoundError(name="tensorflow")
        yield

    with pytest.raises(ModuleNotFoundError):
        list(Controlled(clips).embed_videos([plain("a")], EmbedContext()))


@pytest.mark.skipif(not CAPTIONED.is_dir(), reason="the captioned clips are not here")
def test_what_is_said_of_scores_was_measured(embedder: ConseEmbedder) -> None:
    """By `vidrec evaluate --calibrate` on the captioned clips."""
    settings = load_settings()
    embed_stage(settings, [str(CAPTIONED)])
    report = evaluate(settings, captions=CAPTIONED / "captions.csv", by="category", calibrate=True)
    assert [row.kind for row in report.confidence] == ["text", "video"]
    for row in report.confidence:
        said = embedder.calibration(row.kind)
        assert said is not None
        assert (said.slope, said.offset) == pytest.approx((row.slope, row.offset), abs=0.05)
        assert row.separation > 0.6 and row.refused_present < 0.05 < row.refused_absent + 0.01


@pytest.mark.skipif(not CAPTIONED.is_dir(), reason="the captioned clips are not here")
def test_quality_on_captioned_clips(embedder: ConseEmbedder) -> None:
    """Half of the clips, every second one: a tripwire, well below what is measured on all."""
    with (CAPTIONED / "captions.csv").open() as file:
        rows = list(csv.DictReader(file))[::2]
    outcomes = embed(embedder, [CAPTIONED / row["file"] for row in rows], EmbedContext(workers=2))
    seen = np.stack([outcomes[row["file"]].embeddings[-1].vector for row in rows])
    scores = embedder.embed_texts([row["caption"] for row in rows]) @ seen.T
    ranks = (scores > np.diag(scores)[:, None]).sum(axis=1)
    assert (ranks < 1).mean() >= 0.5
    assert (ranks < 5).mean() >= 0.75
