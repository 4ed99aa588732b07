"""The local store where it is most likely to break: kills, full disks, damage, many processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vidrec
from tests.store_kinds import find, make
from vidrec.conditions import Filter, same_value
from vidrec.errors import LockedError, NoIndexError, StoreError, UsageError
from vidrec.stores.knn import changes
from vidrec.stores.knn import store as knn
from vidrec.stores.knn.manifest import read_manifest
from vidrec.stores.knn.store import KnnStore
from vidrec.types import Payload, Point

DIM = 16
ROOT = Path(vidrec.__file__).parents[1]


def vector_of(number: int) -> np.ndarray:
    """The vector that a numbered point has, in every process."""
    values = np.random.default_rng(number).standard_normal(DIM)
    return (values / np.linalg.norm(values)).astype(np.float32)


def point_of(number: int) -> Point:
    video = number // 4
    payload = Payload(f"{video:064x}", f"{video}.mp4", "clip", number % 4, number % 4 + 1)
    return Point(f"00000000-0000-5000-8000-{number:012x}", vector_of(number), payload)


def number_of(name: str) -> int:
    return int(name[-12:], 16)


def points_of(*numbers: int) -> list[Point]:
    return [point_of(number) for number in range(*numbers)]


def open_store(folder: Path) -> KnnStore:
    return KnnStore(folder / "knn", "test")


def built(folder: Path, n: int = 40) -> KnnStore:
    store = open_store(folder)
    make(store, "A", DIM)
    store.upsert(points_of(n))
    return store


def assert_whole(store: KnnStore) -> list[int]:
    """Check that every point is there once, as it was written; return their numbers."""
    names = list(store.ids())
    numbers = [number_of(name) for name in names]
    assert len(set(names)) == len(names) == store.count()
    for point in store.get(names):
        expected = point_of(number_of(point.id))
        np.testing.assert_array_equal(point.vector, expected.vector)
        assert point.payload == expected.payload
    if names:
        asked = vector_of(7)
        matches = find(store, asked, k=len(names), by_video=False)
        scores = {name: float(vector_of(number_of(name)) @ asked) for name in names}
        assert {match.id for match in matches} == set(names)
        for match in matches:
            assert match.score == pytest.approx(scores[match.id], abs=1e-5)
        assert [m.score for m in matches] == sorted(scores.values(), reverse=True) or (
            np.diff([m.score for m in matches]).max() <= 0
        )
    return sorted(numbers)


# Kills

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_knn import open_store, points_of
store = open_store(Path({folder!r}))
print("ready", flush=True)
{body}
"""
APPEND = """
for start in range(0, 100_000, 50):
    store.upsert(points_of(start, start + 50))
    print(start + 50, flush=True)
"""
REPLACE = """
for turn in range(100_000):
    with store.rebuild("BA"[turn % 2], {dim}) as writer:
        writer.upsert(points_of(*((0, 300), (0, 500))[turn % 2]))
    print(turn, flush=True)
"""
CHURN = """
from vidrec.stores.knn import changes
changes.MIN_DEAD = 20
for start in range(0, 100_000, 60):
    store.upsert(points_of(start, start + 60))
    store.delete(point.id for point in points_of(start, start + 60))
    print(start, flush=True)
"""


@contextmanager
def writing(folder: Path, body: str) -> Iterator[subprocess.Popen[str]]:
    """A process that writes to the index until it is killed."""
    code = WRITER.format(tests=str(Path(__file__).parent), folder=str(folder), body=body)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def kill_at_random(folder: Path, body: str, rng: random.Random) -> int:
    """Kill a writer after a while; return how far it said it was."""
    with writing(folder, body) as process:
        time.sleep(rng.uniform(0.005, 0.25))
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[0].split()
    return int(said[-1]) if said else 0


def leftovers(folder: Path) -> list[str]:
    collection = folder / "knn" / "test"
    manifest = read_manifest(collection)
    assert manifest is not None
    served = {part.name for part in manifest.parts}
    return [path.name for path in collection.iterdir() if path.is_dir() and path.name not in served]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
