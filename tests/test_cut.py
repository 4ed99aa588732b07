"""Moments as files and as a sheet: what is cut is what was there."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests import videos
from tests.clips import write_clips
from tests.recordings import SLIDE, TEN_SECONDS, record
from vidrec.cli import app
from vidrec.errors import MediaError
from vidrec.media.cut import cut, stills
from vidrec.media.playback import Playable, make_playable, playable
from vidrec.media.probe import probe

FPS = 10


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds with sound; each second has a keyframe and is brighter than the one before."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"g": str(FPS), "bf": "2"})
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        audio = out.add_stream("aac", rate=44_100)
        for number in range(10 * FPS):
            grey = np.full((120, 160, 3), 20 + 20 * (number // FPS), np.uint8)
            for packet in video.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")):
                out.mux(packet)
        tone = np.sin(np.arange(44_100) / 20)[None].astype(np.float32)
        for second in range(10):
            sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 44_100, second * 44_100
            for packet in audio.encode(sound):
                out.mux(packet)
        for stream in (video, audio):
            for packet in stream.encode(None):
                out.mux(packet)
    return path


def seen(path: Path) -> list[int]:
    """The seconds of the film that a file shows."""
    with av.open(str(path)) as container:
        greys = [frame.to_ndarray(format="gray").mean() for frame in container.decode(video=0)]
    return [round((grey - 20) / 20) for grey in greys]


def test_a_copy_begins_at_the_keyframe_before(film: Path, tmp_path: Path) -> None:
    made = cut(film, 3.5, 6.0, tmp_path / "copy")
    assert made == tmp_path / "copy.mp4"
    assert seen(made) == [3] * 10 + [4] * 10 + [5] * 10
    with av.open(str(made)) as container:
        assert len(container.streams.audio) == 1
        assert container.duration is not None and 2.7 < container.duration / 1e6 < 3.3
        assert (container.start_time or 0) / 1e6 < 0.3


def test_a_copy_of_matroska_begins_there_too(film: Path, tmp_path: Path) -> None:
    """After a jump Matroska does not tell when the first pictures are to be decoded."""
    boxed = tmp_path / "film.mkv"
    with av.open(str(film)) as container, av.open(str(boxed), "w") as out:
        into = out.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(container.streams.video[0]):
            if packet.dts is not None:
                packet.stream = into
                out.mux(packet)
    assert seen(cut(boxed, 3.5, 6.0, tmp_path / "copy")) == [3] * 10 + [4] * 10 + [5] * 10


def test_an_exact_cut_is_exact(film: Path, tmp_path: Path) -> None:
    made = cut(film, 3.5, 6.0, tmp_path / "exact", exact=True)
    assert seen(made) == [3] * 5 + [4] * 10 + [5] * 10


def test_stills_are_what_is_shown_then(film: Path) -> None:
    greys = [0 if s is None else round((s.mean() - 20) / 20) for s in stills(film, [0, 4.55, 9.95])]
    assert greys == [0, 4, 9]


def test_what_is_not_there_cannot_be_cut(film: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        cut(film, 50, 60, tmp_path / "late", exact=True)
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError):
        cut(tmp_path / "no.mp4", 0, 1, tmp_path / "bad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["no.mp4"]


def number_at(path: Path, second: float) -> int:
    picture = stills(path, [second])[0]
    return -1 if picture is None else videos.frame_number(picture)


@pytest.mark.parametrize("kind", ["mpegts", "mpeg", "matroska"])
@pytest.mark.parametrize("sound", [False, True], ids=["mute", "sound"])
def test_a_moment_of_a_slide_that_stands(tmp_path: Path, kind: str, sound: bool) -> None:
    """No frame lies in the moment: what is shown there goes on screen long before."""
    path = tmp_path / "a.bin"
    record(path, kind, SLIDE, sound=sound)
    made = [cut(path, 400, 404, tmp_path / "exact", exact=True), tmp_path / "film.mp4"]
    make_playable(path, playable(path), 400, made[1], lambda _: None)
    for film in made:
        assert probe(film).duration_sec == pytest.approx(4, abs=0.2) or film is made[1]
        assert [number_at(film, at) for at in (0, 3.9)] == pytest.approx([24, 24], abs=1)
    assert number_at(path, 400) == pytest.approx(24, abs=1)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv"])
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "copy"])
def test_cuts_are_as_long_as_the_moment(tmp_path: Path, suffix: str, exact: bool) -> None:
    """Within a still, into it, out of it, and within the still that is the last picture."""
    stamps = [*range(50), *range(3050, 3100), 3600, 3660]
    pictures = [videos.picture(k // 10) for k in range(102)]
    path = tmp_path / f"a{suffix}"
    videos.write_video(path, pictures, fps=10, stamps=stamps, options={"bf": "2"})
    for start, end, first, last in (
        (100, 104, 4, 4), (3, 8, 3, 4), (302, 307, 4, 6), (340, 344, 9, 9), (359, 363, 9, 10)
    ):  # fmt: skip
        made = cut(path, start, end, tmp_path / "cut", exact=exact)
        early = probe(made).duration_sec - (end - start)
        assert early == pytest.approx(0, abs=0.2) or (not exact and 0 < early < 2)
        assert number_at(made, max(0, early) + 0.1) == first
        assert number_at(made, early + end - start - 0.3) == last


def test_a_stretch_within_a_still_is_played(tmp_path: Path) -> None:
    """Of a film so large that it is copied stretch by stretch."""
    path = tmp_path / "a.ts"
    stamps = [*range(50), *range(9050, 9100)]
    videos.write_video(path, [videos.picture(k // 10) for k in range(100)], fps=10, stamps=stamps)
    how = Playable("remux", "video/mp4", 910.0, step_sec=300.0)
    for at, number in ((10, 4), (400, 4), (907, 6)):
        make_playable(path, how, at, tmp_path / "b.mp4", lambda _: None)
        assert number_at(tmp_path / "b.mp4", at % 300 - 0.5) == number
        assert probe(tmp_path / "b.mp4").duration_sec < 300.2


@pytest.mark.parametrize("kind", ["mpegts", "mpeg", "flv"])
@pytest.mark.parametrize("clocks", [(0, 0), (0, 10_800), (36_000, 0)])
def test_moments_of_joined_recordings(tmp_path: Path, kind: str, clocks: tuple[int, int]) -> None:
    """In the second of two, and across the joint."""
    parts = [record(tmp_path / "part", kind, TEN_SECONDS, clock, sound=True) for clock in clocks]
    path = tmp_path / "a.bin"
    path.write_bytes(b"".join(parts))
    for exact in (True, False)[: 1 + (kind != "flv")]:  # no box takes a copy of this codec
        made = cut(path, 14, 17, tmp_path / "one", exact=exact)
        assert probe(made).duration_sec == pytest.approx(3, abs=0.1 if exact else 1.3)
        assert number_at(made, 2.5) == pytest.approx(32, abs=1 if exact else 8)
        made = cut(path, 9, 12, tmp_path / "two", exact=exact)
        seen_then = [number_at(made, at) for at in (0.1, 2.9)]
        assert seen_then == pytest.approx([45, 9], abs=1 if exact else 8)


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "copy"])
def test_a_moment_beyond_the_first_of_joined_matroska_files(tmp_path: Path, exact: bool) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(2 * record(path, "matroska", TEN_SECONDS))
    made = cut(path, 14, 17, tmp_path / "cut", exact=exact)
    assert probe(made).duration_sec == pytest.approx(3, abs=0.1 if exact else 0.6)
    assert number_at(made, 2.5) == pytest.approx(32, abs=1 if exact else 3)


@pytest.mark.parametrize("frames", [0, 2], ids=["in-order", "reordered"])
def test_moments_of_a_bare_stream(tmp_path: Path, frames: int) -> None:
    """It has no stamps, so its pictures are counted."""
    path = tmp_path / "a.264"
    pictures = [videos.picture(k // 15) for k in range(300)]
    videos.write_video(path, pictures, fps=15, container_format="h264", options={"bf": str(frames)})
    made = [cut(path, 12.5, 15, tmp_path / "copy"), cut(path, 12.5, 15, tmp_path / "e", exact=True)]
    for film in made:
        assert probe(film).duration_sec == pytest.approx(2.5, abs=0.1)
        assert [number_at(film, at) for at in (0.1, 1, 2.4)] == [12, 13, 14]
    make_playable(path, playable(path, 20), 0, tmp_path / "film.mp4", lambda _: None)
    assert [number_at(tmp_path / "film.mp4", at + 0.5) for at in range(20)] == [*range(20)]


def test_an_answer_as_clips_and_sheets(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", ["red", "blue"])

    def vidrec(*words: object, code: int = 0) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.output

    vidrec("embed", tmp_path / "clips")
    asked = ("recommend", "a red wall", "--min-confidence", 0)
    vidrec(*asked, "--sheet", tmp_path / "a.png", "--save-clips", tmp_path / "cut")
    assert len(list((tmp_path / "cut").glob("00? *.mp4"))) == 2
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width > 1000 and len(sheet.getcolors(1 << 24) or ()) > 50
    clips["blue"].unlink()
    vidrec(*asked, "--sheet", tmp_path / "a.html", "--save-clips", tmp_path / "more", code=4)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 5 and "http" not in page
    assert "sheet takes" in vidrec(*asked, "--sheet", tmp_path / "a.gif", code=2)
