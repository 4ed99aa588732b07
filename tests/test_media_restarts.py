"""A hole between frames is footage, unless the clock of a joined recording starts anew there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests import videos
from tests.recordings import SLIDE, TEN_SECONDS, record
from vidrec.media.cut import cut
from vidrec.media.playback import make_playable, playable
from vidrec.media.probe import probe
from vidrec.media.sampling import frames_at, iter_clip_frames

HOUR = 3600
WRAP_SEC = 2**33 / 90_000  # when MPEG's clock counts from 0 again
PACKET = 188  # bytes, of a transport stream

beside = pytest.mark.parametrize("sound", [False, True], ids=["mute", "sound"])


def shown(path: Path, seconds: Sequence[float]) -> list[int]:
    """Return the number of the frame on screen at each second, -1 where there is none."""
    frames, there = frames_at(path, seconds, (64, 96))
    return [videos.frame_number(f) if t else -1 for f, t in zip(frames, there, strict=True)]


def is_slide(path: Path) -> None:
    assert probe(path).duration_sec == pytest.approx(910, abs=1.2)
    numbers = shown(path, [2.1, 4.9, 300, 904.9, 905.7, 909.9])
    assert numbers == pytest.approx([10, 24, 24, 24, 28, 49], abs=2)


def is_joined(path: Path, parts: int = 2) -> None:
    """Check that it is recordings of ten seconds, one right after the other."""
    assert probe(path).duration_sec == pytest.approx(10 * parts, abs=0.5)
    for number in range(parts):
        assert shown(path, [10 * number + 5.1]) == pytest.approx([25], abs=1)


@pytest.mark.parametrize("kind", ["mpegts", "mpeg", "flv", "matroska"])
@beside
def test_a_slide_stands_for_a_quarter_of_an_hour(tmp_path: Path, kind: str, sound: bool) -> None:
    record(tmp_path / "a.bin", kind, SLIDE, sound=sound)
    is_slide(tmp_path / "a.bin")


@pytest.mark.parametrize("kind", ["mpegts", "flv", "matroska"])
def test_a_time_lapse(tmp_path: Path, kind: str) -> None:
    record(tmp_path / "a.bin", kind, [900 * k for k in range(6)])
    assert shown(tmp_path / "a.bin", [100, 950, 4000, 4500]) == [0, 1, 4, 5]


@pytest.mark.parametrize("kind", ["mpegts", "mpeg", "vob", "flv"])
@pytest.mark.parametrize("clocks", [(0, 3 * HOUR), (10 * HOUR, 0), (600, 30, 300)])
@beside
def test_joined_recordings_follow_on_each_other(
    tmp_path: Path, kind: str, clocks: tuple[int, ...], sound: bool
) -> None:
    """Whichever way their clocks differ, nothing is shown for as long as they do."""
    parts = [record(tmp_path / "part", kind, TEN_SECONDS, clock, sound) for clock in clocks]
    path = tmp_path / "a.bin"
    path.write_bytes(b"".join(parts))
    is_joined(path, len(parts))


@pytest.mark.parametrize("end", [b"", bytes.fromhex("000001b9")], ids=["time code", "end code"])
@beside
def test_a_part_without_a_system_header(tmp_path: Path, end: bytes, sound: bool) -> None:
    """As some editors write it; with an end code even where time codes tell nothing."""
    parts = [record(tmp_path / "part", "vob", TEN_SECONDS, clock, sound) for clock in (0, HOUR)]
    header = parts[1].index(bytes.fromhex("000001bb"))
    length = 6 + int.from_bytes(parts[1][header + 4 : header + 6], "big")
    parts[1] = parts[1][:header] + parts[1][header + length :]
    if end:
        code = bytes.fromhex("000001b8")
        parts = [part.replace(code, bytes.fromhex("000001b2")) for part in parts]
    path = tmp_path / "a.vob"
    path.write_bytes(parts[0] + end + parts[1])
    is_joined(path)


@pytest.mark.parametrize("kind", ["mpegts", "flv"])
def test_joined_recordings_of_unlike_sizes(tmp_path: Path, kind: str) -> None:
    """The decoder's header changes, and in FLV one packet alone tells."""
    parts = []
    for width in (96, 192):
        pictures = [videos.picture(k // 5, width, 2 * width // 3) for k in range(250)]
        part = videos.write_video(tmp_path / "part", pictures, container_format=kind)
        parts.append(part.read_bytes())
    path = tmp_path / "a.bin"
    path.write_bytes(b"".join(parts))
    is_joined(path)
    assert shown(path, [18.1]) == pytest.approx([40], abs=1)
    for exact in (True, False):
        made = cut(path, 14, 16, tmp_path / "one", exact=exact)
        assert shown(made, [1.5]) == pytest.approx([27], abs=3)
        made = cut(path, 9, 12, tmp_path / "two", exact=exact)
        assert shown(made, [0.1, 2.9]) == pytest.approx([45, 9], abs=3)


def test_a_recording_cut_off_in_mid_packet_can_be_joined(tmp_path: Path) -> None:
    parts = [record(tmp_path / "part", "mpegts", TEN_SECONDS, clock) for clock in (0, HOUR)]
    path = tmp_path / "a.ts"
    path.write_bytes(parts[0][:-100] + parts[1])
    is_joined(path)


def test_time_codes_between_packets(tmp_path: Path) -> None:
    """As cameras write them (M2TS)."""
    path = tmp_path / "a.m2ts"
    coded = [
        b"".join(bytes(4) + data[at : at + PACKET] for at in range(0, len(data), PACKET))
        for data in (
            record(tmp_path / "part", "mpegts", TEN_SECONDS),
            record(tmp_path / "part", "mpegts", TEN_SECONDS, HOUR),
            record(tmp_path / "part", "mpegts", SLIDE),
        )
    ]
    path.write_bytes(coded[0] + coded[1])
    is_joined(path)
    path.write_bytes(coded[2])
    is_slide(path)


def edited(data: bytes, edit: Callable[[bytearray], bytes]) -> bytes:
    packets = [bytearray(data[at : at + PACKET]) for at in range(0, len(data), PACKET)]
    return b"".join(edit(packet) for packet in packets)


def test_a_transport_stream_that_declares_a_new_clock(tmp_path: Path) -> None:
    """Its packets are counted on, as an editor or a splicer writes it."""
    half = TEN_SECONDS[:125]
    seconds = [*half, *[HOUR + 5 + second for second in half]]
    data = record(tmp_path / "a.ts", "mpegts", seconds)

    def declare(packet: bytearray) -> bytes:
        clocked = packet[3] & 0x20 and packet[4] and packet[5] & 0x10
        if clocked and int.from_bytes(packet[6:11], "big") >> 7 > HOUR * 90_000:
            packet[5] |= 0x80
        return bytes(packet)

    path = tmp_path / "b.ts"
    path.write_bytes(edited(data, declare))
    assert probe(path).duration_sec == pytest.approx(10, abs=0.3)
    assert shown(path, [4.9, 5.1, 7.5]) == pytest.approx([24, 25, 37], abs=1)
    assert probe(tmp_path / "a.ts").duration_sec == pytest.approx(HOUR + 10, abs=0.3)


def test_packets_lost_on_the_way_are_no_joint(tmp_path: Path) -> None:
    """The broadcast ran on for twenty minutes without reception."""
    whole = record(tmp_path / "a.ts", "mpegts", [k * 30 for k in range(60)])
    packets = [whole[at : at + PACKET] for at in range(0, len(whole), PACKET)]
    pictures = [n for n, p in enumerate(packets) if (p[1] & 0x1F) << 8 | p[2] == 0x100]
    begins = [n for n in pictures if packets[n][1] & 0x40]
    path = tmp_path / "b.ts"
    path.write_bytes(b"".join(packets[: begins[12]] + packets[begins[36] :]))

    assert probe(path).duration_sec == pytest.approx(1770, abs=1)
    assert shown(path, [331, 1000, 1081]) == [11, 11, 36]


@pytest.mark.parametrize("kind", ["mpegts", "vob"])
@beside
def test_a_clock_that_counts_from_zero_again(tmp_path: Path, kind: str, sound: bool) -> None:
    """In mid-recording, and while a slide stands."""
    record(tmp_path / "a.bin", kind, TEN_SECONDS, WRAP_SEC - 5, sound)
    assert shown(tmp_path / "a.bin", [1.1, 6.1, 9.9]) == [5, 30, 49]
    slide = [second - 600 * (second > 900) for second in SLIDE]
    record(tmp_path / "b.bin", kind, slide, WRAP_SEC - 100, sound)
    assert shown(tmp_path / "b.bin", [2.1, 200, 309.9]) == pytest.approx([10, 24, 49], abs=2)


def test_what_goes_on_in_another_stream_is_not_left_out_in_silence(tmp_path: Path) -> None:
    """FFmpeg makes another stream of another codec; of sound that merely lasts longer, no word."""
    part = videos.write_video(tmp_path / "a.flv", [videos.picture(k // 5) for k in range(250)])
    mute = part.read_bytes()
    (tmp_path / "joined.flv").write_bytes(
        mute + record(tmp_path / "b.bin", "flv", TEN_SECONDS, sound=True)
    )
    for name, said in (("a.flv", False), ("b.bin", False), ("joined.flv", True)):
        notes: list[str] = []
        list(iter_clip_frames(tmp_path / name, 10, 2, (64, 96), warnings=notes))
        assert [note for note in notes if "the picture ends after" in note] == notes
        assert bool(notes) == said


@pytest.mark.parametrize(
    "options",
    [{"mpegts_start_pid": "300"}, {"mpegts_start_pid": "300", "mpegts_service_id": "7"}],
    ids=["streams", "programme"],
)
@pytest.mark.parametrize("clocks", [(0, 0), (0, 3 * HOUR)])
@beside
def test_recordings_of_two_devices_are_joined(
    tmp_path: Path, options: dict[str, str], clocks: tuple[int, int], sound: bool
) -> None:
    """The second has other numbers for its streams: FFmpeg takes them for others."""
    path = tmp_path / "a.ts"
    one = record(path, "mpegts", TEN_SECONDS, clocks[0], sound=sound)
    path.write_bytes(one + record(path, "mpegts", TEN_SECONDS, clocks[1], sound, options))
    is_joined(path)
    notes: list[str] = []
    clips = list(iter_clip_frames(path, 10, 2, (64, 96), warnings=notes))
    assert len(clips) == 2 and not [note for note in notes if "clock" not in note]
    made = cut(path, 14, 17, tmp_path / "cut", exact=True)
    assert shown(made, [0.1, 2.9]) == pytest.approx([20, 34], abs=1)
    make_playable(path, playable(path, 20), 0, tmp_path / "film.mp4", lambda _: None)
    is_joined(tmp_path / "film.mp4")
