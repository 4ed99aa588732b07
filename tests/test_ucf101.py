"""Fetching a subset of UCF101 from a zip on a real HTTP server, faults included."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import remotezip  # noqa: F401  (what reads the archive)

from tests.range_server import Handler, RangeServer, serving
from vidrec.datasets.split import Wish, apportion, split_groups
from vidrec.datasets.ucf101 import Choice, Member, choose, download, read_directory
from vidrec.errors import DatasetError

CLASSES = ("Archery", "Bowling", "Cricket")
N_GROUPS, PER_GROUP = 5, 3


def clip_bytes(name: str) -> bytes:
    rng = random.Random(name)
    return rng.randbytes(rng.randint(100, 30_000)) + bytes(3_000)


def write_archive(path: Path, offset: int = 0) -> Path:
    with path.open("wb") as file:
        file.seek(offset)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("UCF101/readme.txt", "clips follow")
            for label, group, clip in product(CLASSES, range(N_GROUPS), range(PER_GROUP)):
                name = f"UCF101/v_{label}_g{group + 1:02d}_c{clip + 1:02d}.avi"
                stored = label == "Bowling"
                method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                archive.writestr(name, clip_bytes(name), method)
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RangeServer]:
    with serving(write_archive(tmp_path / "UCF101_videos.zip")) as running:
        yield running


def fetch(server: RangeServer, dest: Path, **wishes: object) -> list[Path]:
    wishes = {"classes": 3, "per_class": 10, "split": (6, 2, 2)} | wishes
    members = read_directory(server.url, retry_seconds=0.01)
    choice = choose(members, Wish(**wishes))  # type: ignore[arg-type]
    return download(server.url, choice, dest, retry_seconds=0.01)


def clips_in(dest: Path) -> dict[str, Path]:
    return {path.name: path for path in dest.glob("*/*/v_*.avi")}


def assert_whole(paths: dict[str, Path]) -> None:
    for name, path in paths.items():
        assert path.read_bytes() == clip_bytes(f"UCF101/{name}"), name


def test_fetches_exactly_the_chosen_clips(server: RangeServer, tmp_path: Path) -> None:
    dest = tmp_path / "data"
    new = fetch(server, dest, classes=2)
    found = clips_in(dest)
    assert len(new) == len(found) == 20
    assert_whole(found)
    counts = Counter((path.parent.parent.name, path.parent.name) for path in found.values())
    assert counts == {
        (side, label): n
        for label in CLASSES[:2]
        for side, n in (("train", 6), ("val", 2), ("test", 2))
    }
    manifest = json.loads((dest / "manifest.json").read_text())
    assert manifest["url"] == server.url
    assert {clip["file"] for clip in manifest["clips"]} == {
        path.relative_to(dest).as_posix() for path in new
    }
    assert all((dest / clip["file"]).stat().st_size == clip["size"] for clip in manifest["clips"])
    assert not [*dest.rglob("*.partial*")]


def test_moves_no_byte_beyond_the_members_and_the_directory(
    server: RangeServer, tmp_path: Path
) -> None:
    members = read_directory(server.url)
    with zipfile.ZipFile(server.path) as archive:
        directory = server.path.stat().st_size - archive.start_dir
    assert server.body_bytes == directory
    choice = choose(members, Wish(classes=["Cricket"], per_class=10))
    download(server.url, choice, tmp_path / "data")
    chosen = sum(member.end - member.start for _, member in choice.members)
    assert server.body_bytes == directory + chosen
    assert chosen == choice.n_bytes < server.path.stat().st_size / 2


def test_a_second_run_fetches_only_what_is_missing_or_damaged(
    server: RangeServer, tmp_path: Path
) -> None:
    dest = tmp_path / "data"
    paths = fetch(server, dest)
    paths[0].unlink()
    paths[1].write_bytes(b"x" + paths[1].read_bytes()[1:])
    assert fetch(server, dest) == sorted(paths[:2])
    assert_whole(clips_in(dest))
    assert fetch(server, dest) == []


def test_another_choice_does_not_mix_into_the_same_folder(
    server: RangeServer, tmp_path: Path
) -> None:
    fetch(server, tmp_path / "data")
    with pytest.raises(DatasetError, match="another choice of clips"):
        fetch(server, tmp_path / "data", seed=1)


def test_groups_stay_on_one_side_and_seeds_differ(server: RangeServer) -> None:
    members = read_directory(server.url)
    choices = [choose(members, Wish(classes=3, per_class=10, seed=seed)) for seed in (0, 0, 1)]
    assert choices[0] == choices[1] != choices[2]
    for choice in choices:
        assert not choice.short
        sides: dict[tuple[str, str], set[str]] = {}
        for side, member in choice.members:
            sides.setdefault((member.label, member.group), set()).add(side)
        assert all(len(at) == 1 for at in sides.values())


def test_split_by_file_takes_the_clips_in_order(server: RangeServer) -> None:
    wish = Wish(classes=1, per_class=5, split=(3, 1, 1), split_by="file")
    choice = choose(read_directory(server.url), wish)
    assert [(side, Path(m.name).name[-11:-4]) for side, m in choice.members] == [
        ("train", "g01_c01"),
        ("train", "g01_c02"),
        ("train", "g01_c03"),
        ("val", "g02_c01"),
        ("test", "g02_c02"),
    ]


def test_says_when_groups_do_not_allow_the_counts(server: RangeServer) -> None:
    choice = choose(read_directory(server.url), Wish(classes=1, per_class=None, split=(8, 4, 3)))
    assert choice.short == {"Archery": (8, 3, 3)} or sum(choice.short["Archery"]) == 14


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"per_class": 16}, "Archery has 15 clips"),
        ({"classes": 4}, "has 3 classes"),
        ({"classes": ["Archery", "Polo"]}, "no such class in the archive: Polo"),
        ({"split": (0, 1, 1)}, "three counts"),
    ],
)
def test_an_impossible_wish_is_refused_before_anything_is_written(
    server: RangeServer, tmp_path: Path, wish: dict[str, object], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        fetch(server, tmp_path / "data", **wish)
    assert not (tmp_path / "data").exists()


def test_too_few_groups() -> None:
    members = [Member(f"v_A_g01_c0{i}.avi", "A", "01", 1, 0, 0, i, i + 1) for i in range(9)]
    with pytest.raises(DatasetError, match=r"only 1 group, too few for 3 splits"):
        choose(members, Wish(classes=1, per_class=5))


def test_a_server_without_ranges(server: RangeServer, tmp_path: Path) -> None:
    server.ranges = False
    with pytest.raises(DatasetError, match="does not serve byte ranges"):
        fetch(server, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("status", "message"), [(403, "refuses access"), (404, "no such file")])
def test_refused_and_missing(
    server: RangeServer, tmp_path: Path, status: int, message: str
) -> None:
    server.head = False
    server.fault = lambda handler, start, end: handler.refuse(status) is None
    with pytest.raises(DatasetError, match=message):
        fetch(server, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_nobody_listens_and_no_such_scheme() -> None:
    with pytest.raises(DatasetError, match=r"cannot reach http://127\.0\.0\.1:9"):
        read_directory("http://127.0.0.1:9/UCF101_videos.zip", retry_seconds=0)
    with pytest.raises(DatasetError, match="cannot read gopher:"):
        read_directory("gopher://example.org/UCF101_videos.zip")


def test_what_opens_a_url_is_not_told(server: RangeServer, tmp_path: Path) -> None:
    signed = f"{server.url}?X-Amz-Signature=s3cret"
    members = read_directory(signed)
    choice = choose(members, Wish(classes=1, per_class=3, split=(1, 1, 1)))
    download(signed, choice, tmp_path / "data")
    assert json.loads((tmp_path / "data" / "manifest.json").read_text())["url"] == server.url
    for url in (signed.replace("http", "gopher"), "http://me:s3cret@127.0.0.1:9/a.zip"):
        with pytest.raises(DatasetError) as caught:
            read_directory(url, retry_seconds=0)
        assert "s3cret" not in str(caught.value)


def test_what_is_no_zip_and_what_is_not_ucf101(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_bytes(b"<html>" * 1000)
    with serving(tmp_path / "page.zip") as running, pytest.raises(DatasetError, match="no zip"):
        read_directory(running.url)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("holiday.avi", b"x")
    with (
        serving(tmp_path / "other.zip") as running,
        pytest.raises(DatasetError, match="no clip named like UCF101"),
    ):
        read_directory(running.url)


def test_works_without_head(server: RangeServer, tmp_path: Path) -> None:
    server.head = False
    assert len(fetch(server, tmp_path / "data", classes=1)) == 10


def test_an_archive_beyond_4_gb(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "UCF101_videos.zip", offset=5 << 30)  # a hole, not 5 GB
    with serving(path) as running:
        fetch(running, tmp_path / "data", classes=1)
        assert running.body_bytes < 1 << 20
    assert_whole(clips_in(tmp_path / "data"))


def test_dropped_connections_are_taken_up_where_they_broke(
    server: RangeServer, tmp_path: Path
) -> None:
    rng = random.Random(0)

    def drop(handler: Handler, start: int, end: int) -> bool:
        if rng.random() < 0.5:
            handler.answer(start, end, cut=rng.randint(0, end - start - 1))
            return True
        return False

    whole = read_directory(server.url)
    directory, server.body_bytes, server.fault = server.body_bytes, 0, drop
    choice = choose(whole, Wish(classes=3, per_class=10))
    download(server.url, choice, tmp_path / "data", retry_seconds=0.001)
    assert_whole(clips_in(tmp_path / "data"))
    assert server.body_bytes <= choice.n_bytes + directory


def test_throttling_is_waited_out(server: RangeServer, tmp_path: Path) -> None:
    refusals = {}

    def throttle(handler: Handler, start: int, end: int) -> bool:
        with server.lock:
            refusals[start] = refusals.get(start, 0) + 1
        if refusals[start] == 1:
            handler.refuse(429, Retry_After="0")
        elif refusals[start] == 2:
            handler.refuse(503)
        return refusals[start] <= 2

    server.fault = throttle
    assert len(fetch(server, tmp_path / "data")) == 30


def test_what_never_comes_fails_alone(server: RangeServer, tmp_path: Path) -> None:
    members = read_directory(server.url)
    choice = choose(members, Wish(classes=1, per_class=10))
    bad = choice.members[3][1]

    def hang_up(handler: Handler, start: int, end: int) -> bool:
        if bad.start <= start < bad.end:
            handler.answer(start, end, cut=0)
            return True
        return False

    server.fault = hang_up
    with pytest.raises(DatasetError, match=r"1 of 10 clips .* run it again"):
        download(server.url, choice, tmp_path / "data", retry_seconds=0.001)
    assert len(clips_in(tmp_path / "data")) == 9
    server.fault = lambda handler, start, end: False
    assert [p.name for p in download(server.url, choice, tmp_path / "data")] == [
        Path(bad.name).name
    ]


def test_a_wrong_checksum_never_becomes_a_file(server: RangeServer, tmp_path: Path) -> None:
    choice = choose(read_directory(server.url), Wish(classes=["Archery", "Bowling"], per_class=10))
    content = bytearray(server.path.read_bytes())
    bad = [next(m for _, m in choice.members if m.label == label) for label in CLASSES[:2]]
    for member in bad:
        content[member.start + 80] ^= 0xFF
    server.path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"2 of 20 clips .* checksum is wrong"):
        download(server.url, choice, tmp_path / "data")
    found = clips_in(tmp_path / "data")
    assert len(found) == 18
    assert_whole(found)


CHILD = """
import sys
from pathlib import Path
from vidrec.datasets.split import Wish
from vidrec.datasets.ucf101 import choose, download, read_directory
url, dest = sys.argv[1:]
download(url, choose(read_directory(url), Wish(classes=3, per_class=10)), Path(dest), workers=2)
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_killed_anywhere_it_is_completed_by_running_it_again(
    server: RangeServer, tmp_path: Path
) -> None:
    dest, killed = tmp_path / "data", threading.Event()

    def held(handler: Handler, start: int, end: int) -> bool:
        while len(clips_in(dest)) >= wanted and not killed.is_set():
            time.sleep(0.005)
        return False

    server.fault = held
    command = [sys.executable, "-c", CHILD, server.url, str(dest)]
    for wanted in (1, 9, 17):
        killed.clear()
        child = subprocess.Popen(command)
        deadline = time.monotonic() + 100
        while len(clips_in(dest)) < wanted and time.monotonic() < deadline:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        killed.set()
        assert wanted <= len(clips_in(dest)) < 30
        assert_whole(clips_in(dest))
    subprocess.run(command, check=True)
    assert len(clips_in(dest)) == 30
    assert_whole(clips_in(dest))


