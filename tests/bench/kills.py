"""kill -9 at chosen writes of every command that writes, while another process asks.

    python -m tests.bench.kills [--kills 1000] [--minutes 30] [--seed 0]

A small library is made, and each command is run once to count its writes: every call that changes
a file (write, sync, truncate, rename, unlink, mkdir), SQLite's and Qdrant's own among them. Then,
again and again: a copy of the library, a process that keeps asking it, and the command, which ends
by SIGKILL before, in the middle of or after one of its writes. Wrong is: a finding of `vidrec
doctor --deep`, something lost that was finished before, a video half committed, an answer that is
an error or names what it must not, the same command failing when it is run again, or another state
after that than where nothing was killed. A folder of Qdrant's engine is one process's at a time, so
nobody asks it meanwhile. Needs Linux and a C compiler.
"""

from __future__ import annotations

import argparse
import atexit
import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.marked_embedder import MarkedEmbedder, eight_films, mark, rows
from vidrec.config import Settings, load_settings
from vidrec.library import Library
from vidrec.types import Fingerprint

HOW = ("before", "in the middle of", "after")
PATIENCE_SEC = 120
FILMS = 8


class BytesEmbedder(MarkedEmbedder):
    """Texts, too: so that the reader may ask with words."""

    name = "bytes"
    modalities = frozenset({"video", "text"})

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("bytes", "one", 4)

    def _encode_texts(self, texts: Sequence[str]) -> Any:
        import numpy as np

        return np.array([[len(text), 1.0, 2.0, 3.0] for text in texts])


@dataclass(frozen=True)
class Command:
    """A command that writes; ``{}`` in its words stands for the folder of this try."""

    words: tuple[str, ...]
    keeps: bool = True  # all that was embedded before stays as it is
    store: str = "knn"

    def line(self, folder: Path) -> list[str]:
        return [word.replace("{}", str(folder)) for word in self.words]


COMMANDS = {
    "embed": Command(("embed", "{}/new", "--no-index")),
    "embed and index": Command(("embed", "{}/new")),
    "embed --force": Command(("embed", "--force", "{}/films", "--no-index")),
    "index": Command(("index",)),
    "index --recreate": Command(("index", "--recreate")),
    "index to Qdrant": Command(("index",), store="qdrant"),
    "remove": Command(("remove", "{}/films/3.mp4", "--yes"), keeps=False),
    "tag": Command(("tag", "{}/films/3.mp4", "year=1999")),
    "label": Command(("label", "{}/films/3.mp4", "--label", "cats")),
    "export": Command(("export", "{}/vectors.jsonl")),
    "import": Command(("import", "{}/other.jsonl")),
    "import --library": Command(("import", "--library", "{}/other")),
    "recommend": Command(("recommend", "never asked before")),
}


@dataclass
class Bench:
    """The folder as it is before each try, and what is known of the commands."""

    folder: Path
    switch: Any
    tally: Counter[str] = field(default_factory=Counter)
    wrong: int = 0

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def fresh(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.base, self.work, symlinks=True)


def settings_in(folder: Path, store: str) -> Settings:
    return load_settings(
        overrides={
            "library": folder / "library", "embedder.name": "bytes", "store.name": store,
            "qdrant.path": folder / "edge",
        }
    )  # fmt: skip


def run(bench: Bench, command: Command, at: int = 0, how: int = 0) -> tuple[int, int, str]:
    """Run a command in a fork; return how it ended, its number of writes, and what it said.

    It ends at write number ``at``; 0: never. How: an exit code, or the negative number of a signal.
    """
    out, counted = bench.folder / "out", bench.folder / "counted"
    child = os.fork()
    if not child:
        _become(bench, command, at, how)
    code = wait(child)
    number = int(counted.read_text()) if code >= 0 else at
    return code, number, out.read_text(errors="replace")


def _become(bench: Bench, command: Command, at: int, how: int) -> None:
    code = 70
    atexit._clear()  # `main` does what is left for the exit: none of this process's
    try:
        with (bench.folder / "out").open("wb") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        _use(bench.work, command.store)
        sys.argv = ["vidrec", *command.line(bench.work)]
        bench.switch.arm(at, how, str(bench.work).encode())
        from vidrec.cli import main  # not __main__, which leaves no time to count

        main()
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        (bench.folder / "counted").write_text(str(bench.switch.made()))
        os._exit(code)


def _use(folder: Path, store: str) -> None:
    os.environ.update(
        VIDREC_LIBRARY=str(folder / "library"), VIDREC_EMBEDDER_NAME="bytes",
        VIDREC_STORE_NAME=store, VIDREC_QDRANT_PATH=str(folder / "edge"),
        VIDREC_CACHE=str(folder / "cache"),
    )  # fmt: skip


def wait(child: int) -> int:
    """Return how a child ended."""
    began = time.monotonic()
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - began > PATIENCE_SEC:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


# The reader


