"""Moments as files and as a sheet: what is cut is what was there."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.clips import write_clips
from vidrec.cli import app
from vidrec.errors import MediaError
from vidrec.media.cut import cut, stills

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