class TestKills:
    @pytest.mark.parametrize("seed", range(4))
    def test_a_killed_writer_loses_nothing_finished(self, tmp_path: Path, seed: int) -> None:
        built(tmp_path, 0).close()
        written = kill_at_random(tmp_path, APPEND, random.Random(seed))
        store = open_store(tmp_path)
        numbers = assert_whole(store)
        assert numbers == list(range(len(numbers)))  # a prefix, of whole batches
        assert len(numbers) >= written and len(numbers) % 50 == 0
        store.upsert(points_of(len(numbers) + 10))
        assert assert_whole(store) == list(range(len(numbers) + 10))

    @pytest.mark.parametrize("seed", range(4))
    def test_a_killed_rebuild_leaves_the_served_index(self, tmp_path: Path, seed: int) -> None:
        built(tmp_path, 500).close()
        kill_at_random(tmp_path, REPLACE.format(dim=DIM), random.Random(10 + seed))
        store = open_store(tmp_path)
        info = store.info()
        assert info is not None
        assert assert_whole(store) == list(range({"A": 500, "B": 300}[info.fingerprint]))
        store.upsert(points_of(600))
        assert leftovers(tmp_path) == []
        assert assert_whole(store) == list(range(600))

    @pytest.mark.parametrize("seed", range(3))
    def test_a_killed_compaction_loses_nothing(self, tmp_path: Path, seed: int) -> None:
        built(tmp_path, 0).close()
        kill_at_random(tmp_path, CHURN, random.Random(20 + seed))
        store = open_store(tmp_path)
        numbers = assert_whole(store)
        assert len(numbers) in (0, 60)
        store.upsert(points_of(90))
        assert leftovers(tmp_path) == []
        assert set(assert_whole(store)) >= set(range(90))

    def test_the_lock_of_a_killed_writer_is_free(self, tmp_path: Path) -> None:
        built(tmp_path).close()
        with writing(tmp_path, "with store.rebuild('B', 3): print(1, flush=True); input()") as who:
            assert who.stdout is not None and who.stdout.readline() == "1\n"
            who.kill()
            who.wait()
            store = open_store(tmp_path)
            store.upsert(points_of(41))
            assert assert_whole(store) == list(range(41))


# Several processes


def assert_right_answer(store: KnnStore) -> tuple[str, int]:
    """Check one query against the vectors that its points must have; return what it saw."""
    asked = vector_of(3)
    for match in find(store, asked, k=30, by_video=False, where=Filter(scope="clip")):
        number = number_of(match.id)
        assert match.score == pytest.approx(float(vector_of(number) @ asked), abs=1e-5)
        assert match.payload == point_of(number).payload
    info = store.info()
    assert info is not None
    return info.fingerprint, info.count


@pytest.mark.parametrize("body", [APPEND, REPLACE.format(dim=DIM), CHURN])
def test_readers_see_whole_states_while_one_writes(tmp_path: Path, body: str) -> None:
    built(tmp_path, 500).close()
    long_lived = open_store(tmp_path)
    seen = set()
    with writing(tmp_path, body):
        began = time.monotonic()
        # 1.5 s, or until a busy machine has let the writer begin
        while (passed := time.monotonic() - began) < 1.5 or (len(seen) < 2 and passed < 60):
            seen.add(assert_right_answer(long_lived))
            fresh = open_store(tmp_path)
            seen.add(assert_right_answer(fresh))
            fresh.close()
    assert len(seen) > 1  # the writer did write meanwhile
    if body == REPLACE.format(dim=DIM):
        assert seen == {("A", 500), ("B", 300)}
    else:
        assert all(fingerprint == "A" for fingerprint, _ in seen)


def test_a_second_writer_is_told_who_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "LOCK_SECONDS", 0.05)
    store, second = built(tmp_path), open_store(tmp_path)
    with store.rebuild("B", DIM) as writer:
        with pytest.raises(LockedError, match=f"process {os.getpid()}"):
            second.upsert(points_of(3))
        writer.upsert(points_of(5))
        assert second.count() == 40
    second.upsert(points_of(6))
    assert second.count() == store.count() == 6


# Full disks


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let every write behind this size fail, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kib", [1, 12, 60, 200])
def test_a_full_disk_leaves_the_served_index(tmp_path: Path, kib: int) -> None:
    store = built(tmp_path)
    with files_of_at_most(kib << 10):
        with pytest.raises(StoreError, match="cannot write the index") as failure:
            store.upsert(points_of(10_000))
        assert "\n" not in str(failure.value)
        with pytest.raises(StoreError), store.rebuild("B", DIM) as writer:
            writer.upsert(points_of(10_000))
        assert assert_whole(store) == list(range(40))
    assert assert_whole(open_store(tmp_path)) == list(range(40))
    store.upsert(points_of(200))
    assert assert_whole(store) == list(range(200))
    assert leftovers(tmp_path) == []