class Reader:
    """A process that asks the library until it is told to stop: by one session, and by new ones."""

    def __init__(self, bench: Bench, command: Command) -> None:
        self._said, self._stop = bench.folder / "said", bench.folder / "stop"
        self._stop.unlink(missing_ok=True)
        self._child = os.fork()
        if not self._child:
            self._become(bench, command)

    def _become(self, bench: Bench, command: Command) -> None:
        try:
            _use(bench.work, command.store)
            problem, asked = self._ask(settings_in(bench.work, command.store))
        except BaseException as exc:
            problem, asked = f"{type(exc).__name__}: {exc}", 0
        self._said.write_text(json.dumps([problem, asked]))
        os._exit(0)

    def _ask(self, settings: Settings) -> tuple[str, int]:
        from vidrec.search.query import Part, Query
        from vidrec.search.session import Session

        asked = 0
        with Session(settings) as lasting:
            while not self._stop.exists():
                query = Query((Part("text", "x" * (asked % 40 + 1), 1.0),), k=20)
                with Session(settings) as new:
                    for session in (lasting, new):
                        answer = session.recommend(query)
                        names = [row.video_id for row in answer.results]
                        if len(set(names)) != len(names) or not FILMS - 1 <= len(names) <= 20:
                            return f"an answer of {len(names)} videos: {names}", asked
                        if not all(-1.001 <= row.score <= 1.001 for row in answer.results):
                            return "a score is no cosine", asked
                        asked += 1
                time.sleep(0.05)
        return "", asked

    def stop(self) -> tuple[str, int]:
        """Return what was wrong, and how often was asked."""
        self._stop.touch()
        wait(self._child)
        problem, asked = json.loads(self._said.read_text())
        return problem, asked


# What must hold


def state(folder: Path, store: str) -> Any:
    """All that a try leaves, but for when it was written."""
    from vidrec.stores import open_store

    library = folder / "library"
    with Library(library, create=False) as opened:
        fields = opened.read("SELECT * FROM fields ORDER BY 1, 2")
        owner = opened.id
    opened_store = open_store(settings_in(folder, store))
    opened_store.owner = owner
    try:
        points = opened_store.get(sorted(opened_store.ids()))
    finally:
        opened_store.close()
    exported = folder / "vectors.jsonl"
    kept = [(point.id, point.vector.tobytes(), point.payload.as_dict()) for point in points]
    return [rows(library), fields, kept, exported.read_bytes() if exported.exists() else b""]


def embedded(folder: Path) -> dict[Any, bytes]:
    with Library(folder / "library", create=False) as library:
        found = library.read("SELECT video_id, scope, start_sec, vector FROM embeddings")
        counts = Counter(row[0] for row in found)
        assert set(counts.values()) <= {2}, f"videos half committed: {counts}"
        return {row[:3]: row[3] for row in found}


def damage(folder: Path, store: str) -> list[str]:
    from vidrec.care.deep import deep
    from vidrec.progress import Silent

    checks = deep(settings_in(folder, store), Silent())
    return [f"{check.name}: {check.detail}" for check in checks if check.state == "failure"]


def drafts(folder: Path) -> int:
    """How many hidden drafts of files lie about that a killed process had begun."""
    return sum(1 for _ in folder.rglob("*partial*"))


def in_a_child(what: Callable[[], Any], bench: Bench) -> Any:
    """Do something in a fork, so that no open file or map of a try lives on; return its JSON."""
    answer = bench.folder / "answer"
    child = os.fork()
    if not child:
        try:
            answer.write_text(json.dumps({"is": what()}, default=repr))
        except BaseException as exc:
            answer.write_text(json.dumps({"error": f"{type(exc).__name__}: {exc}"}))
        os._exit(0)
    wait(child)
    return json.loads(answer.read_text())


def after_kill(bench: Bench, command: Command, before: dict[Any, bytes]) -> list[str]:
    """What is wrong with what a killed command left."""
    problems = damage(bench.work, command.store)
    now = embedded(bench.work)
    if command.keeps and not before.keys() <= now.keys():
        problems.append("something finished was lost")
    return problems


