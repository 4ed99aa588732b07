"""A collection that is built anew in Qdrant, and is killed meanwhile: nobody sees half of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from qdrant_client import models

from tests import word_embedder
from tests.standin_qdrant import Fault, StandinQdrant
from tests.store_kinds import make, server_store
from tests.test_qdrant import DIM, fill_library, filled, server, some
from tests.test_stores import FINGERPRINT
from vidrec.types import Point

__all__ = ["server"]

REPOSITORY = Path(__file__).parents[1]


def test_a_rebuild_is_swapped_in_by_one_request(server: StandinQdrant) -> None:
    old = filled(server)
    store = server_store(server.url)
    with store.rebuild("new:m:8:1", DIM) as writer:
        writer.upsert(some(12, seed=9))
        assert store.count() == len(old)
    assert server.paths.count("POST /collections/aliases") == 2  # once for each build
    assert store.count() == 12
    assert [c.name for c in server.engine.get_collections().collections] == ["vidrec-test.2"]
    info = store.info()
    assert info is not None and info.name == "vidrec-test.2"


class Killed(BaseException):
    """Ends a rebuild as a kill would: nothing is tidied up."""


def begin_rebuild(server: StandinQdrant, wanted: list[Point], fingerprint: str) -> None:
    store = server_store(server.url)
    with pytest.raises(Killed), store.rebuild(fingerprint, DIM) as writer:
        writer.upsert(wanted)
        raise Killed


def test_a_killed_rebuild_is_taken_up_again(server: StandinQdrant) -> None:
    filled(server)
    wanted = some(600, seed=4)
    begin_rebuild(server, wanted[:400], "new:m:8:1")
    renamed = replace(wanted[0], payload=replace(wanted[0].payload, filename="renamed.mp4"))
    now = [renamed, *wanted[1:300], *wanted[350:]]
    with server.counting() as made, server_store(server.url).rebuild("new:m:8:1", DIM) as writer:
        assert writer.upsert(now) == len(now)
    store = server_store(server.url)
    assert sorted(store.ids()) == sorted(point.id for point in now)
    assert {p.id: p.payload for p in store.get([p.id for p in now])} == {
        p.id: p.payload for p in now
    }
    assert made.count("PUT /collections/vidrec-test.2/points") == 3  # of 256, none in the middle
    assert not any(path.startswith("PUT /collections/vidrec-test.3") for path in made)


def test_leftovers_that_do_not_fit_are_removed_and_nothing_else(server: StandinQdrant) -> None:
    filled(server)
    begin_rebuild(server, some(10), "other:m:8:1")
    size = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    for foreign in ("vidrec-test.7", "vidrec-test.new", "vidrec"):
        server.engine.create_collection(foreign, vectors_config=size)
    neighbour = server_store(server.url, "test-2")
    make(neighbour, FINGERPRINT, DIM)
    with server_store(server.url).rebuild("new:m:8:1", DIM) as writer:
        writer.upsert(some(12))
    names = {c.name for c in server.engine.get_collections().collections}
    assert {"vidrec-test.7", "vidrec-test.new", "vidrec", "vidrec-test-2.1"} < names
    assert len(names) == 5
    assert neighbour.info() is not None


# Kills


def ingest_and_kill(
    server: StandinQdrant, library: Path, packages: Path, requests: int, pause: float = 0.0
) -> int:
    """Run `vidrec index --recreate` in a process of its own; return its exit code.

    It is killed ``pause`` seconds after its so many-th request, if it makes so many.
    """
    environment = {
        **os.environ, "PYTHONPATH": f"{packages}{os.pathsep}{REPOSITORY}",
        "VIDREC_QDRANT_URL": server.url, "VIDREC_LIBRARY": str(library),
    }  # fmt: skip
    command = ["-m", "vidrec", "index", "--recreate", "--store", "qdrant", "-e", "words"]
    silent = subprocess.DEVNULL
    last = len(server.log) + requests
    with subprocess.Popen(
        [sys.executable, *command], env=environment, stderr=silent, stdout=silent
    ) as process:
        while process.poll() is None and len(server.log) < last:
            time.sleep(0.001)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        return process.wait()


class Watch(threading.Thread):
    """Asks the served alias over and over, and notes every state it was seen in."""

    def __init__(self, server: StandinQdrant) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.states: set[tuple[int, frozenset[str]]] = set()
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.1):
            with self.server.mutex:
                if not self.server.engine.collection_exists("vidrec-words"):
                    if self.states:  # it was served before
                        self.states.add((0, frozenset()))
                    continue
                found = self.server.engine.scroll("vidrec-words", limit=100_000)[0]
            builds = frozenset(str((point.payload or {}).get("fingerprint")) for point in found)
            self.states.add((len(found), builds))


def kill_ingests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int) -> None:
    word_embedder.install(tmp_path, monkeypatch)
    library = tmp_path / "library"
    videos = 700
    fill_library(library, videos)
    rng = random.Random(kills)
    fingerprint = str(word_embedder.WordEmbedder().fingerprint)
    with StandinQdrant(validate=False) as server:
        watch = Watch(server)
        watch.start()
        assert ingest_and_kill(server, library, tmp_path, requests=10**6) == 0
        whole = len(server.log)  # requests of an ingest that nobody disturbs
        killed = finished = 0
        while killed < kills:
            if rng.random() < 0.3:
                server.faults = [Fault("drop", "PUT .*/points$", times=2, after=rng.random() < 0.5)]
            requests, pause = rng.randint(1, whole + 3), rng.choice([0.0, 0.0, rng.random() / 50])
            code = ingest_and_kill(server, library, tmp_path, requests, pause)
            killed += code == -signal.SIGKILL
            finished += code == 0
            if server.engine.collection_exists("vidrec-words") and rng.random() < 0.3:
                fill_library(library, 3, start=videos)
                videos += 3
        assert ingest_and_kill(server, library, tmp_path, requests=10**6) == 0
        watch.stop.set()
        watch.join()
        assert server.points_in("vidrec-words") == 3 * videos
        assert len(server.engine.get_collections().collections) == 1
        counts = {count for count, _ in watch.states}
        assert counts <= {3 * n for n in range(700, videos + 1, 3)}  # never empty, never partial
        assert {builds for _, builds in watch.states} == {frozenset([fingerprint])}
        print(f"{killed} killed, {finished} finished between, states seen: {sorted(counts)}")


@pytest.mark.timeout(900)
def test_killed_ingests_leave_the_alias_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_ingests(tmp_path, monkeypatch, kills=2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif("VIDREC_TEST_SLOW" not in os.environ, reason="VIDREC_TEST_SLOW is not set")
def test_fifty_killed_ingests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_ingests(tmp_path, monkeypatch, kills=50)