def test_a_rebuild_that_failed_is_not_served_even_if_the_caller_goes_on(tmp_path: Path) -> None:
    store = built(tmp_path)
    with pytest.raises(StoreError, match="incomplete"), store.rebuild("B", DIM) as writer:
        with files_of_at_most(20 << 10), pytest.raises(StoreError):
            writer.upsert(points_of(10_000))
        writer.upsert(points_of(3))
    assert assert_whole(store) == list(range(40))


# Damage


def segment(folder: Path, at: int = 0) -> Path:
    collection = folder / "knn" / "test"
    manifest = read_manifest(collection)
    assert manifest is not None
    return collection / manifest.parts[at].name


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def overwrite(path: Path, data: bytes, at: int = 0) -> None:
    with path.open("rb+") as file:
        file.seek(at)
        file.write(data)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


MANIFEST = "knn/test/manifest.json"
DAMAGE: dict[str, Callable[[Path], Any]] = {
    "vectors cut": lambda folder: cut(segment(folder) / "vectors.f32"),
    "rows cut": lambda folder: cut(segment(folder) / "rows.bin"),
    "rows longer": lambda folder: (segment(folder) / "rows.bin").write_bytes(b"x" * 5000),
    "payloads cut": lambda folder: os.truncate(segment(folder) / "payloads.bin", 20),
    "payload garbage": lambda folder: overwrite(segment(folder) / "payloads.bin", b"{}" * 900),
    "vectors gone": lambda folder: (segment(folder) / "vectors.f32").unlink(),
    "payloads gone": lambda folder: (segment(folder) / "payloads.bin").unlink(),
    "vectors not finite": lambda folder: overwrite(segment(folder) / "vectors.f32", b"\xff" * 9),
    "rows garbage": lambda folder: (segment(folder) / "rows.bin").write_bytes(b"\xee" * 56 * 40),
    "manifest garbage": lambda folder: overwrite(folder / MANIFEST, b"\xffoops"),
    "manifest empty": lambda folder: (folder / MANIFEST).write_bytes(b""),
    "manifest wrong": lambda folder: edit(folder / MANIFEST, lambda d: d["body"].update(dim=8)),
    "segment gone": lambda folder: segment(folder).rename(folder / "elsewhere"),
}


@pytest.mark.parametrize("kind", sorted(DAMAGE))
def test_damage_is_one_line_and_can_be_mended(tmp_path: Path, kind: str) -> None:
    built(tmp_path).close()
    DAMAGE[kind](tmp_path)
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="--recreate") as failure:
        find(store, vector_of(1), k=3)
    assert "\n" not in str(failure.value) and "knn" in str(failure.value)
    with store.rebuild("A", DIM) as writer:
        writer.upsert(points_of(12))
    assert assert_whole(store) == list(range(12))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("bit", range(0, 32, 5))
def test_a_flipped_bit_is_never_a_result(tmp_path: Path, bit: int) -> None:
    built(tmp_path).close()
    path = segment(tmp_path) / "vectors.f32"
    at = 7 * DIM * 4 + bit // 8
    overwrite(path, bytes([path.read_bytes()[at] ^ 1 << bit % 8]), at)
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="--recreate"):
        find(store, vector_of(7), k=3)
    assert [line for line in store.verify() if "not what was written: 1" in line]


def test_all_that_is_stored_can_be_verified(tmp_path: Path) -> None:
    store = built(tmp_path)
    assert list(store.verify()) == []
    for name, at in (("rows.bin", 3), ("payloads.bin", 30)):
        path = segment(tmp_path) / name
        before = path.read_bytes()
        overwrite(path, bytes([before[at] ^ 4]), at)
        assert [line for line in open_store(tmp_path).verify() if name in line]
        path.write_bytes(before)


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    built(tmp_path).close()
    edit(tmp_path / MANIFEST, lambda document: document.update(layout=99))
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="newer vidrec"):
        store.count()
    with pytest.raises(StoreError, match="newer vidrec"), store.rebuild("A", DIM):
        pass


