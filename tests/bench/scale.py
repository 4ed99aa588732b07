"""What a cluster's engine costs on one machine, and how it grows with the number of videos.

    python -m tests.bench.scale [--counts 100 1000] [--rounds 3] [--workers 2] [--embedder conse]

The same small videos (a third of a second; told apart by their last bytes) are embedded by
``--engine local`` and ``--engine ray`` in turn, each into a new library by a fresh process with as
many workers. A row gives medians of whole processes, starting Ray included, what a further video
costs (by the difference of two counts), and the most memory that the driver held.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.clips import plain, write_clip

ENGINES = ("local", "ray")


def make(folder: Path, count: int) -> None:
    """Have so many videos in a folder."""
    first = folder / "first.mp4"
    if not first.exists():
        write_clip(first, plain("red"), seconds=0.3)
    content = first.read_bytes()
    for number in range(count - 1):
        path = folder / f"{number:06}.mp4"
        if not path.exists():
            path.write_bytes(content + b"%06d" % number)


def run(folder: Path, library: Path, engine: str, args: argparse.Namespace) -> tuple[float, float]:
    """Embed a folder anew; return seconds and the driver's most memory in MB."""
    shutil.rmtree(library, ignore_errors=True)
    command = [
        sys.executable, "-m", "vidrec", "embed", str(folder), "--library", str(library),
        "--workers", str(args.workers), "--embedder", args.embedder, "--no-index",
        "-f", "table", "--engine", engine,
    ]  # fmt: skip
    began = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(said)
    return time.monotonic() - began, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--embedder", default="conse")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        before: dict[str, tuple[int, float]] = {}
        for count in args.counts:
            folder = Path(made, str(count))
            folder.mkdir()
            make(folder, count)
            taken: dict[str, list[tuple[float, float]]] = {engine: [] for engine in ENGINES}
            for _ in range(args.rounds):
                for engine in ENGINES:
                    taken[engine].append(run(folder, Path(made, "library"), engine, args))
            for engine, rounds in taken.items():
                seconds = statistics.median(row[0] for row in rounds)
                memory = statistics.median(row[1] for row in rounds)
                line = f"{count:7} videos  {engine:5}  {seconds:7.1f} s  driver {memory:5.0f} MB"
                if engine in before:
                    fewer, then = before[engine]
                    line += f"  a further video {(seconds - then) / (count - fewer) * 1e3:.1f} ms"
                before[engine] = (count, seconds)
                print(line, flush=True)
            ratios = [r[0] / one[0] for r, one in zip(taken["ray"], taken["local"], strict=True)]
            print(
                f"{count:7} videos  ray / local, median of pairs: {statistics.median(ratios):.2f}"
            )


if __name__ == "__main__":
    main()
