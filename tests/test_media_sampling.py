"""The picked frame is the right one, whatever the codec, container and timing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import videos
from tests.clip_frames import repeated
from vidrec.errors import MediaError
from vidrec.media import gops
from vidrec.media.picking import Report, pick_frames
from vidrec.media.probe import measure_duration, probe
from vidrec.media.sampling import frames_at, iter_clip_frames

FPS = 25
SIZE = (64, 96)

H265 = {"x265-params": "log-level=none"}
KINDS = {
    "x264.mp4": {},
    "X264 ünï cödé.MKV": {"container_format": "matroska"},
    "x264.mov": {},
    "x264.ts": {"container_format": "mpegts"},
    "x264.flv": {},
    "x264_bframes.avi": {},
    "x264_intra_refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=10"}},
    "x264_open_gop.mp4": {"options": {"x264-params": "open-gop=1:keyint=10:bframes=3"}},
    "x264_open_gop.ts": {
        "options": {"x264-params": "open-gop=1:keyint=10:bframes=3"},
        "container_format": "mpegts",
    },
    "x264_444.mp4": {"pix_fmt": "yuv444p"},
    "x264_10bit.mp4": {"pix_fmt": "yuv420p10le"},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "late_start.mp4": {"first_stamp": 250},
    "late_start.mkv": {"first_stamp": 250},
    "late_start.ts": {"first_stamp": 250, "container_format": "mpegts"},
    "long_sound.mp4": {"audio_sec": 4.0},
    "long_sound.mkv": {"audio_sec": 4.0},
    "piped.mkv": {"seekable": False},
    "piped.webm": {"seekable": False, "codec": "libvpx"},
    "raw.h264": {"container_format": "h264"},
    "hevc.mp4": {"codec": "libx265", "options": H265},
    "hevc_10bit.mkv": {"codec": "libx265", "options": H265, "pix_fmt": "yuv420p10le"},
    "raw.hevc": {"codec": "libx265", "options": H265, "container_format": "hevc"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"lag-in-frames": "16"}},
    "mpeg1.mpg": {"codec": "mpeg1video", "options": {"bf": "2"}, "container_format": "mpeg"},
    "mpeg2.vob": {"codec": "mpeg2video", "options": {"bf": "2"}, "container_format": "vob"},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}, "container_format": "mpegts"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_bframes.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "wmv.wmv": {"codec": "wmv2"},
    "animated.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}


def numbers(frames: np.ndarray) -> list[int]:
    return [videos.frame_number(frame) for frame in frames]


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_is_found_at_its_time(tmp_path: Path, name: str) -> None:
    path = videos.write_video(tmp_path / name, 30, fps=FPS, **KINDS[name])
    middles = [(i + 0.5) / FPS for i in range(30)]

    frames, there = frames_at(path, middles, SIZE, fit="squash")

    assert there.all()
    assert numbers(frames) == list(range(30))
    assert probe(path).duration_sec == pytest.approx(30 / FPS, abs=0.01)


@pytest.mark.parametrize("name", KINDS)
def test_a_few_frames_are_found_without_decoding_the_others(tmp_path: Path, name: str) -> None:
    path = videos.write_video(tmp_path / name, 30, fps=FPS, **KINDS[name])
    wanted = [3, 4, 11, 13, 17, 26]

    frames, _ = frames_at(path, [(i + 0.5) / FPS for i in wanted], SIZE, fit="squash")

    assert numbers(frames) == wanted


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_frame_rate_goes_by_time(tmp_path: Path, suffix: str) -> None:
    stamps = [0, 1, 2, 10, 11, 30, 31, 32, 60, 100]
    path = videos.write_video(tmp_path / f"vfr{suffix}", 10, fps=FPS, stamps=stamps)

    frames, _ = frames_at(path, [t / FPS for t in (2.5, 9.5, 10.5, 29, 59, 99.5)], SIZE)

    assert numbers(frames) == [2, 2, 3, 4, 7, 8]


def test_times_may_come_in_any_order_and_repeat(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 30, fps=FPS)

    frames, there = frames_at(path, [0.82, 0.02, 0.82, 0.42], SIZE)

    assert numbers(frames) == [20, 0, 20, 10] and there.all()


def test_before_the_start_and_after_the_end_it_is_black(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", [videos.picture(63)] * 5, fps=FPS)

    frames, there = frames_at(path, [-0.1, 0.1, 0.19, 0.2, 5.0], SIZE)

    assert there.tolist() == [False, True, True, False, False]
    assert not frames[~there].any() and frames[there].min() > 200


def test_clips_are_sampled_at_the_middles_of_equal_parts(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 60, fps=FPS)

    clips = list(iter_clip_frames(path, 1.0, 5, SIZE))

    assert [(c.clip.start_sec, c.clip.end_sec) for c in clips] == [(0, 1), (1, pytest.approx(2.4))]
    assert numbers(clips[0].frames) == [2, 7, 12, 17, 22]
    assert numbers(clips[1].frames) == [28, 35, 42, 49, 56]
    assert clips[0].times == pytest.approx([n / FPS for n in (2, 7, 12, 17, 22)])
    assert clips[0].counts == (1, 1, 1, 1, 1)


@pytest.mark.parametrize("name", ["one.mp4", "one.gif"])
def test_one_frame_stands_for_all_instants(tmp_path: Path, name: str) -> None:
    options = {"codec": "gif", "pix_fmt": "rgb8"} if name.endswith("gif") else {}
    path = videos.write_video(tmp_path / name, [videos.picture(27)], **options)

    (clip,) = iter_clip_frames(path, 10.0, 8, SIZE)

    assert clip.counts == (8,) and numbers(clip.frames) == [27]
    assert numbers(repeated(clip, 8)) == [27] * 8


def test_truncated_files_give_what_is_left_evenly_spaced(tmp_path: Path) -> None:
    whole = videos.write_video(
        tmp_path / "w.mp4", 60, fps=FPS, container_options={"movflags": "faststart"}
    )
    path = videos.truncated(whole, tmp_path / "cut.mp4", 0.8)
    warnings: list[str] = []

    (clip,) = iter_clip_frames(path, 10.0, 4, SIZE, warnings=warnings)

    found = numbers(clip.frames)
    end = clip.clip.end_sec * FPS
    assert 4 < end < 56
    assert found == [int((i + 0.5) / 4 * end) for i in range(4)]
    assert any("ends at" in line for line in warnings)


def test_a_header_that_lies_short_does_not_hide_the_rest(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "a.avi", 64, fps=10, codec="mpeg4")
    data = bytearray(path.read_bytes())
    frames_in_header = data.index(b"strh") + 8 + 32
    assert int.from_bytes(data[frames_in_header : frames_in_header + 4], "little") == 64
    data[frames_in_header : frames_in_header + 4] = (20).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    warnings: list[str] = []

    clips = list(iter_clip_frames(path, 2.0, 2, SIZE, warnings=warnings))

    assert clips[-1].clip.end_sec == pytest.approx(6.4)
    assert numbers(np.concatenate([c.frames for c in clips]))[:4] == [5, 15, 25, 35]


def test_long_videos_are_sampled_at_keyframes_where_they_lie_densely(tmp_path: Path) -> None:
    path = videos.write_video(
        tmp_path / "long.mp4", [videos.picture(i % 64) for i in range(620)], fps=10,
        keyframe_every=20, options={"x264-params": "scenecut=0"},
    )  # fmt: skip

    exact = list(iter_clip_frames(path, 10.0, 5, SIZE, sparing="never"))
    keyed = list(iter_clip_frames(path, 10.0, 5, SIZE))  # 3 instants in each clip

    assert len(exact) == len(keyed) == 6
    assert numbers(exact[0].frames) == [10, 30, 50, 70 - 64, 90 - 64]
    assert keyed[0].times == pytest.approx([2.0, 6.0, 8.0])
    assert numbers(repeated(keyed[0], 6)) == [20, 20, 60, 60, 80 - 64, 80 - 64]
    assert [c.clip for c in exact] == [c.clip for c in keyed]


def test_a_keyframe_stands_in_only_for_what_is_near(tmp_path: Path) -> None:
    path = videos.write_video(
        tmp_path / "a.mp4", 60, fps=10, keyframe_every=20, options={"x264-params": "scenecut=0"}
    )

    picks = pick_frames(path, [0.55, 1.45, 1.55, 2.55, 4.9], reach_sec=0.5)

    assert [pick.sec for pick in picks] == pytest.approx([0.5, 1.4, 2.0, 2.5, 4.9])


def test_a_far_time_is_reached_by_seeking(tmp_path: Path) -> None:
    path = videos.write_video(
        tmp_path / "long.mp4", [videos.picture(i % 64) for i in range(640)], fps=10
    )

    frames, _ = frames_at(path, [0.25, 30.05, 63.95], SIZE)

    assert numbers(frames) == [2, 300 % 64, 639 % 64]


def test_gops_too_long_for_memory_are_decoded_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gops, "MAX_PART_PACKETS", 7)
    path = videos.write_video(tmp_path / "a.mp4", 60, fps=FPS, keyframe_every=250)
    raw = videos.write_video(tmp_path / "a.h264", 60, fps=FPS, keyframe_every=250)
    wanted = [0, 5, 6, 7, 8, 30, 31, 59]

    for source in (path, raw):
        frames, _ = frames_at(source, [(i + 0.5) / FPS for i in wanted], SIZE)
        assert numbers(frames) == wanted


def test_frames_that_nothing_needs_are_not_decoded(tmp_path: Path) -> None:
    """Of GOPs without a wanted frame nothing reaches the decoder, so damage there is not seen."""
    path = videos.write_video(
        tmp_path / "a.mp4", 60, fps=FPS, keyframe_every=10, options={"x264-params": "scenecut=0"}
    )
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat"), data.index(b"moov")
    third = (end - start) // 3
    data[start + third : start + 2 * third] = b"\xff" * third
    path.write_bytes(bytes(data))
    report, near = Report(), Report()

    last = list(pick_frames(path, [2.3], report=report))
    list(pick_frames(path, [(i + 0.5) / FPS for i in range(60)], report=near))

    assert last[0].sec == pytest.approx(2.28) and report.damaged == 0
    assert near.damaged > 0


def test_nothing_decodable_is_an_error(tmp_path: Path) -> None:
    whole = videos.write_video(
        tmp_path / "w.mp4", 30, fps=FPS, container_options={"movflags": "faststart"}
    )
    data = whole.read_bytes()
    start = data.index(b"mdat") + 4
    path = tmp_path / "hollow.mp4"
    path.write_bytes(data[:start] + bytes(len(data) - start))

    with pytest.raises(MediaError, match=r"hollow\.mp4: "):
        list(iter_clip_frames(path, 10.0, 4, SIZE))


@pytest.mark.parametrize("n_frames", [0, -1])
def test_wrong_counts_are_refused(tmp_path: Path, n_frames: int) -> None:
    path = videos.write_video(tmp_path / "a.mp4", 5)
    with pytest.raises(ValueError, match="Received: n_frames"):
        list(iter_clip_frames(path, 1.0, n_frames, SIZE))


def test_a_clock_that_is_set_back_goes_on(tmp_path: Path) -> None:
    parts = [
        videos.write_video(
            tmp_path / f"{i}.mpg", [videos.picture(32 * i + k) for k in range(32)], fps=FPS,
            codec="mpeg2video", container_format="mpeg",
        )
        for i in range(2)
    ]  # fmt: skip
    path = tmp_path / "joined.mpg"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))

    frames, _ = frames_at(path, [(i + 0.5) / FPS for i in (3, 20, 40, 60)], SIZE)

    assert measure_duration(path) == pytest.approx(64 / FPS, abs=0.1)
    assert numbers(frames) == pytest.approx([3, 20, 40, 60], abs=1)


def test_a_clock_that_jumps_ahead_leaves_no_hole(tmp_path: Path) -> None:
    stamps = [*range(30), *range(10_000_000, 10_000_030)]
    path = videos.write_video(tmp_path / "a.mkv", 60, fps=FPS, stamps=stamps)

    frames, _ = frames_at(path, [(i + 0.5) / FPS for i in (3, 29, 30, 59)], SIZE)

    assert numbers(frames) == [3, 29, 30, 59]
