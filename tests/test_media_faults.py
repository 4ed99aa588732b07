"""Damaged files give what can be decoded or one MediaError: never a crash, never a hang."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests import videos
from vidrec.errors import MediaError, TransientError
from vidrec.media import limits
from vidrec.media.clips import split_clips
from vidrec.media.probe import probe
from vidrec.media.sampling import frames_at, iter_clip_frames
from vidrec.media.source import is_starved
from vidrec.sections import MediaSettings

SIZE = (32, 32)
SOURCES = {
    "a.mp4": {"container_options": {"movflags": "faststart"}},
    "b.mkv": {},
    "c.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "d.webm": {"codec": "libvpx-vp9"},
    "e.ts": {"codec": "mpeg2video", "options": {"bf": "2"}, "container_format": "mpegts"},
    "f.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "g.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "h.mpg": {"codec": "mpeg1video", "container_format": "mpeg"},
    "i.flv": {},
    "j.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
}


def survive(path: Path) -> None:
    """Do all that can be done with a file; anything but MediaError is a failure."""
    started = time.monotonic()
    for attempt in (
        lambda: probe(path),
        lambda: list(iter_clip_frames(path, 1.0, 4, SIZE, warnings=[])),
        lambda: frames_at(path, [0.5, 0.7, 0.9, 1.1], SIZE),
    ):
        try:
            attempt()
        except MediaError as exc:
            assert "\n" not in str(exc)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("name", SOURCES)
def test_truncated_and_bit_flipped_copies(tmp_path: Path, name: str) -> None:
    whole = videos.write_video(tmp_path / name, 48, fps=25, keyframe_every=16, **SOURCES[name])
    rng = np.random.default_rng(7)

    for i, share in enumerate(np.linspace(0.02, 0.98, 9)):
        survive(videos.truncated(whole, tmp_path / f"t{i}{whole.suffix}", float(share)))
    for seed in range(14):
        flips = int(rng.choice([1, 3, 10, 60]))
        survive(videos.bit_flipped(whole, tmp_path / f"f{seed}{whole.suffix}", flips, seed))


def test_a_header_of_absurd_length_is_not_believed(tmp_path: Path) -> None:
    path = videos.write_video(
        tmp_path / "a.mp4", 30, fps=25, container_options={"movflags": "faststart"}
    )
    data = path.read_bytes()
    for box in (b"mvhd", b"tkhd", b"mdhd", b"stts"):
        at = data.index(box)
        damaged = bytearray(data)
        damaged[at + 20 : at + 28] = b"\x7f" * 8
        target = tmp_path / f"{box.decode()}.mp4"
        target.write_bytes(bytes(damaged))
        survive(target)


def test_an_absurd_frame_rate_is_not_believed(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.avi", 30, fps=25, codec="mpeg4")
    data = bytearray(path.read_bytes())
    scale = data.index(b"strh") + 8 + 20
    data[scale : scale + 8] = (1 << 30).to_bytes(4, "little") + (1).to_bytes(4, "little")
    path.write_bytes(bytes(data))

    assert 0 < probe(path).duration_sec <= 30 * 600
    survive(path)


def test_a_damaged_codec_header_is_said(tmp_path: Path) -> None:
    path = videos.write_video(
        tmp_path / "a.mp4", 10, codec="libx265", options={"x265-params": "log-level=none"}
    )
    data = bytearray(path.read_bytes())
    start = data.index(b"hvcC") + 4
    for flip in range(start, start + 60):
        damaged = bytearray(data)
        damaged[flip] ^= 0xFF
        path.write_bytes(bytes(damaged))
        survive(path)


def test_reading_that_finds_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 30)
    monkeypatch.setattr(limits, "_in_force", MediaSettings(stall_sec=1e-9))

    with pytest.raises(TransientError, match="given up"):
        frames_at(path, [0.5], SIZE)


def test_threads_may_decode_different_files_at_once(tmp_path: Path) -> None:
    paths = [
        videos.write_video(
            tmp_path / f"{i}.mp4", [videos.picture((i * 7 + k) % 64) for k in range(40)]
        )
        for i in range(4)
    ]
    alone = [frames_at(path, [0.1, 0.9, 1.5], SIZE)[0] for path in paths]
    found: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        for _ in range(5):
            found[i] = frames_at(paths[i], [0.1, 0.9, 1.5], SIZE)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert all((found[i] == alone[i]).all() for i in range(4))


@pytest.mark.parametrize(
    ("duration", "ends"),
    [
        (0.04, [0.04]),
        (9.0, [9.0]),
        (14.9, [14.9]),
        (15.0, [10.0, 15.0]),
        (24.9, [10.0, 24.9]),
        (25.0, [10.0, 20.0, 25.0]),
        (30.0, [10.0, 20.0, 30.0]),
    ],
)
def test_clips_cover_the_video_without_short_tails(duration: float, ends: list[float]) -> None:
    clips = split_clips(duration, 10.0)

    assert [clip.end_sec for clip in clips] == ends
    assert [clip.start_sec for clip in clips] == [0.0, *ends[:-1]]


def test_a_clip_length_must_be_positive() -> None:
    for length in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="Received: clip_sec"):
            split_clips(10.0, length)


def test_a_lack_of_memory_is_told_from_an_absurd_claim() -> None:
    """The same exception; whether the machine has plenty left makes the difference."""
    pytest.importorskip("resource")
    assert not is_starved(MemoryError())
    program = (
        "import resource, sys\n"
        "from vidrec.media.source import is_starved\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\n"
        "sys.exit(not is_starved(MemoryError()))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_what_is_encrypted_is_refused_as_such(tmp_path: Path) -> None:
    """Decoded without its key it would be noise."""
    key = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "7" * 32,
        "encryption_kid": "1" * 32,
    }
    path = videos.write_video(tmp_path / "a.mp4", 50, container_options=key)
    for look in (probe, lambda path: list(iter_clip_frames(path, 10, 4, (64, 96)))):
        with pytest.raises(MediaError, match="it is encrypted"):
            look(path)