def one_kill(bench: Bench, name: str, at: int, how: int, expected: Any) -> list[str]:
    """Kill a command once; return what was wrong."""
    command = COMMANDS[name]
    bench.fresh()
    before = embedded(bench.base)
    reader = Reader(bench, command) if command.store == "knn" else None
    code, _, said = run(bench, command, at, how)
    if code != -signal.SIGKILL:
        problem, _ = reader.stop() if reader else ("", 0)
        # Who reads meanwhile takes over what closing a catalog writes: earlier, then.
        return (
            one_kill(bench, name, at // 2, how, expected)
            if not code and at > 1
            else [f"ended by {code} where it was to be killed: {said[-300:]} {problem}"]
        )
    left = in_a_child(lambda: after_kill(bench, command, before), bench)
    problems = left.get("is", [left.get("error")])
    code, _, said = run(bench, command)
    if code:
        problems.append(f"run again it ends by {code}: {said[-300:]}")
    problem, asked = reader.stop() if reader else ("", 0)
    bench.tally["asked"] += asked
    if problem:
        problems.append(f"the reader: {problem}")
    now = in_a_child(lambda: [damage(bench.work, command.store), drafts(bench.work)], bench)
    found, partial = now.get("is", ([now.get("error")], 0))
    problems += found
    bench.tally["drafts left"] += partial
    if in_a_child(lambda: state(bench.work, command.store), bench) != expected:
        problems.append("run again it comes to another state")
    return problems


# Making it


def make(bench: Bench) -> None:
    """Embed and index the base library; have new files, a second library and a file to import."""
    eight_films(bench.base / "films")
    (bench.base / "new").mkdir()
    for number in range(FILMS):
        mark(bench.base / "films", f"new{number}.mp4", b"")
        (bench.base / "films" / f"new{number}.mp4").rename(bench.base / "new" / f"{number}.mp4")
    bench.fresh()
    for store in ("knn", "qdrant"):
        done = run(bench, Command(("embed", "{}/films", "--no-index"), store=store))
        assert done[0] == 0, done
        done = run(bench, Command(("index",), store=store))
        assert done[0] == 0, done
    other = Command(("embed", "{}/new", "--library", "{}/other", "--no-index"))
    for command in (other, Command(("export", "{}/other.jsonl", "--library", "{}/other"))):
        done = run(bench, command)
        assert done[0] == 0, done
    # A video more in the catalog than in the indexes, so that `index` has something to do.
    done = run(bench, Command(("embed", "{}/new/0.mp4", "--no-index")))
    assert done[0] == 0, done
    shutil.rmtree(bench.base)
    bench.work.rename(bench.base)


def kill_all(bench: Bench, kills: int, minutes: float, seed: int) -> list[str]:
    """Kill each command in turn; return the rows of the table."""
    chance, until = random.Random(seed), time.monotonic() + 60 * minutes
    facts: dict[str, tuple[int, Any]] = {}
    for name, command in COMMANDS.items():
        bench.fresh()
        code, writes, said = run(bench, command)
        assert code == 0, (name, code, said)
        facts[name] = writes, in_a_child(lambda c=command: state(bench.work, c.store), bench)
    done: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for number in range(kills):
        if time.monotonic() > until:
            break
        name = list(COMMANDS)[number % len(COMMANDS)]
        writes, expected = facts[name]
        at, how = chance.randint(1, writes), chance.randrange(3)
        problems = one_kill(bench, name, at, how, expected)
        done[name] += 1
        if problems:
            wrong[name] += 1
            print(f"WRONG {name}, {HOW[how]} write {at} of {writes}: {problems}", flush=True)
        if number % 50 == 49:
            print(f"{number + 1} kills, {wrong.total()} wrong, {dict(bench.tally)}", flush=True)
    bench.wrong = wrong.total()
    return [f"| {name} | {facts[name][0]} | {done[name]} | {wrong[name]} |" for name in COMMANDS]


def import_all() -> None:
    """Import here what every fork would."""
    import qdrant_edge  # noqa: F401

    import vidrec.care.deep
    import vidrec.cli
    import vidrec.exchange.merge
    import vidrec.ingest.embed
    import vidrec.search.session
    import vidrec.stores.knn.changes
    import vidrec.stores.knn.store
    import vidrec.stores.qdrant.edge  # noqa: F401
    from vidrec.media.source import load_decoder

    load_decoder()


def preloaded(folder: Path) -> Path:
    """Return the compiled switch."""
    made = folder / "kill_switch.so"
    source = Path(__file__).with_name("kill_switch.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return made


def install(folder: Path) -> None:
    info = folder / "bytes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bytes\nVersion: 1.0\n")
    entry = "[vidrec.embedders]\nbytes = tests.bench.kills:BytesEmbedder"
    (info / "entry_points.txt").write_text(entry)
    sys.path.insert(0, str(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if "LD_PRELOAD" not in os.environ:  # once more, with the switch in place
        with tempfile.TemporaryDirectory() as made:
            switch = preloaded(Path(made))
            environment = {**os.environ, "LD_PRELOAD": str(switch), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-m", "tests.bench.kills", *sys.argv[1:]]
            raise SystemExit(subprocess.run(command, env=environment).returncode)
    switch = ctypes.CDLL(os.environ["LD_PRELOAD"])
    switch.made.restype = ctypes.c_long
    switch.arm.argtypes = ctypes.c_long, ctypes.c_int, ctypes.c_char_p
    with tempfile.TemporaryDirectory() as made:
        install(Path(made))
        import_all()
        bench = Bench(Path(made).resolve(), switch)
        (bench.folder / "base").mkdir()
        make(bench)
        table = kill_all(bench, options.kills, options.minutes, options.seed)
    print("| command | writes | kills | wrong |\n|---|--:|--:|--:|")
    print("\n".join(table))
    print(f"{dict(bench.tally)}")
    raise SystemExit(bench.wrong > 0)


if __name__ == "__main__":
    main()
