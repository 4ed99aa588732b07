"""`embed --engine ray`: the same library as on one machine, whoever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import marked_embedder
from tests.clips import plain, write_clip
from tests.marked_embedder import eight_films, holders, let_go, mark, rows
from tests.word_embedder import install
from vidrec.config import load_settings
from vidrec.errors import EmbedderError
from vidrec.ingest.embed import EmbedOptions, EmbedReport, embed
from vidrec.ingest.engines.cluster import Order, meant, on_ray

ray = pytest.importorskip("ray", reason="needs vidrec[ray]")
ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("ray")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, prepared_models: Path) -> Iterator[Any]:
    """Two nodes of one processor each, on which the third party's embedder is installed."""
    from ray.cluster_utils import Cluster

    site = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        install(site, patch, "marked", "tests.marked_embedder:MarkedEmbedder")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(site)]))
        patch.setenv("VIDREC_CACHE", str(prepared_models))
        # Ray gives workers what other processes leave, and starts them again when they are late.
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_worker_register_timeout_seconds", "240")
        made = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        made.add_node(num_cpus=1)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return eight_films(tmp_path / "films")


def run(folder: Path, library: Path, engine: str, cluster: Any, name: str = "marked",
        **options: Any) -> EmbedReport:  # fmt: skip
    settings = load_settings(
        overrides={"embedder.name": name, "library": library, "embedder.workers": 2}
    )
    options = {"engine": engine, "address": cluster.address, **options}
    return embed(settings, [folder], EmbedOptions(**options))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait, however slow the machine is; only what can never come is given up."""
    until = time.monotonic() + 480
    while not condition():
        assert time.monotonic() < until and (process is None or process.poll() is None)
        time.sleep(0.05)


def test_a_cluster_makes_the_same_library(films: Path, tmp_path: Path, cluster: Any) -> None:
    for number, colour in enumerate(("blue", "white")):
        write_clip(tmp_path / "seen" / f"{number}.mp4", plain(colour), seconds=1)
    (tmp_path / "seen" / "text.mp4").write_text("no video")
    for name, folder in (("marked", films), ("conse", tmp_path / "seen")):
        for engine in ("local", "ray"):
            report = run(folder, tmp_path / name / engine, engine, cluster, name)
            assert report.videos == (8 if name == "marked" else 2)
        assert rows(tmp_path / name / "ray") == rows(tmp_path / name / "local")
        again = run(folder, tmp_path / name / "ray", "ray", cluster, name)
        assert (again.videos, again.skipped) == (0, report.videos)


def test_a_file_that_kills_its_workers_is_a_failure_of_its_own(
    films: Path, tmp_path: Path, cluster: Any
) -> None:
    mark(films, "bad.mp4", marked_embedder.POISON)
    mark(films, "broken.mp4", marked_embedder.BROKEN)
    (films / "copy.mp4").write_bytes((films / "1.mp4").read_bytes())
    report = run(films, tmp_path / "a", "ray", cluster)
    assert (report.videos, report.failed, report.skipped) == (8, 2, 1)
    failures = {Path(source).name: rest for source, *rest in rows(tmp_path / "a")[0]}
    assert failures["broken.mp4"] == ["broken", True, "MediaError"]
    assert failures["bad.mp4"] == [
        "3 workers died of it, one after another", False, "TransientError"
    ]  # fmt: skip


def test_a_machine_that_dies_costs_only_what_it_held(
    films: Path, tmp_path: Path, cluster: Any
) -> None:
    for number in range(8):
        mark(films, f"{number}s.mp4", marked_embedder.HELD)
    cluster.add_node(num_cpus=1)  # of three nodes, of which two work, one is the head
    nodes = {node.all_processes["raylet"][0].process.pid: node for node in cluster.worker_nodes}

    def lose() -> None:
        try:
            wait_for(lambda: len(holders(films)) == 2)
            held = next(nodes[number] for number in holders(films) if number in nodes)
            cluster.remove_node(held, allow_graceful=False)
        finally:
            let_go(films)

    with ThreadPoolExecutor() as pool:
        lost = pool.submit(lose)
        report = run(films, tmp_path / "a", "ray", cluster)
        lost.result()
    assert (report.videos, report.failed) == (16, 0)


def test_a_worker_that_does_not_fit_is_refused(
    films: Path, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(load_settings(), "marked:one:4:x", version="0.0")
    with pytest.raises(EmbedderError, match=r"has vidrec .*, this is 0\.0: install the same"):
        list(on_ray(iter(()), order, frozenset(), address=cluster.address))
    monkeypatch.setenv("VIDREC_TEST_MARKED", "two")  # another checkpoint, on this machine only
    with pytest.raises(EmbedderError, match="makes other vectors than marked:two"):
        run(films, tmp_path / "a", "ray", cluster)
    with pytest.raises(EmbedderError, match="no Ray cluster"):
        list(on_ray(iter(()), order, frozenset(), address="127.0.0.1:1"))


def test_a_cluster_that_was_killed_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "ray" / "ray_current_cluster"  # where Ray keeps what was started last
    note.parent.mkdir()
    note.write_text("127.0.0.1:1\n")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert (meant(None), meant("auto"), meant("head:6379")) == ("local", "127.0.0.1:1", "head:6379")
    order = Order(load_settings(), "marked:one:4:x")
    with pytest.raises(EmbedderError, match=r"no Ray cluster 127\.0\.0\.1:1"):
        list(on_ray(iter(()), order, frozenset(), address="auto"))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    assert (meant(None), meant("head:6379")) == ("127.0.0.1:2", "head:6379")
    with pytest.raises(EmbedderError, match=r"no Ray cluster 127\.0\.0\.1:2"):
        list(on_ray(iter(()), order, frozenset()))


def test_a_worker_that_lacks_a_package_says_which() -> None:
    """What an actor says of an environment in which a package is not installed."""
    program = """
import sys
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.ingest.engines.cluster import Actor, Order
order = Order(load_settings(), str(load_embedder(load_settings()).fingerprint))
sys.modules["onnxruntime"] = None
print(Actor(order, frozenset()).ready())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot begin: ") and "onnxruntime" in done.stdout
    assert "\n" not in done.stdout.strip()


def test_a_driver_that_is_killed_loses_only_what_was_in_work(
    films: Path, tmp_path: Path, cluster: Any
) -> None:
    for number in range(8):
        mark(films, f"{number}s.mp4", marked_embedder.HELD)
    command = [sys.executable, "-m", "vidrec", "embed", str(films), "-e", "marked", "--no-index",
               "--engine", "ray", "--address", cluster.address, "--workers", "2"]  # fmt: skip
    library = load_settings().library

    def done() -> int:
        return len(rows(library)[2]) // 2 if library.exists() else 0

    for number in (signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_for(lambda: len(holders(films)) == 2 and done() == 2, process)  # both in work
        process.send_signal(number)
        assert process.wait(timeout=60) == (-9 if number == signal.SIGKILL else 130)
        assert done() == 2
        for sign in films.glob("*.held"):
            sign.unlink()
    let_go(films)
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(finished.stdout.splitlines()[-1])
    assert (summary["videos"], summary["skipped"]) == (14, 2)
    assert len(rows(library)[2]) == 2 * 16
