"""A film sampled in several places at once shows what it shows from beginning to end."""

from __future__ import annotations

import threading
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from tests import videos
from vidrec.media import stretches
from vidrec.media.sampling import ClipFrames, Film, open_film
from vidrec.media.source import load_decoder

SIZE = (64, 96)


def write_film(path: Path, every: int, **options: object) -> Path:
    """76 seconds at 10 frames a second."""
    pictures = [videos.picture(i % 64) for i in range(760)]
    params = {"options": {"x264-params": "scenecut=0"}, **options}
    return videos.write_video(path, pictures, fps=10, keyframe_every=every, **params)


def sampled(path: Path, at_once: int, warnings: list[str] | None = None) -> list[ClipFrames]:
    with open_film(path, 4.0, 8, SIZE, warnings=warnings) as film:
        if at_once == 1:
            found = list(film.sample())
        else:
            assert film.can_be_parted
            parts = stretches.in_stretches(film, lambda sample: sample, lambda: at_once)
            found = [sample for _, sample in parts]
        film.conclude(bool(found))
    return found


def assert_same(left: list[ClipFrames], right: list[ClipFrames]) -> None:
    assert [c.clip for c in left] == [c.clip for c in right]
    assert [c.times for c in left] == [c.times for c in right]
    assert [c.counts for c in left] == [c.counts for c in right]
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "STRETCH_CLIPS", 2)


@pytest.mark.parametrize("every", [7, 33, 97, 250])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_stretches_show_what_the_whole_shows(tmp_path: Path, suffix: str, every: int) -> None:
    path = write_film(tmp_path / f"a{suffix}", every)

    whole = sampled(path, 1)

    assert len(whole) == 19
    assert_same(sampled(path, 3), whole)


@pytest.mark.parametrize("kind", ["open gop", "hevc", "cut off", "damaged", "late"])
def test_also_of_films_that_are_not_plain(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.mp4"
    if kind == "open gop":
        params = "open-gop=1:keyint=25:bframes=3:scenecut=0"
        write_film(path, 25, options={"x264-params": params})
    elif kind == "hevc":
        params = "log-level=none:scenecut=0"
        write_film(path, 40, codec="libx265", options={"x265-params": params})
    elif kind == "late":
        write_film(path, 40, first_stamp=300, audio_sec=4.0)
    else:
        write_film(path, 40, container_options={"movflags": "faststart"})
    if kind == "cut off":
        path = videos.truncated(path, tmp_path / "b.mp4", 0.6)
    if kind == "damaged":
        data = bytearray(path.read_bytes())
        start = data.index(b"mdat")
        middle = start + (len(data) - start) // 2
        data[middle : middle + 900] = bytes(900)
        path.write_bytes(data)
    notes: tuple[list[str], list[str]] = ([], [])

    whole = sampled(path, 1, notes[0])

    assert_same(sampled(path, 3, notes[1]), whole)
    assert notes[0] == notes[1] or kind == "damaged"


def test_films_that_cannot_be_sought_are_read_from_end_to_end(tmp_path: Path) -> None:
    for name, options in {
        "a.ts": {"container_format": "mpegts"},
        "b.mkv": {"seekable": False},
        "c.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
        "d.flv": {},
    }.items():
        path = write_film(tmp_path / name, 40, **options)
        with open_film(path, 4.0, 8, SIZE) as film:
            assert not film.can_be_parted


def test_stretches_end_when_nobody_wants_more(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", 40)
    load_decoder()
    used: list[str] = []
    begun, both = count(), threading.Barrier(2)

    def use(sample: ClipFrames) -> None:
        if next(begun) < 2:
            both.wait(20)
        used.append(threading.current_thread().name)
        time.sleep(0.1)

    def first_of(film: Film) -> None:
        parts = stretches.in_stretches(film, use, lambda: 2)
        next(parts)
        parts.close()

    with open_film(path, 4.0, 8, SIZE) as film:
        first_of(film)
    before = len(used)
    time.sleep(0.3)
    assert len(used) == before <= 8 and len(set(used)) > 1


def test_a_clip_is_there_before_its_stretch_is_done(tmp_path: Path) -> None:
    """So that progress of a film shows clip by clip."""
    path = write_film(tmp_path / "a.mp4", 40)
    load_decoder()
    seen = threading.Event()

    def use(sample: ClipFrames) -> bool:
        return sample.clip.start_sec == 0 or seen.wait(20)

    with open_film(path, 4.0, 8, SIZE) as film:
        parts = stretches.in_stretches(film, use, lambda: 2)
        next(parts)
        seen.set()
        assert all(waited for _, waited in parts)
