"""Damaged copies of small good files, each from a number: the same number, the same copy."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests import videos

H265 = {"x265-params": "log-level=none"}
VIDEOS: dict[str, dict[str, object]] = {
    "x264.mp4": {},
    "start.mp4": {"container_options": {"movflags": "faststart"}},
    "parts.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "sound.mp4": {"audio_sec": 2.0},
    "turned.mov": {"rotation": 90},
    "hevc.mp4": {"codec": "libx265", "options": H265},
    "av1.mp4": {"codec": "libsvtav1"},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "x264.mkv": {"audio_sec": 2.0},
    "piped.mkv": {"seekable": False},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "x264.avi": {},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "x264.ts": {"container_format": "mpegts"},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}, "container_format": "mpegts"},
    "mpeg1.mpg": {"codec": "mpeg1video", "container_format": "mpeg"},
    "mpeg2.vob": {"codec": "mpeg2video", "options": {"bf": "2"}, "container_format": "vob"},
    "x264.flv": {},
    "wmv.wmv": {"codec": "wmv2"},
    "rgb.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "raw.h264": {"container_format": "h264"},
    "raw.hevc": {"codec": "libx265", "options": H265, "container_format": "hevc"},
    "vp8.ogv": {"codec": "libvpx", "container_format": "ogg"},
    "mpeg4.nut": {"codec": "mpeg4"},
    "dnx.mxf": {"codec": "mpeg2video", "container_format": "mxf"},
}
PICTURES = ("avif", "bmp", "dds", "eps", "gif", "ico", "jpeg", "jpeg2000", "pcx", "png", "ppm",
            "tga", "tiff", "webp")  # fmt: skip
_EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00FFFFFF, 0x10000)


def good_videos(folder: Path) -> list[Path]:
    """Write one small video of each kind, of a second or two."""
    made = []
    for name, options in VIDEOS.items():
        try:
            made.append(videos.write_video(folder / name, 40, fps=25, **options))
        except (av.error.FFmpegError, ValueError):  # a build of FFmpeg without the encoder
            (folder / name).unlink(missing_ok=True)
    return made


def good_pictures(folder: Path) -> list[Path]:
    made = []
    for kind in PICTURES:
        path = folder / f"{kind}.{kind}"
        Image.fromarray(videos.picture(27, 200, 150)).save(path, kind)
        made.append(path)
    return made


def mutant(number: int, originals: list[bytes]) -> tuple[int, bytes]:
    """Return which original was damaged, and the damaged bytes."""
    rng = np.random.default_rng(number)
    which = int(rng.integers(len(originals)))
    data = bytearray(originals[which])
    for _ in range(int(rng.integers(1, 4))):
        _damage(data, rng, originals)
    return which, bytes(data) or b"\0"


def _damage(data: bytearray, rng: np.random.Generator, originals: list[bytes]) -> None:
    """Damage bytes in one of a few ways, often near the beginning, where headers are."""
    size = max(1, len(data))
    reach = size if rng.random() < 0.5 else min(size, 2048)
    at = int(rng.integers(reach))
    if rng.random() < 0.2 and size > 2048:
        at = size - 1 - at % 2048  # or near the end, where MP4 keeps its tables
    match int(rng.integers(7)):
        case 0:  # single bits
            for _ in range(int(rng.choice([1, 3, 20, 200]))):
                place = int(rng.integers(reach))
                if place < len(data):
                    data[place] ^= 1 << int(rng.integers(8))
        case 1:  # noise
            length = int(rng.choice([1, 4, 64, 1024]))
            data[at : at + length] = rng.bytes(length)
        case 2:  # a number that is far too large, or nothing
            order = "big" if rng.random() < 0.6 else "little"
            data[at : at + 4] = int(rng.choice(_EXTREMES)).to_bytes(4, order)
        case 3:  # cut off
            del data[at:]
        case 4:  # a stretch is missing
            del data[at : at + int(rng.choice([1, 16, 512, 4096]))]
        case 5:  # a stretch comes twice, or often
            length = int(rng.choice([4, 64, 2048]))
            data[at:at] = data[at : at + length] * int(rng.choice([1, 2, 50]))
        case _:  # a stretch of another file
            other = originals[int(rng.integers(len(originals)))]
            start = int(rng.integers(len(other)))
            length = int(rng.choice([16, 512, 8192]))
            data[at : at + length] = other[start : start + length]
