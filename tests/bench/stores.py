"""What Qdrant costs beside the local index: filling it, and asking it once or often.

    python -m tests.bench.stores [--points 10000] [--dim 512] [--rounds 5]

Filling: vidrec's store (keys indexed, batches by bytes, an alias turned at the end) and the whole
of `vidrec index --recreate` from a library, against a bare ``upload_points`` of the same points
and payloads with wait=True, in turn, by HTTP against a stand-in in a process of its own. The
stand-in only acknowledges points, so that the clients are compared and not the server, which
would hide their difference.

Asking: fresh processes, in turn; ``once`` is from before the import of the store to the first ten
videos, ``import`` the part of it that is importing, ``cpu`` this process's processor time for it,
``warm`` a later query. Medians. Stores: knn,
qdrant-edge in a folder, and a live server where VIDREC_TEST_QDRANT_URL names one. The stand-in
and qdrant-client's in-memory mode search in Python: they hold few points and show what the
client, the wire and the import cost, not how fast a server is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.bench.search import points, vectors
from vidrec.search.rank import nearest
from vidrec.types import Point

K = 10
FEW = 300  # points of stores that search in Python
WARM = 15
FINGERPRINT = "bench:vectors:0:0123456789"
LIVE_URL = os.environ.get("VIDREC_TEST_QDRANT_URL")


def serve(pipe: Any, sink: bool) -> None:
    """Run the stand-in until the pipe says so."""
    from tests.standin_qdrant import StandinQdrant

    with StandinQdrant(validate=False, sink=sink) as server:
        pipe.send(server.url)
        pipe.recv()


@contextmanager
def standin(sink: bool = False) -> Iterator[str]:
    """A stand-in in a process of its own."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, sink))
    process.start()
    try:
        yield str(ours.recv())
    finally:
        ours.send("stop")
        process.join()


# Filling


def fill_bare(url: str, made: list[Point], dim: int) -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(url=url, check_compatibility=False, timeout=60)
    client.delete_collection("bare")
    size = models.VectorParams(size=dim, distance=models.Distance.COSINE)
    client.create_collection("bare", vectors_config=size)
    client.upload_points(
        "bare",
        (
            models.PointStruct(id=p.id, vector=p.vector.tolist(), payload=p.payload.as_dict())
            for p in made
        ),
        wait=True,
    )
    client.close()


def fill_vidrec(url: str, made: list[Point], dim: int) -> None:
    from tests.store_kinds import server_store

    store = server_store(url, "bench")
    with store.rebuild(FINGERPRINT, dim) as writer:
        assert writer.upsert(iter(made)) == len(made)
    store.close()


def make_library(folder: Path, made: list[Point], dim: int) -> Any:
    """Put the points into a library; return the settings that index it."""
    from vidrec.config import load_settings
    from vidrec.library import Library
    from vidrec.types import Embedding, Fingerprint, Video, VideoInfo

    fingerprint = Fingerprint("bench", "vectors", dim)
    with Library(folder) as library:
        library.register(fingerprint)
        with library.transaction():
            for _, clips in groupby(made, key=lambda point: point.payload.video_id):
                of = list(clips)
                told = of[0].payload
                info = VideoInfo(told.duration_sec or 0.0, 640, 360)
                library.add_video(Video(told.video_id, told.filename, Path(told.path or ""),
                                        label=told.label, info=info))  # fmt: skip
                library.save_embeddings(told.video_id, [
                    Embedding(told.video_id, str(fingerprint), "clip", p.payload.start_sec,
                              p.payload.end_sec, p.vector)
                    for p in of
                ], 10.0)  # fmt: skip
    return load_settings(overrides={
        "library": folder, "embedder.name": "bench", "store.name": "qdrant",
    })  # fmt: skip


def compare_filling(n: int, dim: int, rounds: int) -> None:
    made = list(points(vectors(dim, 0, n), 0))
    with tempfile.TemporaryDirectory() as name:
        _compare_filling(made, make_library(Path(name), made, dim), dim, rounds)


def _compare_filling(made: list[Point], settings: Any, dim: int, rounds: int) -> None:
    from vidrec.ingest.index import index

    def fill_from_library(url: str, made: list[Point], dim: int) -> None:
        settings.qdrant.url = url
        assert index(settings, recreate=True).written == len(made)

    n = len(made)
    sides: dict[str, Callable[..., None]] = {
        "upload_points": fill_bare, "store": fill_vidrec, "index": fill_from_library,
    }  # fmt: skip
    wall: dict[str, list[float]] = {side: [] for side in sides}
    used: dict[str, list[float]] = {side: [] for side in sides}
    with standin(sink=True) as url:
        for turn in range(rounds + 1):
            for side, fill in sides.items():
                started, cpu = time.perf_counter(), time.process_time()
                fill(url, made, dim)
                if turn:
                    wall[side].append(time.perf_counter() - started)
                    used[side].append(time.process_time() - cpu)
    print(f"filling {n} x {dim}, medians of {rounds}")
    for side in sides:
        middle, cpu = statistics.median(wall[side]), statistics.median(used[side])
        print(f"  {side:14} {n / middle:8,.0f} points/s  wall {middle:6.2f} s  cpu {cpu:6.2f} s")
    for side in list(sides)[1:]:
        wallclock, cpu = (
            statistics.median(b / a for a, b in zip(t["upload_points"], t[side], strict=True))
            for t in (wall, used)
        )
        print(f"  {side} / upload_points, each round: wall {wallclock:.2f}, cpu {cpu:.2f}")


