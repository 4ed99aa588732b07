"""What a condition costs: `--where` on several fields, against a bare script with numpy columns.

    python -m tests.bench.filters [--points 1000000] [--dim 512] [--rounds 15] [--folder FOLDER]

A library of videos with nine clips and a whole vector each is indexed, and a session is asked for
the ten best videos that meet one condition, with a new vector each time. The bare script maps the
same matrix, holds each field as a numpy column (a value a video, and the video of each row), makes
the mask, multiplies the rows that match (or all of them, where that is quicker) and takes the ten
best videos. Both run in one process, in turn; medians, of the ratios of each turn, too, and the
first query of each condition, which may read columns, apart. ``--folder`` keeps the library, for
the next time.

The embedder is one of this program's own: it tells tone as ``conse`` does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vidrec.config import Settings, load_settings
from vidrec.embedders.base import Embedder
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.models.tone import DIM as TONE_DIM
from vidrec.models.tone import WORDS, coordinates_of, tone_words
from vidrec.search.conditions import parse_conditions
from vidrec.search.query import Part, Query
from vidrec.search.session import Session
from vidrec.types import Embedding, Fingerprint, Modality, Video, VideoInfo

K = 10
CLIPS = 9  # a video, and its whole vector
AT_A_TIME = 2000  # videos
SELECTIVE = 1 / 8  # the share of rows below which the bare script gathers them
DIM = "VIDREC_BENCH_DIM"

Columns = Mapping[str, np.ndarray]
Mask = Callable[[Columns], np.ndarray]

# What is asked, and how the bare script makes its mask: True a video.
CONDITIONS: dict[str, Mask] = {
    "": lambda of: np.ones(len(of["label"]), bool),
    "label=rare": lambda of: of["label"] == "rare",
    "label=common": lambda of: of["label"] == "common",
    "label!=common": lambda of: of["label"] != "common",
    "duration_sec=100": lambda of: of["duration_sec"] == 100,
    "duration_sec>100": lambda of: of["duration_sec"] > 100,
    "filename ~ beach*": lambda of: np.char.startswith(of["filename"], "beach"),
    "start_sec<30": lambda of: of["start_sec"] < 30,
    "width=1920": lambda of: of["width"] == 1920,
    "width=640": lambda of: of["width"] == 640,
    "year>2000": lambda of: of["year"] > 2000,
    "year=1999": lambda of: of["year"] == 1999,
    "tone=dark": lambda of: of["dark"],
    "tone.light<0.3": lambda of: of["light"] < 0.3,
}


class ToldEmbedder(Embedder):
    """Vectors that tell tone by their last numbers."""

    name = "told"
    modalities: ClassVar[frozenset[Modality]] = frozenset({"video"})
    fields: ClassVar[Mapping[str, Sequence[str]]] = {
        "tone": tuple(word for words in WORDS.values() for word in words if word),
        "tone.light": (),
    }

    def __init__(self, settings: Settings) -> None:
        """Need no settings."""

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("told", "random", int(os.environ[DIM]))

    def tell(self, vectors: np.ndarray) -> Mapping[str, Sequence[Any]]:
        found = coordinates_of(vectors[:, -TONE_DIM:])
        return {
            "tone": [tone_words(row) for row in found.tolist()],
            "tone.light": ((found[:, 0] / 2 + 1) / 2).tolist(),
        }


def register(folder: Path) -> None:
    """Let this process find the embedder as an installed plug-in."""
    info = folder / "plugin" / "told-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: told\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[vidrec.embedders]\ntold = tests.bench.filters:ToldEmbedder"
    )
    sys.path.append(str(info.parent))


def matrix_of(dim: int, start: int, count: int) -> np.ndarray:
    rows = np.random.default_rng([dim, start]).standard_normal((count, dim), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def told_of(number: int) -> dict[str, Any]:
    """What is known of a video, by its number: an even spread that repeats nothing quickly."""
    roll = number * 7919 % 1000
    return {
        "label": "rare" if roll < 5 else "common" if roll < 600 else f"label {roll % 20}",
        "duration_sec": 100.0 if number * 104729 % 1000 < 900 else 90.0 + number % 997,
        "filename": f"{('beach', 'city', 'forest', 'stage')[number * 31 % 4]}-{number}.mp4",
        "width": 1920 if number * 15485863 % 1000 < 900 else 640,
        "year": 1950 + number * 7907 % 75,
    }


def videos_of(start: int, rows: np.ndarray, fingerprint: str) -> Iterator[tuple[Any, ...]]:
    """Yield videos with their embeddings and fields from rows of the matrix."""
    for at in range(0, len(rows), CLIPS + 1):
        number = (start + at) // (CLIPS + 1)
        told, name = told_of(number), f"{number:064x}"
        info = VideoInfo(told["duration_sec"], told["width"], 1080)
        path = Path(f"/videos/{told['filename']}")
        video = Video(name, path.name, path, label=told["label"], info=info)
        whole = Embedding(name, fingerprint, "video", 0.0, told["duration_sec"], rows[at])
        clips = [
            Embedding(name, fingerprint, "clip", clip * 10.0, clip * 10.0 + 10, row)
            for clip, row in enumerate(rows[at + 1 : at + 1 + CLIPS])
        ]
        yield video, [whole, *clips], (name, {"year": told["year"]})


def build(folder: Path, settings: Settings, n: int, dim: int) -> None:
    fingerprint = Fingerprint("told", "random", dim)
    step = AT_A_TIME * (CLIPS + 1)
    with Library(settings.library) as library, (folder / "matrix.f32").open("wb") as file:
        library._db.execute("PRAGMA synchronous = OFF")
        library.register(fingerprint)
        for start in range(0, n, step):
            rows = matrix_of(dim, start, min(step, n - start))
            file.write(rows.data)
            with library.transaction():
                made = list(videos_of(start, rows, str(fingerprint)))
                for video, embeddings, _ in made:
                    library.add_video(video)
                    library.save_embeddings(video.id, embeddings, 10.0)
                library.set_fields(fields for _, _, fields in made)
    started = time.perf_counter()
    index(settings)
    taken = time.perf_counter() - started
    print(f"indexed {n} x {dim} in {taken:.1f} s, {n / taken:,.0f} points/s", flush=True)


class Bare:
    """The script that anybody would write."""

    def __init__(self, folder: Path, n: int, dim: int) -> None:
        self.matrix = np.memmap(folder / "matrix.f32", dtype="<f4", mode="r", shape=(n, dim))
        self.video = np.arange(n) // (CLIPS + 1)
        self.clip = np.arange(n) % (CLIPS + 1) > 0
        self.start_sec = (np.arange(n) % (CLIPS + 1) - 1) * 10.0
        told = [told_of(number) for number in range(self.video[-1] + 1)]
        self.columns = {key: np.array([one[key] for one in told]) for key in told[0]}
        tone = coordinates_of(np.array(self.matrix[:: CLIPS + 1, -TONE_DIM:]))
        self.columns["light"] = (tone[:, 0] / 2 + 1) / 2
        self.columns["dark"] = np.array(["dark" in tone_words(row) for row in tone.tolist()])

    def best(self, query: np.ndarray, words: str) -> list[int]:
        """Return the ten best videos that meet a condition, by their best clip."""
        make, of_row = CONDITIONS[words], words.startswith("start_sec")
        mask = make({"start_sec": self.start_sec}) if of_row else make(self.columns)[self.video]
        mask &= self.clip
        rows = np.flatnonzero(mask)
        if len(rows) < SELECTIVE * len(mask):
            scores = self.matrix[rows] @ query
        else:
            scores = (self.matrix @ query)[rows]
        top = np.argpartition(scores, len(scores) - K * CLIPS)[-K * CLIPS :]
        top = top[np.argsort(-scores[top])]
        return list(dict.fromkeys(self.video[rows[top]].tolist()))[:K]


def compare(settings: Settings, bare: Bare, dim: int, rounds: int) -> None:
    queries = matrix_of(dim, 10**9, rounds + 1)
    print(f"{'':20} {'share':>6} {'vidrec ms':>10} {'bare ms':>9} {'ratio':>6} {'first ms':>9}")
    with Session(settings) as session:
        for words, make in CONDITIONS.items():
            conditions = parse_conditions([words] if words else [])
            taken: dict[str, list[float]] = {"vidrec": [], "bare": []}
            for query in queries:
                started = time.perf_counter()
                answer = session.recommend(
                    Query((Part("vector", query),), K, conditions=conditions)
                )
                between = time.perf_counter()
                expected = bare.best(query, words)
                taken["vidrec"].append((between - started) * 1e3)
                taken["bare"].append((time.perf_counter() - between) * 1e3)
                found = [int(row.video_id, 16) for row in answer.results]
                assert found == expected, (words, found, expected)
            of = bare.columns | {"start_sec": bare.start_sec[bare.clip]}
            mine, theirs = (statistics.median(some[1:]) for some in taken.values())
            pairs = list(zip(*taken.values(), strict=True))[1:]
            ratio = statistics.median(one / other for one, other in pairs)
            print(
                f"{words or '(no condition)':20} {make(of).mean():6.1%} {mine:10.1f} {theirs:9.1f} "
                f"{ratio:6.2f} {taken['vidrec'][0]:9.1f}", flush=True,
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="Keep the library here, or use the one there.")
    options = parser.parse_args()
    os.environ[DIM] = str(options.dim)
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        register(folder)
        settings = load_settings(
            overrides={
                "library": folder / "library", "cache": folder / "cache",
                "embedder.name": "told", "embedder.min_confidence": 0.0,
            }
        )  # fmt: skip
        if not (folder / "matrix.f32").exists():
            build(folder, settings, options.points, options.dim)
        compare(settings, Bare(folder, options.points, options.dim), options.dim, options.rounds)


if __name__ == "__main__":
    main()
