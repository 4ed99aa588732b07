"""Moments are where a player shows them: late pictures, stills, clocks that jump or restart."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests import videos
from vidrec.errors import MediaError
from vidrec.media import limits
from vidrec.media.cut import cut
from vidrec.media.probe import measure_duration, probe
from vidrec.media.sampling import clips_of, frames_at, iter_clip_frames
from vidrec.sections import MediaSettings

SIZE = (64, 96)


def numbers(frames: np.ndarray) -> list[int]:
    return [videos.frame_number(frame) for frame in frames]


def write_late(path: Path, late_sec: int, codec: str = "mpeg4") -> Path:
    """Two seconds of picture at 10 frames a second, beside sound that begins earlier."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream("mp2" if path.suffix in (".ts", ".vob") else "aac", rate=48000)
        packets = []
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(videos.picture(i), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = i + 10 * late_sec, Fraction(1, 10)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for start in range(
            0, 48000 * (late_sec + 3), 1152 if path.suffix in (".ts", ".vob") else 1024
        ):
            size = 1152 if path.suffix in (".ts", ".vob") else 1024
            kind = "s16" if path.suffix in (".ts", ".vob") else "fltp"
            frame = av.AudioFrame(format=kind, layout="mono", samples=size)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            packets += sound.encode(frame)
        packets += sound.encode(None)
        packets.sort(key=lambda packet: float(packet.dts * packet.time_base))
        for packet in packets:
            container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".vob", ".mov", ".flv"])
def test_a_picture_that_begins_after_the_sound(tmp_path: Path, suffix: str) -> None:
    codec = {".flv": "flv", ".vob": "mpeg2video"}.get(suffix, "mpeg4")
    path = write_late(tmp_path / f"a{suffix}", 8, codec)

    clips = list(iter_clip_frames(path, 1.0, 5, SIZE))
    frames, there = frames_at(path, [4.0, 8.55, 9.95], SIZE)

    assert probe(path).duration_sec == pytest.approx(10.0, abs=0.1)
    assert clips[0].clip.start_sec == pytest.approx(8.0, abs=0.1)
    assert clips[-1].clip.end_sec == pytest.approx(10.0, abs=0.1)
    assert numbers(clips[0].frames) == pytest.approx([1, 3, 5, 7, 9], abs=1)
    assert clips_of(path, 1.0) == [clip.clip for clip in clips]
    assert there.tolist() == [False, True, True] and not frames[0].any()
    assert numbers(frames[1:]) == pytest.approx([5, 19], abs=1)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_slide_stands_for_as_long_as_it_is_shown(tmp_path: Path, suffix: str) -> None:
    stamps = [*range(50), *range(9050, 9080)]  # a quarter of an hour without a frame
    pictures = [videos.picture(i % 64) for i in range(80)]
    path = videos.write_video(tmp_path / f"a{suffix}", pictures, fps=10, stamps=stamps)

    clips = list(iter_clip_frames(path, 10.0, 4, SIZE))

    assert probe(path).duration_sec == pytest.approx(908.0, abs=0.2)
    assert len(clips) == 91
    assert all(numbers(clip.frames) == [49] for clip in clips[1:89])
    assert all(clip.frames is clips[1].frames for clip in clips[2:89])  # painted once
    frames, _ = frames_at(path, [4.95, 500.0, 904.9, 905.05, 907.95], SIZE)
    assert numbers(frames) == [49, 49, 49, 50, 79 % 64]


def test_a_time_lapse_with_a_frame_every_quarter_of_an_hour(tmp_path: Path) -> None:
    stamps = [i * 900 for i in range(6)]
    path = videos.write_video(tmp_path / "a.mkv", 6, fps=1, stamps=stamps)

    frames, there = frames_at(path, [100, 950, 4000, 4500], SIZE)

    assert numbers(frames) == [0, 1, 4, 5] and there.all()
    assert measure_duration(path) == pytest.approx(4501, abs=1)


def test_a_jump_of_hours_is_kept(tmp_path: Path) -> None:
    stamps = [*range(30), *range(30 + 25 * 3600 * 3, 60 + 25 * 3600 * 3)]
    path = videos.write_video(tmp_path / "a.mp4", 60, fps=25, stamps=stamps)

    frames, _ = frames_at(path, [0.5, 3 * 3600 + 1.7], SIZE)

    assert numbers(frames) == [12, 42]


@pytest.mark.parametrize(
    ("kind", "codec"),
    [
        ("mpegts", "libx264"),
        ("mpeg", "mpeg2video"),
        ("mpegts", "mpeg2video"),
        ("flv", "libx264"),
        ("flv", "flv"),
    ],
)
@pytest.mark.parametrize("lengths", [(60, 30), (12, 12), (1, 40)])
def test_recordings_joined_end_to_end(
    tmp_path: Path, kind: str, codec: str, lengths: tuple[int, int]
) -> None:
    """Each begins its clock anew; the parts may be one group of pictures each."""
    parts, first = [], 0
    for number, length in enumerate(lengths):
        pictures = [videos.picture((first + k) % 64) for k in range(length)]
        part = tmp_path / f"{number}.bin"
        videos.write_video(part, pictures, fps=10, codec=codec, container_format=kind)
        parts.append(part.read_bytes())
        first += length
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    total_sec = sum(lengths) / 10

    clips = list(iter_clip_frames(path, 1.0, 2, SIZE))
    frames, there = frames_at(path, [0.05, lengths[0] / 10 + 0.55, total_sec - 0.35], SIZE)

    assert probe(path).duration_sec == pytest.approx(total_sec, abs=0.25)
    assert clips[-1].clip.end_sec == pytest.approx(total_sec, abs=0.25)
    wanted = [0, (lengths[0] + 5) % 64, (sum(lengths) - 4) % 64]
    assert there.all() and numbers(frames) == pytest.approx(wanted, abs=2)


