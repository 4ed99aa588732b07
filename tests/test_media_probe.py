"""Probing: what a file is, and one line of reason when it is no video."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests import videos
from vidrec.errors import MediaError
from vidrec.media.extensions import is_video_file, is_video_name
from vidrec.media.picture import Fit
from vidrec.media.probe import measure_duration, probe
from vidrec.media.sampling import frames_at, iter_clip_frames

ODD = Path(__file__).parents[2] / "shared" / "data" / "odd"


def test_probe_tells_length_size_rate_and_codec(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 30, fps=25)

    info = probe(path)

    assert info.duration_sec == pytest.approx(1.2)
    assert (info.width, info.height, info.fps) == (96, 64, 25.0)
    assert (info.codec, info.rotation) == ("h264", 0)


def test_probe_counts_square_pixels(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 5, aspect=Fraction(4, 3))

    assert (probe(path).width, probe(path).height) == (128, 64)


@pytest.mark.parametrize(
    ("rotation", "hflip", "corner"),
    [
        (0, False, (0, 0)),
        (90, False, (-1, 0)),
        (180, False, (-1, -1)),
        (-90, False, (0, -1)),
        (0, True, (0, -1)),
        (90, True, (-1, -1)),
    ],
)
def test_pictures_are_turned_as_a_player_turns_them(
    tmp_path: Path, rotation: int, hflip: bool, corner: tuple[int, int]
) -> None:
    """A mark in the stored top left corner; +90 turns the picture counter-clockwise."""
    stored = np.full((64, 96, 3), 30, np.uint8)
    stored[:16, :16] = 230
    path = videos.write_video(tmp_path / "a.mp4", [stored] * 3, rotation=rotation, hflip=hflip)
    turned = rotation in (90, -90)

    info = probe(path)
    frames, _ = frames_at(path, [0.0], (96, 64) if turned else (64, 96), fit="squash")

    assert (info.width, info.height) == ((64, 96) if turned else (96, 64))
    marks = {(y, x): int(frames[0, y, x, 0]) for y in (0, -1) for x in (0, -1)}
    assert max(marks, key=marks.__getitem__) == corner
    assert sorted(marks.values())[-2] < 80


@pytest.mark.parametrize(
    ("fit", "black_rows", "grey_columns"), [("squash", 0, 32), ("pad", 32, 32), ("crop", 0, 48)]
)
def test_fits(tmp_path: Path, fit: Fit, black_rows: int, grey_columns: int) -> None:
    """A 96x64 picture, white with a grey middle third, comes to 96x96."""
    stored = np.full((64, 96, 3), 250, np.uint8)
    stored[:, 32:64] = 120
    path = videos.write_video(tmp_path / "a.mp4", [stored] * 3)

    frames, _ = frames_at(path, [0.0], (96, 96), fit=fit)

    assert (frames[0, :, 4, 0] < 20).sum() == black_rows
    assert (abs(frames[0, 48, :, 0].astype(int) - 120) < 40).sum() == pytest.approx(
        grey_columns, abs=2
    )


def test_unmarked_high_definition_is_taken_for_bt709(tmp_path: Path) -> None:
    red = np.zeros((720, 1280, 3), np.uint8)
    red[:] = (200, 30, 60)
    path = videos.write_video(tmp_path / "hd.mp4", [red])  # written as BT.601, untagged

    frames, _ = frames_at(path, [0.0], (8, 8), fit="squash")

    assert frames[0, 4, 4].tolist() == pytest.approx([210, 46, 56], abs=4)


def test_length_is_measured_where_the_header_has_none(tmp_path: Path) -> None:
    for name, options in {"a.mkv": {}, "a.webm": {"codec": "libvpx"}}.items():
        path = videos.write_video(tmp_path / name, 30, fps=25, seekable=False, **options)
        assert probe(path).duration_sec == pytest.approx(1.2)
    raw = videos.write_video(tmp_path / "a.h264", 30, fps=25, container_format="h264")
    assert measure_duration(raw) == pytest.approx(1.2)


def test_what_is_no_video_is_refused_with_its_reason(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all\n" * 50)
    (tmp_path / "notes.txt").write_text("no video at all\n" * 50)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://example.invalid/a.ts\n")
    (tmp_path / "joined.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    (tmp_path / "folder.mp4").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "still.png")
    videos.write_sound(tmp_path / "sound.m4a")
    os.mkfifo(tmp_path / "pipe.mp4")
    reasons = {
        "missing.mp4": "no such file",
        "empty.mp4": "the file is empty",
        "text.mp4": "not a video",
        "notes.txt": "not a video",
        "noise.mp4": "not a video",
        "list.mp4": "video",
        "joined.mp4": "video",
        "folder.mp4": "is a folder",
        "still.png": "not a video",
        "sound.m4a": "sound but no picture",
        "pipe.mp4": "not a regular file",
    }
    for name, reason in reasons.items():
        with pytest.raises(MediaError, match=reason) as caught:
            probe(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_no_permission_is_said(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 3)
    path.chmod(0)
    with pytest.raises(MediaError, match="no permission"):
        probe(path)


def test_names_need_not_be_text(tmp_path: Path) -> None:
    good = videos.write_video(tmp_path / "a.mp4", 3)
    for name in (b"with space %d.mp4", b"http:a.mp4", b"caf\xc3\xa9.MP4", b"latin\xe9.mp4"):
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(good.read_bytes())
        assert probe(path).width == 96


def test_extensions_ignore_case() -> None:
    assert is_video_name(Path("A.MP4")) and is_video_name(Path("b.Gif"))
    assert not is_video_name(Path("a.webp")) and not is_video_name(Path("mp4"))


def test_texts_that_end_like_videos_are_no_videos(tmp_path: Path) -> None:
    texts = {"a.ts": "export const a = 1\n", "b.mts": "// Größe\n" * 400, "go.mod": "module x\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert not is_video_file(tmp_path / name)
    videos.write_video(tmp_path / "c.ts", 3, container_format="mpegts")
    (tmp_path / "empty.ts").touch()

    assert is_video_file(tmp_path / "c.ts") and is_video_file(tmp_path / "gone.ts")
    assert is_video_file(tmp_path / "empty.ts")  # a failure that is told of


def test_the_decoder_prints_nothing(tmp_path: Path) -> None:
    whole = videos.write_video(tmp_path / "a.mp4", 60, keyframe_every=10)
    damaged = videos.bit_flipped(whole, tmp_path / "b.mp4", 40, seed=1)
    script = (
        "import sys; from pathlib import Path; from vidrec.errors import MediaError\n"
        "from vidrec.media.sampling import iter_clip_frames\n"
        "try: print(len(list(iter_clip_frames(Path(sys.argv[1]), 1.0, 8, (32, 32)))))\n"
        "except MediaError as exc: print(exc)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(damaged)], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0 and done.stderr == "" and done.stdout.strip()


@pytest.mark.skipif(not ODD.exists(), reason="needs the shared test videos")
@pytest.mark.parametrize("name", sorted(p.name for p in ODD.glob("*")) or ["none"])
def test_odd_files_give_full_clips(name: str) -> None:
    info = probe(ODD / name)
    clips = list(iter_clip_frames(ODD / name, 10.0, 8, (48, 48), sparing="never"))

    assert info.duration_sec > 0 and info.width > 0
    assert all(sum(clip.counts) == 8 for clip in clips)
    assert clips[-1].clip.end_sec == pytest.approx(info.duration_sec, abs=0.01)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_title_that_is_not_utf8_keeps_no_video_out(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Café"
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        grey = np.full((48, 64, 3), 90, np.uint8)
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.count("Café".encode()) == 1
    path.write_bytes(data.replace("Café".encode(), b"Caf\xe9!"))  # Latin-1
    assert probe(path).width == 64
