"""Copies that fit a service's limits."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests import videos
from tests.recordings import TEN_SECONDS, record
from tests.test_media_timing import write_late
from tests.tiny_video import write_video
from vidrec.errors import MediaError
from vidrec.media.probe import probe, whole_seconds
from vidrec.media.repair import Limits, copy_seconds, fitting_size, repair
from vidrec.media.sampling import clips_of, frames_at

LIMITS = Limits(4.0, 360, 2160, 5184, 2.4)


@pytest.mark.parametrize(
    "size",
    [(320, 240), (240, 320), (160, 120), (1200, 400), (400, 1200), (101, 99), (8000, 4500),
     (7680, 4320), (6000, 400), (16, 3000), (640, 360)],
)  # fmt: skip
def test_every_size_is_made_to_fit(size: tuple[int, int]) -> None:
    width, height = fitting_size(*size, LIMITS)
    short, long = sorted((width, height))
    assert short >= 360 and short <= 2160 and long <= 5184 and long <= 2.4 * short + 1
    assert width % 2 == height % 2 == 0
    assert (width >= height) == (size[0] >= size[1])


def test_what_fits_keeps_its_size() -> None:
    assert fitting_size(640, 360, LIMITS) == (640, 360)
    assert fitting_size(320, 240, LIMITS) == (480, 360)


def write_sounding(path: Path, seconds: float, sound_seconds: float | None = None) -> Path:
    """A small video with a tone, which may go on longer."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        sound = container.add_stream("aac", rate=44100)
        for number in range(int(seconds * 10)):
            picture = np.full((120, 160, 3), (200, 20, 20), np.uint8)
            picture[:, :80] = (20, 20, 20 + number)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        times = np.arange(int((sound_seconds or seconds) * 44100)) / 44100
        tone = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
        resampler = av.AudioResampler("fltp", "stereo", 44100, frame_size=1024)
        for part in resampler.resample(frame):
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    return path


def test_a_short_small_clip_is_enlarged_and_looped_with_its_sound(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mp4", 1.5)
    copy = repair(path, tmp_path / "out" / "b.mp4", probe(path), LIMITS)
    info = probe(copy)
    assert (info.width, info.height) == (480, 360)
    assert 4.0 <= info.duration_sec < 6.0
    with av.open(str(copy)) as container:
        assert len(container.streams.audio) == 1
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) >= 40
    for frame in frames:  # dark on the left, red on the right, throughout
        assert frame[:, 400:, 0].mean() > 150 > 80 > frame[:, :80, 0].mean()
    assert [path.name for path in copy.parent.iterdir()] == ["b.mp4"]


def test_a_strip_is_padded_not_squashed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=4, width=1200, height=400)
    info = probe(repair(path, tmp_path / "b.mp4", probe(path), LIMITS))
    assert (info.width, info.height) == (1200, 500)
    assert info.duration_sec >= 4


def test_what_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1)
    info = probe(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MediaError):
        repair(path, tmp_path / "out" / "b.mp4", info, LIMITS)
    assert not list((tmp_path / "out").iterdir())


def test_sound_that_outlasts_the_picture_counts(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mp4", 2.0, sound_seconds=3.0)
    assert probe(path).duration_sec == pytest.approx(2.0, abs=0.1)
    assert whole_seconds(path) == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("fps", [2, 10])
@pytest.mark.parametrize("seconds", [0.5, 1.5, 2.3, 4.0, 7.0])
def test_the_length_of_a_copy_is_foreseen(tmp_path: Path, seconds: float, fps: int) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=seconds, fps=fps, width=160, height=120)
    info = probe(path)
    copy = repair(path, tmp_path / "b.mp4", info, LIMITS)
    foreseen = copy_seconds(info, LIMITS)
    assert whole_seconds(copy) == pytest.approx(foreseen, abs=max(0.2, 1 / fps))


def test_both_parts_of_a_joined_recording_are_copied(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(2 * record(tmp_path / "part", "mpegts", TEN_SECONDS))
    copy = repair(path, tmp_path / "b.mp4", probe(path), LIMITS)
    assert probe(copy).duration_sec == pytest.approx(20, abs=0.2)


def test_a_picture_that_begins_late_stays_where_it_is(tmp_path: Path) -> None:
    path = write_late(tmp_path / "a.mp4", 3)
    copy = repair(path, tmp_path / "b.mp4", probe(path), LIMITS)
    assert clips_of(copy, 10.0)[0].start_sec == pytest.approx(3.0, abs=0.1)
    frames, there = frames_at(copy, [1.0, 3.55, 4.95], (64, 96))
    assert not there[0] and [videos.frame_number(one) for one in frames[1:]] == [5, 19]