def test_an_older_layout_counts_as_no_index(tmp_path: Path) -> None:
    built(tmp_path).close()
    before = segment(tmp_path)
    edit(tmp_path / MANIFEST, lambda document: document.update(layout=2))
    store = open_store(tmp_path)
    assert store.info() is None
    with pytest.raises(NoIndexError, match=r"an older vidrec made the index .*run `vidrec index"):
        find(store, vector_of(1), k=3)
    with store.rebuild("A", DIM) as writer:
        writer.upsert(points_of(12))
    assert assert_whole(store) == list(range(12)) and not before.exists()


# Threads


def test_threads_ask_one_store_while_it_is_rebuilt(tmp_path: Path) -> None:
    store = built(tmp_path, 500)
    stop = threading.Event()

    def asking() -> int:
        asked = 0
        while not stop.is_set():
            assert_right_answer(store)
            asked += 1
        return asked

    with ThreadPoolExecutor(3) as pool:
        askers = [pool.submit(asking) for _ in range(3)]
        for turn in range(12):
            with store.rebuild("BA"[turn % 2], DIM) as writer:
                writer.upsert(points_of(300 + turn))
            store.upsert(points_of(400))
            store.delete(point.id for point in points_of(0, 100))
        stop.set()
        assert all(asker.result() for asker in askers)


# Files


def test_segments_with_many_dead_rows_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MIN_DEAD", 100)
    store, reader = built(tmp_path, 400), open_store(tmp_path)
    assert reader.count() == 400
    before = segment(tmp_path)
    size = (before / "vectors.f32").stat().st_size
    assert store.delete(point.id for point in points_of(0, 90)) == 90
    assert segment(tmp_path) == before
    assert store.delete(point.id for point in points_of(90, 300)) == 210
    assert segment(tmp_path) != before and not before.exists()
    assert (segment(tmp_path) / "vectors.f32").stat().st_size == size // 4
    for one in (store, reader, open_store(tmp_path)):
        assert assert_whole(one) == list(range(300, 400))
    store.upsert(points_of(0, 20))
    assert reader.count() == 120


def test_small_segments_are_merged_and_large_ones_left(tmp_path: Path) -> None:
    store = built(tmp_path, 2000)
    first = segment(tmp_path)
    for start in range(2000, 2400, 10):
        store.upsert(points_of(start, start + 10))
        manifest = read_manifest(tmp_path / "knn" / "test")
        assert manifest is not None and len(manifest.parts) <= changes.MOST_SMALL
    assert first.exists()
    assert assert_whole(store) == list(range(2400))


def test_points_of_one_video_share_its_payload(tmp_path: Path) -> None:
    built(tmp_path, 40).close()
    manifest = read_manifest(tmp_path / "knn" / "test")
    assert manifest is not None
    assert [part.payloads for part in manifest.parts] == [10]


def test_ids_must_be_uuids(tmp_path: Path) -> None:
    store = built(tmp_path)
    with pytest.raises(UsageError, match="UUID"):
        store.get(["seven"])
    upper = point_of(5).id.upper()
    assert [point.id for point in store.get([upper])] == [point_of(5).id]


def test_equal_values_are_compared_as_in_json() -> None:
    assert same_value(1, 1.0)
    assert same_value(None, None)
    for stored, wanted in ((1, True), (True, 1), ("1", 1), (None, False), (0, None), ("a", "A")):
        assert not same_value(stored, wanted)


def test_a_query_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    built(tmp_path).close()
    code = (
        "import json, sys; from pathlib import Path\n"
        "import numpy as np\n"
        "from vidrec.search.rank import nearest\n"
        "from vidrec.stores.knn.store import KnnStore\n"
        f"store = KnnStore(Path({str(tmp_path / 'knn')!r}), 'test')\n"
        f"assert len(nearest(store, np.ones({DIM}, dtype=np.float32), 3)) == 3\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    loaded = set(json.loads(done.stdout))
    heavy = {"filelock", "pydantic", "typer", "rich", "asyncio"}
    assert not loaded & heavy


def test_no_index_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(NoIndexError, match="knn"):
        find(open_store(tmp_path), vector_of(1), k=1)
    assert not (tmp_path / "knn").exists()  # asking makes nothing
