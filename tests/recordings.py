"""Writers of recordings whose clocks begin anywhere, jump or stand, with and without sound."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from tests import videos

RATES = {"flv": 1000, "matroska": 1000}
PICTURES = {"flv": "flv", "mpegts": "mpeg2video", "matroska": "mpeg4"}
SOUND_RATE, SOUND_FRAME = 22050, 1152
TEN_SECONDS = [k / 25 for k in range(250)]
SLIDE = [*[k / 25 for k in range(125)], *[905 + k / 25 for k in range(125)]]


def record(
    path: Path,
    kind: str,
    seconds: Sequence[float],
    first_sec: float = 0.0,
    sound: bool = False,
    options: dict[str, str] | None = None,
) -> bytes:
    """Write frames at seconds of a clock that begins at ``first_sec``; return the file.

    ``options`` are the container's.

    Five frames in a row show one picture (but of a few, each its own).
    """
    each = 5 if len(seconds) > 64 else 1
    rate = RATES.get(kind, 90_000)
    with av.open(str(path), "w", format=kind, options=options or {}) as container:
        stream = container.add_stream(PICTURES.get(kind, "mpeg2video"), rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", 12
        stream.codec_context.max_b_frames = 0
        stream.time_base = Fraction(1, rate)
        track = (
            container.add_stream("pcm_s16le" if kind == "flv" else "mp2", rate=SOUND_RATE)
            if sound
            else None
        )
        packets = []
        for number in range(len(seconds)):
            frame = av.VideoFrame.from_ndarray(videos.picture(number // each), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet, second in zip(packets, seconds, strict=True):
            packet.pts = packet.dts = round((first_sec + second) * rate)
            packet.time_base = Fraction(1, rate)
        for at in range(0, int(SOUND_RATE * seconds[-1]) if track else 0, SOUND_FRAME):
            frame = av.AudioFrame(track.codec_context.format.name, "mono", SOUND_FRAME)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
            frame.pts = at + round(first_sec * SOUND_RATE)
            packets += track.encode(frame)
        for packet in sorted(packets, key=lambda packet: float(packet.dts * packet.time_base)):
            container.mux(packet)
    return path.read_bytes()
