"""How fast the local store answers, against faiss, usearch and numpy on the same vectors.

    python -m tests.bench.search [--points 10000 100000 1000000] [--dim 512] [--rounds 5]

Every side searches the same matrix exactly, in fresh processes, in turn, round by round; the
table gives medians. ``open+first`` is from before its import to the first ten matches, numpy
being imported already; ``warm`` is a later query, ``batch`` fifty queries (in one call where the
library has one), ``anon`` the memory that the kernel cannot
drop, ``peak`` that and the mapped files. Only the store returns payloads and groups by video. At
the end 100 points are added to the index, time and again.
faiss and usearch come with ``pip install 'vidrec[bench]'``; without them their rows are missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vidrec.search.rank import nearest, nearest_of_each
from vidrec.types import Payload, Point

K = 10
WARM = 15
BATCH = 50
CLIPS = 10  # a video
ADDED, TIMES = 100, 20

Search = Callable[[np.ndarray], Any]


def vectors(dim: int, start: int, count: int) -> np.ndarray:
    """Rows ``start`` … of the one random matrix of unit rows."""
    rows = np.random.default_rng([dim, start]).standard_normal((count, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def points(matrix: np.ndarray, start: int) -> Iterator[Point]:
    for number, row in enumerate(matrix, start):
        video, clip = divmod(number, CLIPS)
        payload = Payload(
            f"{video:064x}", f"{video}.mp4", "clip", clip * 10.0, clip * 10.0 + 10,
            path=f"/home/someone/Videos/{video}.mp4", label=f"label {video % 20}",
            duration_sec=100.0,
        )  # fmt: skip
        yield Point(
            str(uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128)), row, payload
        )


def build(folder: Path, n: int, dim: int) -> None:
    """Write the matrix, the store's index and, where installed, faiss' index."""
    from vidrec.stores.knn.store import KnnStore

    step = 50_000
    with (folder / "raw.f32").open("wb") as file:
        for start in range(0, n, step):
            file.write(vectors(dim, start, min(step, n - start)).data)
    matrix = mapped(folder, n, dim)

    def everything() -> Iterator[Point]:
        for start in range(0, n, step):
            yield from points(matrix[start : start + step], start)

    started = time.perf_counter()
    made = sum(1 for _ in everything())
    making = time.perf_counter() - started
    store = KnnStore(folder / "knn", "bench")
    started = time.perf_counter()
    with store.rebuild("bench:vectors", dim) as writer:
        assert writer.upsert(everything()) == made == n
    taken = time.perf_counter() - started
    print(
        f"{n} x {dim}: built in {taken:.2f} s, {n / taken:,.0f} points/s "
        f"({making:.2f} s of it is making the points: {n / (taken - making):,.0f} points/s without)"
    )
    if importlib.util.find_spec("faiss"):
        import faiss

        index = faiss.IndexFlatIP(dim)
        index.add(matrix)
        faiss.write_index(index, str(folder / "faiss.index"))


def mapped(folder: Path, n: int, dim: int) -> np.ndarray:
    return np.memmap(folder / "raw.f32", dtype="<f4", mode="r", shape=(n, dim))


def open_vidrec(folder: Path, n: int, dim: int) -> tuple[Search, Search]:
    from vidrec.stores.knn.store import KnnStore

    store = KnnStore(folder / "knn", "bench")

    def one(query: np.ndarray) -> list[int]:
        return [int(m.payload.video_id, 16) for m in nearest(store, query, K)]

    return one, lambda queries: nearest_of_each(store, queries, K)


def open_clips(folder: Path, n: int, dim: int) -> tuple[Search, Search]:
    from vidrec.stores.knn.store import KnnStore

    store = KnnStore(folder / "knn", "bench")

    def one(query: np.ndarray) -> list[int]:
        return [int(m.payload.start_sec) for m in nearest(store, query, K, by_video=False)]

    return one, lambda queries: nearest_of_each(store, queries, K, by_video=False)


def open_numpy(folder: Path, n: int, dim: int) -> tuple[Search, Search]:
    matrix = mapped(folder, n, dim)

    def best(scores: np.ndarray) -> np.ndarray:
        top = np.argpartition(scores, n - K)[n - K :]
        return top[np.argsort(-scores[top])]

    def many(queries: np.ndarray) -> list[np.ndarray]:
        return [best(scores) for scores in (matrix @ queries.T).T]

    return lambda query: best(matrix @ query), many


def open_faiss(folder: Path, n: int, dim: int) -> tuple[Search, Search]:
    import faiss

    index = faiss.read_index(str(folder / "faiss.index"))
    return lambda query: index.search(query[None], K)[1][0], lambda many: index.search(many, K)[1]


def open_usearch(folder: Path, n: int, dim: int) -> tuple[Search, Search]:
    from usearch.index import MetricKind, search

    matrix = mapped(folder, n, dim)

    def many(queries: np.ndarray) -> Any:
        return search(matrix, queries, K, MetricKind.IP, exact=True, threads=os.cpu_count() or 1)

    return many, many


SIDES = {
    "numpy": open_numpy,
    "vidrec": open_vidrec,
    "vidrec --clips": open_clips,
    "faiss flat": open_faiss,
    "usearch exact": open_usearch,
}
NEEDS = {"faiss flat": "faiss", "usearch exact": "usearch"}


def measure(side: str, folder: Path, n: int, dim: int, turn: int) -> dict[str, float]:
    """One fresh process's figures, in milliseconds and MiB."""
    queries = vectors(dim, 10**9 + turn, WARM + BATCH + 1)
    started = time.perf_counter()
    one, many = SIDES[side](folder, n, dim)
    one(queries[0])
    first = time.perf_counter() - started
    warm = []
    for query in queries[1 : WARM + 1]:
        started = time.perf_counter()
        one(query)
        warm.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    anon = next((int(line.split()[1]) / 1024 for line in lines if "RssAnon" in line), 0.0)
    started = time.perf_counter()
    many(queries[WARM + 1 :])
    batch = time.perf_counter() - started
    return {
        "open+first": first * 1e3,
        "warm": statistics.median(warm) * 1e3,
        "batch": batch * 1e3,
        "anon": anon,
        "peak": peak,
    }


