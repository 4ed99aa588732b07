"""What starting up costs: ``--help``, and a one-shot text query over a large index.

    python -m tests.bench.startup [--points 100000] [--rounds 11]

``vidrec --help`` is compared with a bare Typer app of as many commands. The query goes through
the real command line, on a library and an index of ``--points`` vectors of the default embedder,
and is compared with two bare scripts that map the same matrix, scan it and print the ten best:
one that imports what vidrec is made of (typer, pydantic-settings with one small model, numpy),
and one of numpy alone. Every side is a fresh process, in turn, round by round; medians of the
wall clock and of the processor time of all threads. The index is built through the command line,
too, and its points a second are printed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
CLIPS = 100  # a video
TEXT = "waves on a beach at sunset"

BARE_APP = """
import typer
app = typer.Typer(help="Do things with videos.")
{commands}
app()
"""
BARE_COMMAND = """
@app.command()
def {name}(words: list[str], top_k: int = typer.Option(10, help="How many.")) -> None:
    "Do {name}."
"""
BARE_SCAN = """
import numpy as np
matrix = np.memmap({matrix!r}, dtype="<f4", mode="r").reshape(-1, {dim})
scores = matrix @ np.load({query!r})
top = np.argpartition(scores, len(scores) - 10)[-10:]
for row in top[np.argsort(-scores[top])]:
    print(row, scores[row])
"""
BARE_QUERY = """
from pathlib import Path
import typer
from pydantic_settings import BaseSettings
class Settings(BaseSettings):
    library: Path = Path("library")
    embedder: str = "conse"
    k: int = 10
app = typer.Typer()
@app.command()
def recommend(text: str, k: int = 10) -> None:
    settings = Settings(k=k)
    {scan}
app()
"""


def fill(library_folder: Path, matrix_file: Path, n: int) -> int:
    """Put ``n`` random embeddings of the default embedder into a library; return their size."""
    from vidrec.config import load_settings
    from vidrec.embedders import load_embedder
    from vidrec.library import Library
    from vidrec.types import Embedding, Video, VideoInfo

    fingerprint = load_embedder(load_settings()).fingerprint
    noise = np.random.default_rng(0)
    with Library(library_folder) as library, matrix_file.open("wb") as file:
        library.register(fingerprint)
        for start in range(0, n, CLIPS):
            rows = noise.standard_normal((min(CLIPS, n - start), fingerprint.dim), dtype=np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            file.write(rows.data)
            video = f"{start:064x}"
            info = VideoInfo(CLIPS * 10.0, 640, 360)
            library.add_video(Video(video, f"{start}.mp4", Path(f"/videos/{start}.mp4"), info=info))
            embeddings = [
                Embedding(video, str(fingerprint), "clip", clip * 10.0, clip * 10.0 + 10, row)
                for clip, row in enumerate(rows)
            ]
            library.save_embeddings(video, embeddings, 10.0)
    return fingerprint.dim


def command_line(*words: str) -> list[str]:
    return [sys.executable, "-m", "vidrec", *words]


def run(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the seconds and processor seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or not done.stdout + done.stderr:
        raise SystemExit(f"{command} failed: {done.stderr}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return taken, used


def measure(
    sides: dict[str, Sequence[str]], environment: dict[str, str], rounds: int
) -> dict[str, tuple[float, float]]:
    """Run all sides in turn; return the medians of wall and processor milliseconds."""
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        for side, command in sides.items():
            figures = run([word.replace("{turn}", str(turn)) for word in command], environment)
            if turn:  # the first round only warms the page cache
                taken[side].append(figures)
    return {
        side: (
            statistics.median(wall for wall, _ in some) * 1e3,
            statistics.median(used for _, used in some) * 1e3,
        )
        for side, some in taken.items()
    }


def show(title: str, figures: dict[str, tuple[float, float]], base: str) -> None:
    print(f"{title}; ratios to {base}")
    print(f"{'':28} {'wall ms':>17} {'processor ms':>17}")
    for side, (wall, used) in figures.items():
        print(
            f"{side:28} {wall:8.0f} ({wall / figures[base][0]:5.2f}) "
            f"{used:8.0f} ({used / figures[base][1]:5.2f})"
        )


def help_against_bare_app(folder: Path, environment: dict[str, str], rounds: int) -> None:
    from vidrec.cli import COMMANDS

    names = [f"command_{number}" for number in range(len(COMMANDS))]
    script = folder / "app.py"
    commands = "".join(BARE_COMMAND.format(name=name) for name in names)
    script.write_text(BARE_APP.format(commands=commands))
    sides = {
        "bare Typer app --help": [sys.executable, str(script), "--help"],
        "vidrec --help": command_line("--help"),
    }
    show("help", measure(sides, environment, rounds), "bare Typer app --help")


def query_against_bare_scripts(
    folder: Path, environment: dict[str, str], rounds: int, n: int
) -> None:
    matrix, query = folder / "matrix.f32", folder / "query.npy"
    dim = fill(folder / "library", matrix, n)
    taken, used = run(command_line("index"), environment)
    print(
        f"vidrec index: {n} x {dim} in {taken:.2f} s, {n / taken:,.0f} points/s "
        f"({used:.2f} s of processor time, {n / used:,.0f} points/s)"
    )
    run(command_line("recommend", TEXT), environment)  # prepares the embedder, keeps the vector
    np.save(query, np.fromfile(matrix, dtype="<f4", count=dim))
    scan = BARE_SCAN.format(matrix=str(matrix), query=str(query), dim=dim)
    (folder / "scan.py").write_text(scan)
    (folder / "query.py").write_text(BARE_QUERY.format(scan=scan.strip().replace("\n", "\n    ")))
    sides = {
        "numpy alone": [sys.executable, str(folder / "scan.py")],
        "bare script": [sys.executable, str(folder / "query.py"), TEXT],
        "vidrec, asked before": command_line("recommend", TEXT),
        "vidrec, asked first": command_line("recommend", f"{TEXT} {{turn}}"),
    }
    title = f"one text query over {n} x {dim}"
    show(title, measure(sides, environment, rounds), "bare script")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "VIDREC_LIBRARY": str(folder / "library"),
            "VIDREC_CACHE": str(folder / "cache"),
            "VIDREC_EMBEDDER_MIN_CONFIDENCE": "0",  # vectors drawn at random fit no text
        }
        # What is installed has its bytecode beside it: let the first, unmeasured round write it.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        help_against_bare_app(folder, environment, options.rounds)
        query_against_bare_scripts(folder, environment, options.rounds, options.points)


if __name__ == "__main__":
    main()
