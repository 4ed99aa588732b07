"""From HDR pixels (PQ and HLG, as phones and cameras record) to what an ordinary screen shows.

The models know ordinary pictures; HDR values taken for them are pale and flat. Transfer functions
are those of ITU-R BT.2100; white is at 203 nits (BT.2408), what is brighter is rolled off.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

PQ = 16  # AVCOL_TRC_SMPTE2084
HLG = 18  # AVCOL_TRC_ARIB_STD_B67

_WHITE_NITS = 203.0
_HLG_PEAK_NITS = 1000.0
_BT2020 = 9  # AVCOL_PRI_BT2020
_UNSPECIFIED = 2  # AVCOL_PRI_UNSPECIFIED, AVCOL_TRC_UNSPECIFIED
# Linear light from BT.2020 to BT.709 primaries (BT.2087).
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
_KNEE = 0.8  # of white; what is brighter is compressed


def told_by_box(stream: VideoStream) -> tuple[int, int, int] | None:
    """Return transfer, primaries and matrix of an HDR stream whose container tells them.

    To be asked before anything is decoded: afterwards the stream has what is coded in it.
    """
    context, name = stream.codec_context, stream.container.format.name
    if context.color_trc not in (PQ, HLG) or not ("mp4" in name or "matroska" in name):
        return None
    return context.color_trc, context.color_primaries, context.colorspace


def colour(frame: VideoFrame, told: tuple[int, int, int] | None) -> None:
    """Let a frame without a word of its transfer be HDR where the container tells so."""
    if told and frame.color_trc == _UNSPECIFIED:
        frame.color_trc = told[0]
        if frame.color_primaries == _UNSPECIFIED:
            frame.color_primaries, frame.colorspace = told[1:]


def is_hdr(frame: VideoFrame) -> bool:
    """Whether a frame's values are PQ or HLG.

    Where SDR without a word of its colours follows on HDR, FFmpeg leaves the transfer as it was.
    """
    left_over = frame.color_primaries == _UNSPECIFIED and frame.format.components[0].bits == 8
    return frame.color_trc in (PQ, HLG) and not left_over


def to_sdr(values: NDArray[np.uint16], transfer: int, primaries: int) -> NDArray[np.uint8]:
    """Return ``(h, w, 3)`` uint8 RGB for a screen of BT.709, of ``(h, w, 3)`` full-range RGB."""
    light = _linear(transfer)[values]
    if transfer == HLG:
        luma = np.maximum(light @ _LUMA, 1e-6)
        light *= (luma**0.2 * (_HLG_PEAK_NITS / _WHITE_NITS))[..., None]
    if primaries == _BT2020:
        light = light @ _TO_BT709.T
    light = np.maximum(light, 0.0)
    peak = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    light *= _rolled_off(peak) / peak
    pixels: NDArray[np.uint8] = (light ** (1 / 2.4) * 255 + 0.5).astype(np.uint8)
    return pixels


def _rolled_off(light: NDArray[np.float32]) -> NDArray[np.float32]:
    rest = 1 - _KNEE
    above = np.maximum(light - _KNEE, 0) / rest
    bright = _KNEE + rest * above / (1 + above)
    return np.where(light < _KNEE, light, bright).astype(np.float32)


@cache
def _linear(transfer: int) -> NDArray[np.float32]:
    """Return the light of each 16-bit value: of PQ in parts of white, of HLG that of the scene."""
    signal = np.linspace(0, 1, 1 << 16)
    if transfer == PQ:
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = signal ** (1 / m2)
        nits = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
        return (nits / _WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return scene.astype(np.float32)
