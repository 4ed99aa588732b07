"""Colours are those of a player: HDR toned down, transparency on white, side data harmless."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests import videos
from vidrec.errors import MediaError
from vidrec.media.cut import cut
from vidrec.media.hdr import HLG, PQ, to_sdr
from vidrec.media.probe import probe
from vidrec.media.sampling import frames_at, iter_clip_frames


def pq_signal(nits: float) -> float:
    """SMPTE ST 2084, the other way round than in ``media.hdr``."""
    y = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def write_grey_hdr(
    path: Path, level: float, transfer: int, chroma: tuple[int, int] = (512, 512)
) -> Path:
    """Three frames of grey, 10 bits; ``level`` is the signal, 0 to 1, in narrow range."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx265", rate=10, options={"x265-params": "log-level=none", "crf": "4"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9
        for i in range(3):
            frame = av.VideoFrame(64, 64, "yuv420p10le")
            for plane, value in zip(frame.planes, (64 + 876 * level, *chroma), strict=True):
                rows = np.full(plane.buffer_size // 2, round(value), np.uint16)
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = i, Fraction(1, 10)
            frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("transfer", "level", "grey"),
    [
        (PQ, pq_signal(203 * 0.5), 255 * 0.5 ** (1 / 2.4)),  # half of white, as light
        (PQ, pq_signal(203 * 0.1), 255 * 0.1 ** (1 / 2.4)),
        (HLG, 0.5, 255 * (1000 / 203 * (1 / 12) ** 1.2) ** (1 / 2.4)),
        (2, 0.5, 127.5),  # no transfer is named: an ordinary picture
    ],
)
def test_hdr_looks_as_on_an_ordinary_screen(
    tmp_path: Path, transfer: int, level: float, grey: float
) -> None:
    path = write_grey_hdr(tmp_path / "a.mp4", level, transfer)

    frames, _ = frames_at(path, [0.1], (16, 16))
    assert frames[0].mean(axis=(0, 1)).tolist() == pytest.approx([grey] * 3, abs=3)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_hdr_of_which_only_the_container_tells(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    silent = write_grey_hdr(tmp_path / "silent.mp4", 0.5, 2)
    with av.open(str(silent)) as container, av.open(str(path), "w") as out:
        stream = container.streams.video[0]
        into = out.add_stream_from_template(stream)
        into.codec_context.color_trc, into.codec_context.color_primaries = HLG, 9
        for packet in container.demux(stream):
            if packet.dts is not None:
                packet.stream = into
                out.mux(packet)

    grey = 255 * (1000 / 203 * (1 / 12) ** 1.2) ** (1 / 2.4)
    assert frames_at(path, [0.1], (16, 16))[0].mean() == pytest.approx(grey, abs=3)
    made = cut(path, 0, 0.3, tmp_path / "cut", exact=True)
    assert frames_at(made, [0.1], (16, 16))[0].mean() == pytest.approx(grey, abs=4)


def test_hdr_has_its_colours_at_any_size(tmp_path: Path) -> None:
    path = write_grey_hdr(tmp_path / "a.mp4", 0.5, PQ, chroma=(400, 600))

    means = [frames_at(path, [0.1], (s, s))[0].mean(axis=(0, 1, 2)) for s in (16, 64, 80)]

    assert means[1].tolist() == pytest.approx(means[0].tolist(), abs=2)
    assert means[2].tolist() == pytest.approx(means[0].tolist(), abs=2)
    assert np.ptp(means[0]) > 50


def test_what_follows_on_hdr_is_not_taken_for_it(tmp_path: Path) -> None:
    """Recordings joined: the second says nothing of its colours."""
    write_grey_hdr(tmp_path / "a.ts", 0.5, HLG)
    options = {"x265-params": "log-level=none"}
    grey = [np.full((64, 64, 3), 100, np.uint8)] * 20
    videos.write_video(tmp_path / "b.ts", grey, fps=10, codec="libx265", options=options)
    path = tmp_path / "joined.ts"
    path.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())

    frames, _ = frames_at(path, [0.1, 1.5], (32, 32))

    assert frames.mean(axis=(1, 2, 3)).tolist() == pytest.approx([142, 100], abs=3)


def test_highlights_keep_their_order_and_colour() -> None:
    levels = [round(65535 * pq_signal(nits)) for nits in (50, 203, 400, 1500, 10_000)]
    greys = np.array([levels], np.uint16)[..., None].repeat(3, -1)
    red = greys * np.array([1, 0, 0], np.uint16)

    pixels = to_sdr(greys, PQ, 1)[0, :, 0].astype(int)

    assert (np.diff(pixels[:4]) > 0).all() and pixels[-1] >= 254 and 235 < pixels[1] < 250
    assert (to_sdr(red, PQ, 1)[0, :, 1:] == 0).all()


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparent_webm_is_laid_on_white(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.webm"
    rgba = np.zeros((64, 96, 4), np.uint8)
    rgba[:, 48:, 3] = 255  # the left half is transparent black
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for i in range(12):
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    (clip,) = iter_clip_frames(path, 10.0, 4, (64, 96))

    assert sum(clip.counts) == 4
    assert clip.frames[:, :, :40].min() > 240 and clip.frames[:, :, 56:].max() < 15


@pytest.mark.parametrize("frames", [1, 3])
def test_transparent_avif_is_laid_on_white(tmp_path: Path, frames: int) -> None:
    rgba = np.zeros((64, 96, 4), np.uint8)
    rgba[:, 48:, 3] = 255
    path = tmp_path / "a.avif"
    picture = Image.fromarray(rgba)
    picture.save(path, save_all=frames > 1, append_images=[picture] * (frames - 1), duration=100)

    (clip,) = iter_clip_frames(path, 10.0, 4, (64, 96))

    assert clip.frames[:, :, :40].min() > 240 and clip.frames[:, :, 56:].max() < 15


def test_an_animated_avif_is_not_its_first_picture(tmp_path: Path) -> None:
    pictures = [Image.fromarray(videos.picture(i)) for i in range(6)]
    path = tmp_path / "a.avif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=500)

    frames, _ = frames_at(path, [0.2, 1.7, 2.9], (64, 96))

    assert probe(path).duration_sec == pytest.approx(3.0, abs=0.1)
    assert [videos.frame_number(frame) for frame in frames] == [0, 3, 5]


def test_numbered_colours_are_known_in_mid_film(tmp_path: Path) -> None:
    """One packet alone brings the palette, at the beginning of the file."""
    path = tmp_path / "a.mov"
    palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
    palette[:, 1:] = np.arange(256)[::-1, None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=1)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "pal8"
        for number in range(20):
            greys = videos.picture(number)[..., 0]
            indexed = av.VideoFrame.from_ndarray((255 - greys, palette), format="pal8")
            indexed.pts, indexed.time_base = number, Fraction(1, 1)
            container.mux(stream.encode(indexed))
        container.mux(stream.encode(None))

    made = cut(path, 10, 13, tmp_path / "cut", exact=True)

    for film, seconds in ((path, [10.5, 12.5]), (made, [0.5, 2.5])):
        numbers = [videos.frame_number(frame) for frame in frames_at(film, seconds, (64, 96))[0]]
        assert numbers == [10, 12]


def exif_jpeg(number: int, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Canon", "EOS", orientation
    file = io.BytesIO()
    Image.fromarray(videos.picture(number)).save(file, "jpeg", exif=exif, quality=92)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".avi", ".mov", ".mkv"])
def test_a_time_lapse_of_photographs_with_exif(tmp_path: Path, suffix: str) -> None:
    for orientation in (1, 3):
        path = tmp_path / f"{orientation}{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
            for i in range(20):
                packet = av.Packet(exif_jpeg(i, orientation))
                packet.pts = packet.dts = i
                packet.time_base, packet.stream = Fraction(1, 25), stream
                packet.is_keyframe = True
                container.mux(packet)

        frames, _ = frames_at(path, [5.5 / 25], (64, 96))

        upright = frames[0] if orientation == 1 else frames[0, ::-1, ::-1]
        assert videos.frame_number(upright) == 5
        assert probe(path).rotation == (0 if orientation == 1 else 180)


def test_a_photograph_made_of_tiles_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(heic_grid([videos.picture(i, 128, 128) for i in range(4)]))

    with pytest.raises(MediaError, match="made of tiles"):
        probe(path)


def box(kind: bytes, *parts: bytes, version: int | None = None, flags: int = 0) -> bytes:
    body = b"".join(parts)
    if version is not None:
        body = bytes([version]) + flags.to_bytes(3, "big") + body
    return (len(body) + 8).to_bytes(4, "big") + kind + body


def heic_grid(tiles: list[np.ndarray]) -> bytes:
    """Two by two tiles of HEVC, as telephones write photographs."""
    coded = [hevc_still(tile) for tile in tiles]
    config, data = coded[0][0], [payload for _, payload in coded]
    grid = bytes([0, 0, 1, 1]) + (256).to_bytes(2, "big") * 2
    two = lambda value: value.to_bytes(2, "big")  # noqa: E731
    infe = [
        box(b"infe", two(i + 1), two(0), kind, b"\0", version=2)
        for i, kind in enumerate([b"hvc1"] * 4 + [b"grid"])
    ]
    ispe = [box(b"ispe", side.to_bytes(4, "big") * 2, version=0) for side in (128, 256)]
    ipco = box(b"ipco", box(b"hvcC", config), *ispe)
    links = b"".join(two(i + 1) + b"\x02\x81\x02" for i in range(4)) + two(5) + b"\x01\x03"
    ipma = box(b"ipma", (5).to_bytes(4, "big"), links, version=0)
    dimg = box(b"dimg", two(5), two(4), *(two(i + 1) for i in range(4)))

    def meta(start: int) -> bytes:
        entries = b""
        for i, payload in enumerate([*data, grid]):
            entries += two(i + 1) + two(0) + two(1)
            entries += start.to_bytes(4, "big") + len(payload).to_bytes(4, "big")
            start += len(payload)
        return box(
            b"meta",
            box(b"hdlr", bytes(4), b"pict", bytes(13), version=0),
            box(b"pitm", two(5), version=0),
            box(b"iloc", b"\x44\x00", two(5), entries, version=0),
            box(b"iinf", two(5), *infe, version=0),
            box(b"iref", dimg, version=0),
            box(b"iprp", ipco, ipma),
            version=0,
        )

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", *data, grid)


def hevc_still(pixels: np.ndarray) -> tuple[bytes, bytes]:
    """Return the decoder's configuration (hvcC) and the one coded picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"x265-params": "log-level=none:keyint=1", "preset": "ultrafast"}
        stream = container.add_stream("libx265", rate=1, options=options)
        stream.width, stream.height, stream.pix_fmt = pixels.shape[1], pixels.shape[0], "yuv420p"
        stream.codec_context.codec_tag = "hvc1"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = file.getvalue()
    at = data.index(b"hvcC")
    config = data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at], "big")]
    with av.open(io.BytesIO(data)) as container:
        payload = next(bytes(packet) for packet in container.demux(video=0) if packet.size)
    return config, payload
