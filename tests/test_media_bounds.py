"""What a file may ask of the machine is bounded, and it opens nothing but itself."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests import videos
from vidrec.errors import Cancelled, MediaError, TransientError
from vidrec.media import limits, source
from vidrec.media.image import read_image
from vidrec.media.probe import probe
from vidrec.media.sampling import frames_at, iter_clip_frames
from vidrec.sections import MediaSettings

SIZE = (32, 32)


def gif_of(width: int, height: int, frames: int = 3) -> bytes:
    """A GIF of a few hundred bytes: a large screen on which one pixel changes."""
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    data = b"GIF89a" + size + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    picture = b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
    return data + (b"!\xf9\x04\x04\x0a\0\0\0" + picture) * frames + b";"


def test_frames_beyond_the_limit_are_never_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(gif_of(16_000, 16_000))

    for attempt in (probe, lambda path: list(iter_clip_frames(path, 10.0, 8, SIZE))):
        with pytest.raises(MediaError, match=r"16000x16000 pixels .* frame_megapixels"):
            attempt(path)
    path.write_bytes(gif_of(400, 300))
    assert probe(path).width == 400


def test_the_limit_of_pixels_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_in_force", MediaSettings(frame_megapixels=0.005))
    for name, options in {
        "a.mp4": {},
        "b.mkv": {},
        "c.ts": {"container_format": "mpegts"},
        "d.avi": {"codec": "mpeg4"},
        "e.gif": {"codec": "gif", "pix_fmt": "rgb8"},
        "f.h264": {"container_format": "h264"},
        "g.mpg": {"codec": "mpeg1video", "container_format": "mpeg"},
        "h.flv": {},
    }.items():
        path = videos.write_video(tmp_path / name, 5, **options)
        with pytest.raises(MediaError, match=r"pixels.* frame_megapixels"):
            probe(path)


def test_pictures_that_grow_on_the_way_stay_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = videos.write_video(tmp_path / "s.h264", 5, container_format="h264")
    large = videos.write_video(
        tmp_path / "l.h264", [videos.picture(9, 480, 320)] * 5, container_format="h264"
    )
    path = tmp_path / "a.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    monkeypatch.setattr(limits, "_in_force", MediaSettings(frame_megapixels=0.01))

    frames, _ = frames_at(path, [0.1, 0.3], SIZE)

    assert videos.frame_number(frames[1]) < 5  # the large ones were refused


SCRIPTS = {
    "itself.mp4": "ffconcat version 1.0\nfile itself.mp4\n",
    "fifo.mp4": "ffconcat version 1.0\nfile part.fifo\n",
    "good.mp4": "ffconcat version 1.0\nfile whole.mp4\n",
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nwhole.ts\n#EXT-X-ENDLIST\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\npart.fifo\n#EXT-X-ENDLIST\n",
    "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>'
    "part.fifo</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "redirect.mov": "RTSPtext rtsp://127.0.0.1/a\n",
    "list.asx": '<asx version="3.0"><entry><ref href="part.fifo"/></entry></asx>',
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_or_playlist_is_followed(tmp_path: Path, name: str) -> None:
    videos.write_video(tmp_path / "whole.mp4", 5)
    videos.write_video(tmp_path / "whole.ts", 5, container_format="mpegts")
    os.mkfifo(tmp_path / "part.fifo")
    path = tmp_path / name
    path.write_text(SCRIPTS[name])
    started = time.monotonic()

    with pytest.raises(MediaError, match="not a video"):
        probe(path)
    assert time.monotonic() - started < 20


def test_frames_are_freed_as_soon_as_they_are_painted(tmp_path: Path) -> None:
    stored = [np.full((720, 1280, 3), 9 * i, np.uint8) for i in range(16)]
    path = videos.write_video(
        tmp_path / "a.mp4", stored, rotation=90, keyframe_every=1, codec="mpeg4"
    )
    gc.collect()
    gc.disable()
    try:
        for _ in iter_clip_frames(path, 0.2, 8, SIZE):
            alive = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
            assert alive <= 4
    finally:
        gc.enable()


def test_reading_ends_when_asked(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mkv", 60, keyframe_every=5)

    for attempt in (
        lambda: probe(path, cancelled=lambda: True),
        lambda: list(iter_clip_frames(path, 1.0, 4, SIZE, cancelled=lambda: True)),
        lambda: frames_at(path, [0.5], SIZE, cancelled=lambda: True),
    ):
        with pytest.raises(Cancelled):
            attempt()


def test_a_want_of_descriptors_or_permission_says_nothing_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 5)
    real = Path.open

    def refused(self: Path, *args: object, **kwargs: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(TransientError, match="no permission"):
        probe(path)
    monkeypatch.setattr(Path, "open", real)
    monkeypatch.setattr(source, "check_readable", lambda path: None)
    script = (
        "import os, resource, sys; from pathlib import Path\n"
        "from vidrec.media.probe import probe; from vidrec.media import source\n"
        "source.load_decoder(); source.check_readable = lambda p: 0\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.open(sys.argv[1], os.O_RDONLY))\n"
        "except OSError: pass\n"
        "try: probe(Path(sys.argv[1]))\n"
        "except Exception as exc: print(type(exc).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "TransientError", done.stderr


def test_encapsulated_postscript_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_program(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"started {args}")

    path = tmp_path / "a.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n")
    monkeypatch.setattr(subprocess, "Popen", no_program)

    with pytest.raises(MediaError, match="not an image of a kind"):
        read_image(path, SIZE)


@pytest.mark.parametrize("kind", ["avif", "dds", "tga", "ico", "jpeg2000", "pcx", "webp"])
def test_malformed_pictures_give_one_line(tmp_path: Path, kind: str) -> None:
    whole = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(whole, kind)
    rng = np.random.default_rng(3)
    for number in range(60):
        data = bytearray(whole.getvalue())
        for _ in range(int(rng.integers(1, 12))):
            data[rng.integers(len(data))] = rng.integers(256)
        path = tmp_path / f"{number}.img"
        path.write_bytes(data[: rng.integers(1, len(data) + 1)])
        try:
            assert read_image(path, (8, 8)).shape == (8, 8, 3)
        except MediaError as exc:
            assert "\n" not in str(exc)


def test_a_picture_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (12_000, 12_000)).save(path)

    with pytest.raises(MediaError, match=r"12000x12000 pixels .* image_megapixels"):
        read_image(path, SIZE)
