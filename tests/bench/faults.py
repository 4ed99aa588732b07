"""Thousands of damaged videos and pictures through the command line: none may end a run.

    python -m tests.bench.faults [--videos 10000] [--pictures 5000] [--first 0] [--keep FOLDER]

Videos are embedded fifty at a time, each batch with a good one that sorts last, by `vidrec embed`;
pictures are asked with, one `vidrec recommend` each. Every command runs in a process of its own
(forked, so that imports are not repeated) under a limit of address space. Wrong are: an exit code
that is not foreseen, a signal, a traceback, a good video that was not embedded, more than 30 s for
a file, more than 1.5 GB resident. What is wrong is tried again alone and kept in FOLDER.
"""

from __future__ import annotations

import argparse
import atexit
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests import videos
from tests.bench.mutants import good_pictures, good_videos, mutant

T = TypeVar("T")
BATCH = 50
MAX_SEC = 30.0
MAX_MB = 1536
ADDRESS_SPACE = 4 << 30
PATIENCE_SEC = 300


@dataclass(frozen=True)
class Done:
    """One command: its exit code (negative: the signal), time, peak memory and output."""

    code: int
    seconds: float
    megabytes: int
    out: str
    err: str

    def problem(self, codes: Sequence[int]) -> str | None:
        if self.code not in codes:
            return f"exit code {self.code}: {self.err.strip()[-300:]}"
        if "Traceback" in self.err:
            return f"a traceback: {self.err.strip()[-300:]}"
        if self.megabytes > MAX_MB:
            return f"{self.megabytes} MB"
        return f"{self.seconds:.1f} s" if self.seconds > MAX_SEC else None


def run(folder: Path, *words: str) -> Done:
    """Run one `vidrec` command in a fork of this process."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(folder, words)
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - started > PATIENCE_SEC:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    seconds = time.monotonic() - started
    out, err = ((folder / name).read_text(errors="replace") for name in ("out", "err"))
    return Done(os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss >> 10, out, err)


def _become(folder: Path, words: Sequence[str]) -> None:
    code = 70
    atexit._clear()  # `main` does what is left for the exit: none of this process's
    try:
        for name, number in (("out", 1), ("err", 2)):
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.argv = ["vidrec", *words]
        from vidrec.__main__ import main

        main()
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def apart(make: Callable[..., T], *arguments: object) -> T:
    """Do something in a process of its own: encoders may leave threads, and who has some cannot
    be forked safely."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(make, *arguments).result()


class Tally:
    """What was seen, over all commands."""

    def __init__(self, keep: Path | None) -> None:
        self.files = self.read = self.wrong = 0
        self.slowest = self.largest = 0.0
        self.reasons: Counter[str] = Counter()
        self._keep = keep

    def note(self, done: Done) -> None:
        self.slowest = max(self.slowest, done.seconds)
        self.largest = max(self.largest, done.megabytes)

    def blame(self, path: Path, problem: str) -> None:
        self.wrong += 1
        print(f"WRONG {path.name}: {problem}", flush=True)
        if self._keep is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, self._keep / path.name)

    def row(self, kind: str, started: float) -> str:
        minutes = (time.monotonic() - started) / 60
        return (
            f"| {kind} | {self.files} | {self.read} | {self.files - self.read} | {self.wrong} | "
            f"{self.slowest:.1f} | {self.largest:.0f} | {minutes:.0f} |"
        )


def try_videos(folder: Path, numbers: range, tally: Tally) -> None:
    good = folder / "good"
    good.mkdir()
    paths = apart(good_videos, good)
    originals = [path.read_bytes() for path in paths]
    last = apart(videos.write_video, folder / "last.mp4", 30)
    for start in range(numbers.start, numbers.stop, BATCH):
        batch = folder / "batch"
        shutil.rmtree(batch, ignore_errors=True)
        batch.mkdir()
        for number in range(start, min(start + BATCH, numbers.stop)):
            which, data = mutant(number, originals)
            (batch / f"{number:06}-{paths[which].name}").write_bytes(data)
        files = sorted(batch.iterdir())
        shutil.copy(last, batch / "z-good.mp4")
        done, embedded = _embed(folder, batch)
        tally.note(done)
        tally.files += len(files)
        tally.read += embedded - 1
        problem = done.problem((0, 4)) or ("the good video is missing" if not embedded else None)
        if problem:
            print(f"batch at {start}: {problem}; each alone", flush=True)
            for path in files:
                alone, _ = _embed(folder, path)
                if (problem := alone.problem((0, 4))) is not None:
                    tally.blame(path, problem)
        _progress("videos", tally, start + BATCH - numbers.start, len(numbers))


def _embed(folder: Path, target: Path) -> tuple[Done, int]:
    """Embed into a new library; also return how many videos it then holds, 0 without the good."""
    library = folder / "library"
    shutil.rmtree(library, ignore_errors=True)
    done = run(folder, "embed", str(target), "--library", str(library))
    listed = run(folder, "list", "--library", str(library), "--format", "paths").out.splitlines()
    whole = not target.is_dir() or any(line.endswith("z-good.mp4") for line in listed)
    return done, len(listed) if whole else 0


def try_pictures(folder: Path, numbers: range, tally: Tally) -> None:
    good = folder / "pictures"
    good.mkdir()
    paths = good_pictures(good)
    originals = [path.read_bytes() for path in paths]
    library, last = folder / "library", apart(videos.write_video, folder / "film.mp4", 30)
    shutil.rmtree(library, ignore_errors=True)
    assert run(folder, "embed", str(last), "--library", str(library)).code == 0
    run(folder, "index", "--library", str(library))
    for number in numbers:
        which, data = mutant(number, originals)
        # Under a suffix that is asked with as a picture, whatever is in it.
        path = folder / f"{number:06}-{paths[which].stem}.png"
        path.write_bytes(data)
        done = run(folder, "recommend", str(path), "--library", str(library))
        tally.note(done)
        tally.files += 1
        tally.read += done.code in (0, 3)
        lines = done.err.strip().count("\n") + 1
        problem = done.problem((0, 1, 3)) or (f"{lines} lines: {done.err}" if lines > 2 else None)
        if problem:
            tally.blame(path, problem)
        path.unlink()
        _progress("pictures", tally, number + 1 - numbers.start, len(numbers))


def _progress(kind: str, tally: Tally, count: int, total: int) -> None:
    if count % 500 == 0:
        print(
            f"{count} of {total} {kind}: {tally.read} read, {tally.wrong} wrong, at most "
            f"{tally.slowest:.1f} s and {tally.largest:.0f} MB a command", flush=True,
        )  # fmt: skip


def parts(options: argparse.Namespace) -> Iterator[tuple[str, range]]:
    first = options.first
    yield "videos", range(first, first + options.videos)
    yield "pictures", range(first, first + options.pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--pictures", type=int, default=5_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first copy")
    parser.add_argument("--keep", type=Path, help="folder for what went wrong")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import vidrec.cli
    import vidrec.media.image
    import vidrec.media.sampling  # noqa: F401
    from vidrec.media.source import load_decoder

    load_decoder()
    rows = ["| kind | files | read | refused | wrong | slowest s | largest MB | minutes |"]
    with tempfile.TemporaryDirectory() as name:
        for kind, numbers in parts(options):
            if not numbers:
                continue
            started, tally = time.monotonic(), Tally(options.keep)
            attempt = try_videos if kind == "videos" else try_pictures
            attempt(Path(name), numbers, tally)
            rows.append(tally.row(kind, started))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
