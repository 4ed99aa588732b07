"""What many questions at once cost: 1,000 texts, and the neighbours of every video.

    python -m tests.bench.batch [--points 100000] [--dim 512] [--texts 1000] [--rounds 3]

*Texts*: ``vidrec recommend --queries`` on an index of so many clips, against a bare script that
encodes the same texts with the same model, multiplies them with the same matrix by numpy and
prints the ten best of each. *All videos*: ``vidrec recommend --all-videos`` on so many vectors of
whole videos, against a script that adds the same matrix to faiss's flat index and searches all
rows. Every side is a fresh process, in turn, round by round; medians of the wall
clock and of the processor time of all threads, and ratios of the same run.
faiss comes with ``pip install 'vidrec[bench]'``; without it its row is missing. The embedder is
one of this program's own: texts as MiniLM has them, filled up with zeros.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vidrec.config import Settings, load_settings
from vidrec.embedders.base import Embedder
from vidrec.library import Library
from vidrec.models.text import TEXT_DIM, TextEncoder
from vidrec.types import Embedding, Fingerprint, Scope, Video, VideoInfo

ROOT = Path(__file__).parents[2]
CLIPS = 10  # a video
K = 10
DIM = "VIDREC_BENCH_DIM"

NUMPY_TEXTS = """
import json, sys
from pathlib import Path
import numpy as np
from vidrec.models.text import TextEncoder
matrix = np.memmap({matrix!r}, "<f4", "r").reshape(-1, {dim})
texts = Path({texts!r}).read_text().splitlines()
encoder = TextEncoder(Path({cache!r}))
for start in range(0, len(texts), 64):
    some = texts[start : start + 64]
    asked = np.zeros((len(some), {dim}), np.float32)
    asked[:, :{text_dim}] = encoder.encode(some)
    scores = asked @ matrix.T
    best = np.argpartition(scores, scores.shape[1] - {k}, axis=1)[:, -{k}:]
    for text, row, at in zip(some, scores, best):
        at = at[np.argsort(-row[at])]
        print(json.dumps([text, at.tolist(), row[at].tolist()]))
"""
FAISS_ALL = """
import faiss, numpy as np
matrix = np.fromfile({matrix!r}, "<f4").reshape(-1, {dim})
index = faiss.IndexFlatIP({dim})
index.add(matrix)
scores, rows = index.search(matrix, {k} + 1)
np.savez({out!r}, scores=scores, rows=rows)
"""


class WideEmbedder(Embedder):
    """MiniLM's texts with zeros behind."""

    name = "wide"
    modalities = frozenset({"text"})

    def __init__(self, settings: Settings) -> None:
        self._encoder = TextEncoder(settings.cache)

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("wide", "minilm", int(os.environ[DIM]))

    def _encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.dim), np.float32)
        vectors[:, :TEXT_DIM] = self._encoder.encode(texts)
        return vectors


def texts(count: int) -> Iterator[str]:
    """Yield different plain texts."""
    things = ("dog", "cat", "horse", "boat", "train", "child", "crowd", "bird", "car", "river")
    doings = ("running", "sleeping", "burning", "waiting", "jumping", "playing", "turning")
    places = ("beach", "street", "forest", "kitchen", "stage", "mountain", "harbour", "field")
    for number in range(count):
        thing, rest = things[number % 10], number // 10
        yield f"{rest // 56} times a {thing} {doings[rest % 7]} on the {places[rest // 7 % 8]}"


def fill(folder: Path, matrix: np.ndarray, scope: Scope, fingerprint: Fingerprint) -> None:
    """Put the rows of a matrix into a library: clips of videos, or whole videos."""
    clips = CLIPS if scope == "clip" else 1
    with Library(folder) as library:
        library._db.execute("PRAGMA synchronous = OFF")
        library.register(fingerprint)
        for start in range(0, len(matrix), clips):
            video, path = f"{start:064x}", Path(f"/videos/{start}.mp4")
            length = clips * 10.0 + start % 997  # no two of one length are near
            library.add_video(Video(video, path.name, path, info=VideoInfo(length, 640, 360)))
            embeddings = [
                Embedding(video, str(fingerprint), scope, clip * 10.0, clip * 10.0 + 10, row)
                for clip, row in enumerate(matrix[start : start + clips])
            ]
            library.save_embeddings(video, embeddings, 10.0)