# Asking


def open_side(side: str, folder: Path, url: str) -> Any:
    """Open a store as `recommend` does: by its settings."""
    from vidrec.config import load_settings
    from vidrec.stores import open_store

    overrides: dict[str, Any] = {
        "library": folder / "library",
        "embedder.name": "bench",
        "store.name": "knn" if side == "knn" else "qdrant",
        "qdrant.url": None if side in ("knn", "edge") else url,
        "qdrant.path": folder / "edge" if side == "edge" else None,
    }
    key = os.environ.get("VIDREC_TEST_QDRANT_API_KEY")
    if side == "live" and key:
        overrides["qdrant.api_key"] = key
    return open_store(load_settings(overrides=overrides))


ROOMS = {
    "knn": ("vidrec.stores.knn.store",),
    "edge": ("qdrant_edge", "vidrec.stores.qdrant.edge"),
    "standin": ("vidrec.stores.qdrant.server",),
    "live": ("vidrec.stores.qdrant.server",),
}


def ask_in_turn(side: str, folder: Path, url: str, dim: int, turn: int) -> dict[str, float]:
    """One fresh process's figures, in milliseconds."""
    queries = vectors(dim, 10**9 + turn, WARM + 1)
    import_module("vidrec.config")  # every command needs it
    started, cpu = time.perf_counter(), time.process_time()
    for room in ROOMS[side]:
        import_module(room)
    imported = time.perf_counter()
    store = open_side(side, folder, url)
    found = nearest(store, queries[0], K)
    once, used = time.perf_counter(), time.process_time() - cpu
    warm = []
    for query in queries[1:]:
        before = time.perf_counter()
        nearest(store, query, K)
        warm.append(time.perf_counter() - before)
    store.close()
    assert len(found) == K
    return {
        "import": (imported - started) * 1e3,
        "once": (once - started) * 1e3,
        "cpu": used * 1e3,
        "warm": statistics.median(warm) * 1e3,
    }


def fill(store: Any, n: int, dim: int) -> str:
    made = list(points(vectors(dim, 0, n), 0))
    started = time.perf_counter()
    with store.rebuild(FINGERPRINT, dim) as writer:
        writer.upsert(iter(made))
    store.close()
    return f"{n / (time.perf_counter() - started):,.0f} points/s"


def in_memory(dim: int) -> str:
    """What qdrant-client's in-memory mode does in this process."""
    from tests.store_kinds import qdrant_memory

    with qdrant_memory() as make, tempfile.TemporaryDirectory() as name:
        rate = fill(make(Path(name)), FEW, dim)
        store = make(Path(name))
        took = []
        for query in vectors(dim, 10**9, WARM):
            started = time.perf_counter()
            nearest(store, query, K)
            took.append(time.perf_counter() - started)
    return f"  in memory, {FEW} points: filled {rate}, warm {statistics.median(took) * 1e3:.1f}"


def compare_asking(n: int, dim: int, rounds: int) -> None:
    sides = {"knn": "", "edge": "", "standin": ""} | ({"live": LIVE_URL} if LIVE_URL else {})
    with standin() as sides["standin"], tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side, url in sides.items():
            held = FEW if side == "standin" else n
            print(f"{side}: filled with {held}, {fill(open_side(side, folder, url), held, dim)}")
        figures: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for turn in range(rounds + 1):
            for side, url in sides.items():
                command = [sys.executable, "-m", "tests.bench.stores", "--find", side]
                command += ["--folder", name, "--url", url, "--dim", str(dim)]
                out = subprocess.run([*command, "--turn", str(turn)], check=True, text=True,
                                     stdout=subprocess.PIPE).stdout  # fmt: skip
                if turn:
                    figures[side].append(json.loads(out))
        print(f"asking {n} x {dim}, ten videos, medians of {rounds} fresh processes, ms")
        for side, rows in figures.items():
            middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            print("  " + f"{side:10}" + "".join(f"{k} {v:9.1f}  " for k, v in middle.items()))
        print(in_memory(dim))
        if LIVE_URL:
            from tests.store_kinds import drop

            drop(open_side("live", folder, LIVE_URL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--filling", action="store_true", help="Leave out asking.")
    parser.add_argument("--find", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.find:
        print(json.dumps(ask_in_turn(given.find, given.folder, given.url, given.dim, given.turn)))
        return
    compare_filling(given.points, given.dim, given.rounds)
    if not given.filling:
        compare_asking(given.points, given.dim, given.rounds)


if __name__ == "__main__":
    main()