def add(folder: Path, n: int, dim: int) -> None:
    """Add points to the index, a hundred at a time; now and then small segments are merged."""
    from vidrec.stores.knn.store import KnnStore

    store = KnnStore(folder / "knn", "bench")
    taken = []
    for start in range(n, n + ADDED * TIMES, ADDED):
        made = list(points(vectors(dim, start, ADDED), start))
        started = time.perf_counter()
        assert store.upsert(made) == ADDED
        taken.append(time.perf_counter() - started)
    print(
        f"{n} x {dim}: adding {ADDED} points takes {statistics.median(taken) * 1e3:.0f} ms, "
        f"{max(taken) * 1e3:.0f} at most of {TIMES} times"
    )


def compare(folder: Path, n: int, dim: int, rounds: int) -> None:
    """Run all sides in turn and print their table."""
    sides = [s for s in SIDES if s not in NEEDS or importlib.util.find_spec(NEEDS[s])]
    for side in set(SIDES) - set(sides):
        print(f"{side}: not installed")
    figures: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        for side in sides:
            output = run("measure", folder, n, dim, "--side", side, "--turn", str(turn))
            if turn:  # the first round only warms the page cache
                figures[side].append(json.loads(output))
    middle = {
        side: {name: statistics.median(one[name] for one in some) for name in some[0]}
        for side, some in figures.items()
    }
    print(f"{n} x {dim}, medians of {rounds} rounds; ratios to numpy")
    print(
        f"{'':15} {'open+first ms':>20} {'warm ms':>18} {f'batch of {BATCH} ms':>20} "
        f"{'anon MiB':>9} {'peak MiB':>9}"
    )
    for side, row in middle.items():
        cells = [
            f"{row[name]:10.1f} ({row[name] / middle['numpy'][name]:5.2f})"
            for name in ("open+first", "warm", "batch")
        ]
        print(
            f"{side:15} {cells[0]:>20} {cells[1]:>18} {cells[2]:>20} "
            f"{row['anon']:9.0f} {row['peak']:9.0f}"
        )


def run(role: str, folder: Path, n: int, dim: int, *more: str) -> str:
    command = [sys.executable, "-m", "tests.bench.search", "--role", role]
    command += ["--folder", str(folder), "--points", str(n), "--dim", str(dim), *more]
    # What is installed has its bytecode beside it: let the first, unmeasured round write it.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="Where to build (default: a temporary one).")
    parser.add_argument("--role", choices=["build", "measure", "add"], help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    n, dim = options.points[0], options.dim
    if options.role == "build":
        build(options.folder, n, dim)
    elif options.role == "add":
        add(options.folder, n, dim)
    elif options.role == "measure":
        print(json.dumps(measure(options.side, options.folder, n, dim, options.turn)))
    else:
        for n in options.points:
            with tempfile.TemporaryDirectory(dir=options.folder) as name:
                print(run("build", Path(name), n, dim), end="")
                compare(Path(name), n, dim, options.rounds)
                print(run("add", Path(name), n, dim), end="")


if __name__ == "__main__":
    main()