def run(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the seconds and processor seconds of a process, its results written to a file."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            command, env=environment, stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    taken = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command[:6]} failed: {done.stderr}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return taken, used


def compare(
    what: str, sides: dict[str, list[str]], environment: dict[str, str], rounds: int
) -> None:
    """Run the sides in turn and print the medians; ratios are to the last side."""
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        for side, command in sides.items():
            # Texts asked before lie in the library: each round asks others.
            figures = run([word.replace("{turn}", str(turn)) for word in command], environment)
            if turn:  # the first round only warms the page cache
                taken[side].append(figures)
    middle = {
        side: [statistics.median(column) for column in zip(*figures, strict=True)]
        for side, figures in taken.items()
    }
    base = list(middle.values())[-1]
    print(f"\n{what}; load {os.getloadavg()[0]:.1f}\n{'':40} {'wall':>10} {'processor':>20}")
    for side, (wall, used) in middle.items():
        print(
            f"{side:40} {wall:8.2f} s ({wall / base[0]:5.2f}) {used:8.2f} s ({used / base[1]:5.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["texts", "all"])
    options = parser.parse_args()
    n, dim = options.points, options.dim
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        info = folder / "wide-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wide\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[vidrec.embedders]\nwide = tests.bench.batch:WideEmbedder"
        )
        rows = np.random.default_rng(0).standard_normal((n, dim), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        matrix = folder / "matrix.f32"
        rows.tofile(matrix)
        cache = load_settings().cache
        environment = {
            **os.environ, DIM: str(dim), "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "VIDREC_EMBEDDER_NAME": "wide", "VIDREC_CACHE": str(cache),
        }  # fmt: skip
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ[DIM] = str(dim)
        fingerprint = WideEmbedder(load_settings()).fingerprint
        vidrec = [sys.executable, "-m", "vidrec"]
        if options.only != "all":
            fill(folder / "clips", rows, "clip", fingerprint)
            at = ["--library", str(folder / "clips")]
            subprocess.run([*vidrec, "index", *at], env=environment, check=True)
            every = list(texts(options.texts))
            for turn in range(options.rounds + 1):
                asked = [f"{text}, take {turn}" for text in every]
                (folder / f"texts-{turn}.txt").write_text("\n".join(asked) + "\n")
            script = NUMPY_TEXTS.format(
                matrix=str(matrix), dim=dim, text_dim=TEXT_DIM, k=K, cache=str(cache),
                texts=str(folder / "texts-0.txt"),
            ).replace("texts-0", "texts-{turn}")  # fmt: skip
            sides = {
                "vidrec recommend --queries": [
                    *vidrec, "recommend", *at, "-k", str(K),
                    "--queries", str(folder / "texts-{turn}.txt"),
                ],
                "a script: encode, multiply by numpy": [sys.executable, "-c", script],
            }  # fmt: skip
            compare(f"{options.texts} texts, {n} x {dim}", sides, environment, options.rounds)
        if options.only != "texts":
            fill(folder / "whole", rows, "video", fingerprint)
            at = ["--library", str(folder / "whole")]
            subprocess.run([*vidrec, "index", *at], env=environment, check=True)
            sides = {
                "vidrec recommend --all-videos": [
                    *vidrec, "recommend", *at, "-k", str(K), "--scope", "video",
                    "--all-videos", str(folder / "near.parquet"),
                ],
            }  # fmt: skip
            if importlib.util.find_spec("faiss"):
                script = FAISS_ALL.format(
                    matrix=str(matrix), dim=dim, k=K, out=str(folder / "near.npz")
                )
                sides["faiss flat"] = [sys.executable, "-c", script]
            compare(f"all videos, {n} x {dim}", sides, environment, options.rounds)


if __name__ == "__main__":
    main()
