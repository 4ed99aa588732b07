"""Playback: what browsers play of a video file, and what has to be made of the rest.

Browsers agree on H.264 of 8 bits (4:2:0) with AAC or MP3 in MP4, and VP8, VP9 or AV1 with Opus or
Vorbis in WebM. The right picture in the wrong box is copied into MP4, packet by packet; anything
else is decoded and encoded again. Posters are JPEG, previews MP4 without sound.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from vidrec.errors import MediaError
from vidrec.media.cut import stills
from vidrec.media.encoding import Shape, copy, encode
from vidrec.media.source import open_video

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

    from vidrec.media.source import Source
    from vidrec.types import VideoInfo

Kind: TypeAlias = Literal["direct", "remux", "transcode"]
Report: TypeAlias = Callable[[float], None]
# Writes what is made of (a video, from a second on) to a file, and tells how far it is.
Write: TypeAlias = Callable[[Path, float, Path, Report], None]

POSTER_WIDTH = 480
PRESET = "superfast"  # 30 s of 960x540 cost 7 s of processor time
PREVIEW = Shape(box=(320, 320), crf=30, preset=PRESET, sound=False, most_fps=15)
PREVIEW_SECONDS = 3.0
FILM = Shape(box=(960, 960), crf=23, preset=PRESET, sound=True, most_fps=60)

_MP4_SOUND = frozenset({"aac", "mp3"})
_WEBM_SOUND = frozenset({"opus", "vorbis"})
_WEBM_PICTURE = {
    "vp8": frozenset({"yuv420p", "yuva420p"}),
    "vp9": frozenset({"yuv420p", "yuva420p", "yuv420p10le"}),
    "av1": frozenset({"yuv420p", "yuv420p10le"}),
}
_MP4 = frozenset({".mp4", ".m4v", ".mov"})
_DECODERS = {"libdav1d": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9"}  # and what they decode
_H264_PIXELS = frozenset({"yuv420p", "yuvj420p"})
_DOC_TYPE = b"\x42\x82"  # what an EBML header calls itself: WebM or Matroska
# What is made of a file at once: all of it, up to so many seconds of what has to be encoded, so
# many bytes of what is copied; of more, stretches of so many seconds.
_WHOLE_SEC, _ENCODED_SEC = 60.0, 30.0
_WHOLE_BYTES, _COPIED_SEC = 256 << 20, 300.0


@dataclass(frozen=True, slots=True)
class Playable:
    """How a file is played: as it is, or by what is made of it.

    Attributes:
        kind: ``direct`` as it is, ``remux`` copied into MP4, ``transcode`` encoded again.
        media_type: of the file as it is.
        duration_sec: of the whole.
        step_sec: the length of the stretches that are made of it; 0 where all is made at once.
    """

    kind: Kind
    media_type: str
    duration_sec: float
    step_sec: float = 0.0

    def stretch(self, at_sec: float) -> tuple[float, float]:
        """Return start and end, in seconds, of what is played at a moment."""
        if not self.step_sec:
            return 0.0, self.duration_sec
        last = max(0.0, self.duration_sec - 0.5)
        start = min(at_sec, last) // self.step_sec * self.step_sec
        return start, min(start + self.step_sec, self.duration_sec)


def playable(path: Path, duration_sec: float | None = None) -> Playable:
    """Look at a file's header; ``duration_sec`` is its length as it is known otherwise.

    Raises:
        MediaError: it cannot be read.
        TransientError: it cannot be read now.
    """
    with open_video(path) as source:
        length = duration_sec or (source.container.duration or 0) / 1_000_000
        sound = next(iter(source.container.streams.audio), None)
        first = source.stream.index == source.container.streams.video[0].index
        media_type = _media_type(source, sound) if first else None
        if media_type is not None:
            return Playable("direct", media_type, length)
        if _is_plain_h264(source):
            step = _COPIED_SEC if path.stat().st_size > _WHOLE_BYTES else 0.0
            return Playable("remux", "video/mp4", length, step)
        step = _ENCODED_SEC if length > _WHOLE_SEC else 0.0
        return Playable("transcode", "video/mp4", length, step)


def likely(filename: str, info: VideoInfo | None) -> Playable:
    """Say how a file is played that is not here, by its name and what was found when it was.

    Its colours and its sound are not known: a browser finds out.
    """
    length = info.duration_sec if info else 0.0
    step = _ENCODED_SEC if length > _WHOLE_SEC else 0.0
    box, decoder = Path(filename).suffix.lower(), info.codec if info else ""
    codec = _DECODERS.get(decoder, decoder)
    if not codec or (box in _MP4 and codec in ("h264", "av1", "vp9")):
        return Playable("direct", "video/mp4", length)
    if box == ".webm" and codec in _WEBM_PICTURE:
        return Playable("direct", "video/webm", length)
    return Playable("remux" if codec == "h264" else "transcode", "video/mp4", length, step)


def _media_type(source: Source, sound: AudioStream | None) -> str | None:
    """Return the type by which a browser plays the file as it is; None where it does not."""
    box = source.container.format.name
    heard = None if sound is None else _codec(sound)
    if "mp4" in box:
        modern = _codec(source.stream) in ("av1", "vp9") and _is_web_picture(source)
        seen = _is_plain_h264(source) or modern
        return "video/mp4" if seen and heard in (None, *_MP4_SOUND, "opus") else None
    if "webm" in box and _is_webm(source.path):
        seen = _is_web_picture(source)
        return "video/webm" if seen and heard in (None, *_WEBM_SOUND) else None
    return None


def _is_plain_h264(source: Source) -> bool:
    context = source.stream.codec_context
    return _codec(source.stream) == "h264" and context.pix_fmt in _H264_PIXELS


def _is_web_picture(source: Source) -> bool:
    pixels = _WEBM_PICTURE.get(_codec(source.stream), frozenset())
    return source.stream.codec_context.pix_fmt in pixels


def _codec(stream: object) -> str:
    """Return the name of a codec, whichever decoder is used for it."""
    context = getattr(stream, "codec_context", None)
    return str(context.codec.canonical_name) if context is not None else ""


def _is_webm(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(128)
    at = head.find(_DOC_TYPE)
    return at >= 0 and head[at + 3 : at + 7] == b"webm"


def make_playable(path: Path, how: Playable, at_sec: float, target: Path, report: Report) -> None:
    """Write an MP4 of what is played at a moment.

    Raises:
        MediaError: the video cannot be read, or has nothing there.
    """
    start, end = how.stretch(at_sec)
    if how.kind == "remux":
        with suppress(MediaError):  # else it is encoded
            return copy(path, start, end, target, report, keep_sound=_MP4_SOUND)
    encode(path, start, end, target, report, FILM)


def preview(path: Path, at_sec: float, target: Path, report: Report) -> None:
    """Write a few small, silent seconds as MP4.

    Raises:
        MediaError: the video cannot be read.
    """
    try:
        encode(path, at_sec, at_sec + PREVIEW_SECONDS, target, report, PREVIEW)
    except MediaError:
        if at_sec == 0:
            raise
        encode(path, 0.0, PREVIEW_SECONDS, target, report, PREVIEW)


def poster(path: Path, at_sec: float, target: Path, report: Report) -> None:
    """Write the picture at a moment as JPEG; the first one where there is none.

    Raises:
        MediaError: the video cannot be read.
    """
    from PIL import Image

    picture = stills(path, [at_sec])[0]
    if picture is None and at_sec:
        picture = stills(path, [0.0])[0]
    if picture is None:
        raise MediaError(f"{path}: no picture can be decoded")
    image = Image.fromarray(picture)
    image.thumbnail((POSTER_WIDTH, 2 * POSTER_WIDTH), Image.Resampling.BOX, reducing_gap=2.0)
    image.save(target, "JPEG", quality=80, progressive=True)