def test_stills_may_not_stand_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = [i * 900 for i in range(6)]
    path = videos.write_video(tmp_path / "a.mkv", 6, fps=1, stamps=stamps)
    monkeypatch.setattr(limits, "_in_force", MediaSettings(still_hours=1.0))

    with pytest.raises(MediaError, match=r"stand still for .* still_hours"):
        probe(path)


def test_a_few_bytes_do_not_last_for_weeks(tmp_path: Path) -> None:
    """An MP4 whose table of durations was raised."""
    path = videos.write_video(
        tmp_path / "a.mp4", [videos.picture(i % 64) for i in range(200)], codec="mpeg4",
        container_options={"use_editlist": "0"},
    )  # fmt: skip
    data = bytearray(path.read_bytes())
    at = data.index(b"mdhd") + 16
    data[at : at + 4] = (1).to_bytes(4, "big")
    at = data.index(b"stts") + 8
    for i in range(int.from_bytes(data[at : at + 4], "big")):
        data[at + 8 + 8 * i : at + 12 + 8 * i] = (599).to_bytes(4, "big")
    path.write_bytes(data)

    for attempt in (probe, lambda path: list(iter_clip_frames(path, 10.0, 8, SIZE))):
        with pytest.raises(MediaError, match="still_hours"):
            attempt(path)


def test_a_larger_still_beside_a_film_is_not_taken_for_it(tmp_path: Path) -> None:
    for suffix in (".mkv", ".mp4"):
        path = tmp_path / f"a{suffix}"
        with av.open(str(path), "w") as container:
            film = container.add_stream("mpeg4", rate=10)
            still = container.add_stream("mpeg4", rate=10)
            film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
            still.width, still.height, still.pix_fmt = 480, 320, "yuv420p"
            slide = videos.picture(63, 480, 320)
            for stream, pictures in ((still, [slide] * 2), (film, map(videos.picture, range(60)))):
                for i, pixels in enumerate(pictures):
                    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                    frame = frame.reformat(format="yuv420p")
                    frame.pts, frame.time_base = i * (30 if stream is still else 1), Fraction(1, 10)
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))

        assert probe(path).width == 96
        assert numbers(frames_at(path, [0.55], SIZE)[0]) == [5]


def test_a_stamp_gone_wild_does_not_send_the_reader_in_circles(tmp_path: Path) -> None:
    """Where a jump leads back, again and again, it is given up."""
    stamps = [*range(20), 90_000, *range(21, 60)]
    path = tmp_path / "a.wmv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("wmv2", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", 4
        for i, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(videos.picture(i), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            for packet in stream.encode(frame):
                packet.pts, packet.dts = stamp, i
                container.mux(packet)
    started = time.monotonic()

    frames, there = frames_at(path, [0.5, 30.0, 100.0, 1000.0], SIZE)

    assert there[0] and numbers(frames[:1]) == [12]
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("suffix", "codec", "fps"),
    [
        (".264", "libx264", 30), (".264", "libx264", 10), (".265", "libx265", 12),
        (".m2v", "mpeg2video", 50), (".m1v", "mpeg1video", 30),
    ],
)  # fmt: skip
def test_a_bare_stream_is_shown_at_the_rate_that_it_tells(
    tmp_path: Path, suffix: str, codec: str, fps: int
) -> None:
    """Its demuxer takes all for 25 a second, or reckons a length from the rate of bits allowed."""
    path = tmp_path / f"a{suffix}"
    kind = {".265": "hevc", ".264": "h264"}.get(suffix, codec)
    pictures = [videos.picture(second) for second in range(4) for _ in range(fps)]
    quiet = {"x265-params": "log-level=none"} if suffix == ".265" else {}
    videos.write_video(path, pictures, fps=fps, codec=codec, options=quiet, container_format=kind)
    info = probe(path)
    assert info.fps == fps
    assert info.duration_sec == pytest.approx(4, abs=0.2)
    frames, there = frames_at(path, [0.5, 1.5, 2.5, 3.5], SIZE, fit="squash")
    assert there.all() and numbers(frames) == [0, 1, 2, 3]


def write_empty(path: Path, empty: int) -> Path:
    """One second of ten pictures, then packets without any, as Theora has where nothing moves."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(videos.picture(i), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for i in range(10, 10 + empty):
            packet = av.Packet(0)
            packet.stream, packet.time_base, packet.duration = stream, Fraction(1, 10), 1
            packet.pts = packet.dts = i
            container.mux(packet)
    return path


def test_packets_without_a_picture_show_the_last_one_again(tmp_path: Path) -> None:
    path = write_empty(tmp_path / "a.nut", 290)
    notes: list[str] = []
    clips = list(iter_clip_frames(path, 10, 10, SIZE, warnings=notes))
    assert [clip.clip.end_sec for clip in clips] == [10, 20, 30] and not notes
    assert numbers(clips[2].frames) == [9] and clips[2].counts == (10,)
    cut(path, 0.5, 24.5, tmp_path / "cut", exact=True)
    frames, there = frames_at(tmp_path / "cut.mp4", [0.05, 20, 23.9], SIZE, fit="squash")
    assert there.all() and numbers(frames) == [5, 9, 9]
