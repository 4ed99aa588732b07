"""Sound: that of a file, encoded anew as AAC."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vidrec.media.source import Source, origin_of

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

SOUND_RATE = 48_000
SOUND_LEAD = 0.2  # seconds by which sound may lie before the first picture


@dataclass
class Sound:
    """Decodes the first sound of a file and encodes it as AAC."""

    source: Source
    out: OutputContainer
    start_sec: float
    _stream: Any = None
    _resampler: Any = None
    _next: int = 0  # the sample that comes next

    def __post_init__(self) -> None:
        import av

        self._stream = self.out.add_stream("aac", rate=SOUND_RATE)
        self._stream.layout = "stereo"
        self._resampler = av.AudioResampler("fltp", "stereo", SOUND_RATE, 1024)

    def take(self, packet: Packet[Any], end_sec: float = float("inf")) -> None:
        """Write what a packet sounds like; damaged ones are passed over."""
        from av.error import FFmpegError

        try:
            frames = packet.decode()
        except (FFmpegError, ValueError):
            return
        for frame in frames:
            if frame.pts is None or frame.time_base is None:
                continue
            at = float(frame.pts * frame.time_base) - origin_of(self.source)
            if self.start_sec - SOUND_LEAD <= at < end_sec:
                self._write(frame, at - self.start_sec)

    def _write(self, frame: Any, at_sec: float) -> None:
        # Samples are counted on, as long as the stamps agree: rounded ones would crackle.
        wanted = round(at_sec * frame.sample_rate)
        if abs(wanted - self._next) < frame.sample_rate // 10:
            wanted = self._next
        if wanted < self._next:
            return
        self._next = wanted + frame.samples
        frame.pts, frame.time_base = wanted, Fraction(1, frame.sample_rate)
        self._encode(frame)

    def _encode(self, frame: Any) -> None:
        for piece in self._resampler.resample(frame):
            self.out.mux(self._stream.encode(piece))

    def finish(self) -> None:
        if self._next:
            self._encode(None)
            self.out.mux(self._stream.encode(None))
