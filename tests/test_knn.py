"""The local store where it is most likely to break: kills, full disks, damage, many processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vidrec
from vidrec.errors import LockedError, NoIndexError, StoreError, UsageError
from vidrec.stores import ranking
from vidrec.stores.knn import filter as knn_filter
from vidrec.stores.knn import store as knn
from vidrec.stores.knn.store import KnnStore
from vidrec.types import Filter, Payload, Point

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
    store.create("A", DIM)
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
        matches = store.query(asked, k=len(names), by_video=False)
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
from vidrec.stores.knn import store as knn
knn.MIN_DEAD = 20
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
    inside = sorted(path.name for path in (folder / "knn" / "test").glob("gen-*"))
    served = (folder / "knn" / "test" / "CURRENT").read_text().strip()
    return [name for name in inside if name != served]


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
    for match in store.query(asked, k=30, by_video=False, where=Filter(scope="clip")):
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
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
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


def generation(folder: Path) -> Path:
    collection = folder / "knn" / "test"
    return collection / (collection / "CURRENT").read_text().strip()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def overwrite(path: Path, data: bytes, at: int = 0) -> None:
    with path.open("rb+") as file:
        file.seek(at)
        file.write(data)


DAMAGE: dict[str, Any] = {
    "vectors cut": lambda folder: cut(generation(folder) / "vectors.f32"),
    "rows cut": lambda folder: cut(generation(folder) / "rows.bin"),
    "vectors gone": lambda folder: (generation(folder) / "vectors.f32").unlink(),
    "points gone": lambda folder: (generation(folder) / "points.sqlite3").unlink(),
    "points garbage": lambda folder: overwrite(generation(folder) / "points.sqlite3", b"x" * 200),
    "points empty": lambda folder: os.truncate(generation(folder) / "points.sqlite3", 0),
    "vectors not finite": lambda folder: overwrite(generation(folder) / "vectors.f32", b"\xff" * 9),
    "rows garbage": lambda folder: (generation(folder) / "rows.bin").write_bytes(b"\xee" * 48 * 40),
    "CURRENT garbage": lambda folder: overwrite(generation(folder).parent / "CURRENT", b"\xffoops"),
    "CURRENT wrong": lambda folder: (generation(folder).parent / "CURRENT").write_text("gen-9\n"),
    "generation gone": lambda folder: generation(folder).rename(folder / "elsewhere"),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(DAMAGE))
@pytest.mark.parametrize("mend", ["rebuild", "drop"])
def test_damage_is_one_line_and_can_be_mended(tmp_path: Path, kind: str, mend: str) -> None:
    built(tmp_path).close()
    DAMAGE[kind](tmp_path)
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="--recreate") as failure:
        store.query(vector_of(1), k=3)
    assert "\n" not in str(failure.value) and "knn" in str(failure.value)
    if mend == "drop":
        store.drop()
        store.create("A", DIM)
        store.upsert(points_of(12))
    else:
        with store.rebuild("A", DIM) as writer:
            writer.upsert(points_of(12))
    assert assert_whole(store) == list(range(12))


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    import sqlite3

    built(tmp_path).close()
    db = sqlite3.connect(generation(tmp_path) / "points.sqlite3")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="newer vidrec"):
        open_store(tmp_path).count()


def test_what_lies_behind_the_committed_rows_does_not_count(tmp_path: Path) -> None:
    store = built(tmp_path)
    for name in ("vectors.f32", "rows.bin"):
        with (generation(tmp_path) / name).open("ab") as file:
            file.write(os.urandom(5000))
    assert assert_whole(store) == list(range(40))
    store.upsert(points_of(55))
    assert assert_whole(store) == list(range(55))


# Files


def test_deleted_and_replaced_points_are_compacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "MIN_DEAD", 10)
    store, reader = built(tmp_path, 400), open_store(tmp_path)
    assert reader.count() == 400
    before = generation(tmp_path)
    size = (before / "vectors.f32").stat().st_size
    assert store.delete(point.id for point in points_of(0, 90)) == 90
    assert generation(tmp_path) == before
    assert store.delete(point.id for point in points_of(90, 300)) == 210
    assert generation(tmp_path) != before and not before.exists()
    assert (generation(tmp_path) / "vectors.f32").stat().st_size == size // 4
    for one in (store, reader, open_store(tmp_path)):
        assert assert_whole(one) == list(range(300, 400))
    store.upsert(points_of(0, 20))
    assert reader.count() == 120


def test_the_same_again_writes_nothing(tmp_path: Path) -> None:
    store = built(tmp_path)
    before = (generation(tmp_path) / "vectors.f32").stat().st_size
    assert store.upsert(points_of(40)) == 40
    assert (generation(tmp_path) / "vectors.f32").stat().st_size == before


def test_points_of_one_video_share_its_payload(tmp_path: Path) -> None:
    import sqlite3

    built(tmp_path, 40).close()
    later = open_store(tmp_path)  # must find in the tables what it did not write
    later.upsert(points_of(30, 50))
    later.close()
    db = sqlite3.connect(generation(tmp_path) / "points.sqlite3")
    for table in ("payloads", "videos"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (13,)
    db.close()
    assert assert_whole(open_store(tmp_path)) == list(range(50))


def test_ids_must_be_uuids(tmp_path: Path) -> None:
    store = built(tmp_path)
    with pytest.raises(UsageError, match="UUID"):
        store.get(["seven"])
    upper = point_of(5).id.upper()
    assert [point.id for point in store.get([upper])] == [point_of(5).id]


def test_equal_values_are_compared_as_in_json() -> None:
    assert knn_filter.same_value(1, 1.0)
    assert knn_filter.same_value(None, None)
    for stored, wanted in ((1, True), (True, 1), ("1", 1), (None, False), (0, None), ("a", "A")):
        assert not knn_filter.same_value(stored, wanted)


def test_a_query_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    built(tmp_path).close()
    code = (
        "import json, sys; from pathlib import Path\n"
        "import numpy as np\n"
        "from vidrec.stores.knn.store import KnnStore\n"
        f"store = KnnStore(Path({str(tmp_path / 'knn')!r}), 'test')\n"
        f"assert len(store.query(np.ones({DIM}, dtype=np.float32), k=3)) == 3\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    loaded = set(json.loads(done.stdout))
    heavy = {"filelock", "pydantic", "typer", "rich", "asyncio", "vidrec.stores.knn.writer"}
    assert not loaded & heavy


def test_no_index_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(NoIndexError, match="knn"):
        open_store(tmp_path).query(vector_of(1), k=1)
    assert not (tmp_path / "knn").exists()  # asking makes nothing


# Ranking


def test_exact_scores_do_not_depend_on_where_a_row_lies() -> None:
    noise = np.random.default_rng(0)
    for dim in (3, 17, 512, 1023):
        row, query = (noise.standard_normal(dim).astype(np.float32) for _ in range(2))
        alone = ranking.exact_scores(row[None], query)[0]
        rows = noise.standard_normal((ranking.ROWS_AT_A_TIME + 5, dim)).astype(np.float32)
        for place in (0, 1, 2, 63, ranking.ROWS_AT_A_TIME, len(rows) - 1):
            rows[place] = row
            assert ranking.exact_scores(rows, query)[place] == alone
            assert ranking.exact_scores(rows[place:], query)[0] == alone


@pytest.mark.parametrize("by_video", [False, True])
def test_a_shortlist_holds_the_first_k(by_video: bool) -> None:
    noise = np.random.default_rng(1)
    for n, k in ((1, 1), (5, 9), (500, 3), (5000, 10), (5000, 700)):
        scores = noise.integers(0, 50, n).astype(np.float32) / 50
        scores[noise.random(n) < 0.2] = -np.inf
        videos = noise.integers(0, max(1, n // 40), n).astype(np.int32)
        names = [f"{number:05d}" for number in noise.permutation(n)]
        kept = ranking.shortlist(scores, k, 1e-6, videos if by_video else None)
        assert np.isfinite(scores[kept]).all()
        everything = np.flatnonzero(np.isfinite(scores))
        best, best_kept = (
            _first(scores, names, k, videos if by_video else None, positions)
            for positions in (everything, kept)
        )
        assert best_kept == best


def _first(
    scores: np.ndarray, names: list[str], k: int, videos: np.ndarray | None, positions: np.ndarray
) -> list[int]:
    order = ranking.order(
        scores[positions].tolist(),
        [names[at] for at in positions],
        k,
        None if videos is None else videos[positions].tolist(),
    )
    return [int(positions[at]) for at in order]


def test_candidates_are_settled_only_behind_the_margin() -> None:
    assert ranking.settled([0.9, 0.8, 0.7], 2, 0.05)
    assert not ranking.settled([0.9, 0.8, 0.76], 2, 0.05)
    assert not ranking.settled([0.9, 0.8], 2, 0.05)