def test_a_full_or_forbidden_folder_is_an_error(server: RangeServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot write into"):
        fetch(server, tmp_path / "file" / "data")


def brute_force(sizes: list[int], targets: tuple[int, ...]) -> bool:
    return any(
        all(
            sum(s for s, at in zip(sizes, sides, strict=True) if at == side) >= target
            for side, target in enumerate(targets)
        )
        for sides in product(range(3), repeat=len(sizes))
    )


def test_counts_are_exact_wherever_whole_groups_allow_it() -> None:
    rng = random.Random(0)
    exact = 0
    for trial in range(150):
        sizes = [rng.randint(1, 5) for _ in range(rng.randint(3, 7))]
        groups = {str(g): [f"{g}.{i}" for i in range(n)] for g, n in enumerate(sizes)}
        targets = apportion(rng.randint(3, sum(sizes)), (3, 1, 1))
        sides = split_groups(groups, targets, seed=trial)
        counts = tuple(map(len, sides))
        assert all(got <= asked for got, asked in zip(counts, targets, strict=True))
        assert (counts == targets) == brute_force(sizes, targets)
        exact += counts == targets
        homes = [{name.split(".")[0] for name in side} for side in sides]
        assert not (homes[0] & homes[1] or homes[0] & homes[2] or homes[1] & homes[2])
    assert 50 < exact < 150


def test_many_groups_are_preferred_to_many_clips_of_few() -> None:
    groups = {f"{g:02d}": [f"{g:02d}.{i}" for i in range(4 + g % 4)] for g in range(25)}
    sides = split_groups(groups, (30, 10, 10), seed=0)
    assert [len(side) for side in sides] == [30, 10, 10]
    assert len({name[:2] for side in sides for name in side}) == 25


def test_shares_follow_the_ratio() -> None:
    assert apportion(50, (30, 10, 10)) == (30, 10, 10)
    assert apportion(33, (30, 10, 10)) == (20, 7, 6)
    assert apportion(7, (1, 0, 0)) == (7, 0, 0)
    assert Choice((), Wish(), {}).n_bytes == 0


def test_the_command_line(
    server: RangeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vidrec.cli import app

    def vidrec(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            app(["fetch-ucf", "--url", server.url, *args])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    code, out, _ = vidrec("--list", "--format", "jsonl")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"label": label, "clips": 15, "groups": 5} for label in CLASSES
    ]
    dest = str(tmp_path / "data")
    wish = ["--dest", dest, "--class", "Cricket", "--class", "Archery"]
    code, out, err = vidrec(*wish, "--per-class", "all", "--split", "3/1/1")
    assert code == 0 and json.loads(out)["counts"] == [18, 6, 6]
    assert "fetched 30 clips" in err and "holds 18/6/6 clips" in err
    code, _, err = vidrec(*wish, "--per-class", "all", "--split", "3/1/1")
    assert code == 0 and "fetched 0 clips (0 B), 30 were there" in err
    for args, message in (
        (["--per-class", "50"], "Archery has 15 clips"),
        (["--split", "30-10-10"], "Received: 30-10-10"),
        (["--per-class", "some"], "Received: some"),
        (["--split-by", "luck"], "'luck' is not one of"),
    ):
        code, out, err = vidrec("--dest", str(tmp_path / "other"), "--classes", "3", *args)
        assert code in (1, 2) and out == "" and err.startswith("error: ") and message in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "other").exists()
