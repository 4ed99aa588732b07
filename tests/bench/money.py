"""Random runs against a service that fails, with kills and several processes at once.

    python -m tests.bench.money [--runs 500] [--first 0] [--keep FOLDER]

A run is a library from its beginning to its end: two to four videos (some of which must be
repaired), uploaded or not, a cap on minutes or none, and two to four waves of one to four
processes of `vidrec embed` and `vidrec recommend CLIP`, some killed (SIGKILL) at a random moment,
while requests are dropped, refused, slow, answered with nonsense or done without an answer, and
while the service's list holds jobs of others with names like ours. A last `embed` with a good
service ends it. Wrong are: two paid tasks of one video, more billed than the cap, more billed than
the library counted, vectors under a video that are not its own, a copy of a file left at the
service, a video that is not embedded though the cap allows it, a traceback.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.config import Config

from tests.standin_s3 import S3StandIn
from tests.standin_twelvelabs import Task, TwelveLabsStandIn
from tests.tiny_video import write_video
from vidrec.library import Library

BUCKET = "money"
SETTLE_SEC = 2.5
PATIENCE_SEC = 60  # for one process
PRELOADED = [
    "vidrec.cli", "vidrec.commands.embed", "vidrec.commands.recommend", "vidrec.ingest.embed",
    "vidrec.embedders.marengo.embedder", "vidrec.search.session", "vidrec.stores.knn", "twelvelabs",
    "twelvelabs.embed.v_2.client", "twelvelabs.assets.client", "boto3", "botocore", "av", "httpx",
]  # fmt: skip
CREATE, POLL, LIST = "^POST /embed-v2/tasks$", "^GET /embed-v2/tasks/", "^GET /embed-v2/tasks$"


def child(words: list[str], environment: dict[str, str], log: str) -> None:
    """One `vidrec` command, in a process of its own."""
    os.environ.update(environment)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    from vidrec.cli import app

    app(words)


@dataclass
class Totals:
    """What all runs came to."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Run:
    """One library, from its beginning to its end."""

    number: int
    folder: Path
    pool: list[Path]
    s3: S3StandIn
    labs: TwelveLabsStandIn
    totals: Totals

    def __post_init__(self) -> None:
        self.chance = random.Random(self.number)
        self.videos = self.chance.sample(self.pool, self.chance.randint(2, 4))
        self.clip = self.videos[0]
        self.uploads = self.chance.random() < 0.6
        # Of about 0.07 minutes each: some caps are too small for all.
        self.cap = self.chance.choice([None, None, 0.1, 0.2, 0.25, 1.0])
        self.log = self.folder / "log"
        self.environment = {
            **self.s3.environment(),
            "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder),
            "VIDREC_LIBRARY": str(self.folder / "library"),
            "VIDREC_CACHE": str(self.folder / "cache"),
            "VIDREC_S3_ENDPOINT_URL": self.s3.url, "VIDREC_S3_REGION": self.s3.region,
            "VIDREC_S3_BUCKET": BUCKET, "VIDREC_EMBEDDER_NAME": "marengo",
            "VIDREC_MARENGO_API_KEY": self.labs.key, "VIDREC_MARENGO_BASE_URL": self.labs.url,
            "VIDREC_MARENGO_RPM": "60000", "VIDREC_MARENGO_POLL_SEC": "0.05",
            "VIDREC_MARENGO_SETTLE_SEC": str(SETTLE_SEC), "VIDREC_MARENGO_TIMEOUT_SEC": "1.0",
            "VIDREC_MARENGO_PATIENCE_SEC": "8",
        }  # fmt: skip
        if self.cap is not None:
            self.environment["VIDREC_PAID_MONTH_MINUTES"] = str(self.cap)

    def go(self) -> None:
        """Live through it, then see what is wrong."""
        self.labs.tasks.clear()
        self.labs.assets.clear()
        self.labs.faults.clear()
        self.labs.tells = self.chance.choice(["all", "all", "ready"])
        if self.uploads:
            self._wave([["upload", *map(str, self.videos)]], kills=False)
        for _ in range(self.chance.randint(2, 4)):
            self.clip = self.chance.choice(self.videos)  # that several may ask with at once
            self._strangers()
            self._break()
            self._wave([self._command() for _ in range(self.chance.randint(1, 4))])
            self.labs.faults.clear()
        last = ["embed", *map(str, self.videos), "--repair", "--retry-failed", "--wait"]
        for _ in range(2):
            self._wave([last], kills=False)
        self._check()

    def _command(self) -> list[str]:
        if self.chance.random() < 0.5:
            other = self.chance.random() < 0.2
            clip = str(self.chance.choice(self.videos) if other else self.clip)
            return ["recommend", clip, "--allow-paid", "--min-confidence", "0"]
        words = ["embed", *map(str, self.videos), "--repair", "--retry-failed", "--wait"]
        words += ["--jobs", str(self.chance.randint(1, 4))]
        return words + (["--max-minutes", "0.15"] if self.chance.random() < 0.3 else [])

    def _break(self) -> None:
        """Let the service fail, in one to four ways."""
        self.labs.polls = self.chance.randint(0, 6)
        for _ in range(self.chance.randint(1, 4)):
            kind = self.chance.choice(
                ["429", "429-empty", "503-after", "500", "500-nested", "502", "503", "drop", "drop",
                 "garbage", "slow", "400", "403"]
            )  # fmt: skip
            # Elsewhere 400 and 403 say that a video is refused for good.
            routes = (
                [POLL] if kind in ("400", "403") else [CREATE, CREATE, POLL, LIST, "assets", "."]
            )
            refuses = kind in ("429", "429-empty", "503-after", "400", "403")
            self.labs.fault(
                kind, self.chance.choice(routes), times=self.chance.randint(1, 6),
                every=self.chance.randint(1, 3), after=not refuses and self.chance.random() < 0.5,
                seconds=self.chance.uniform(0.02, 1.2) if kind == "slow" else 0.05,
            )  # fmt: skip

    def _strangers(self) -> None:
        """Jobs of another who has the same account, and names like ours."""
        fields = {"embedding_option": ["visual", "audio"], "embedding_scope": ["clip", "asset"]}
        request = {"model_name": "marengo3.5", "video": fields}
        for path in self.videos:
            if self.chance.random() < 0.5:
                name = f"{digest(path.read_bytes())}{path.suffix}"
                url = f"{self.s3.url}/of-another/vidrec/{name}"
                task = Task(os.urandom(12).hex(), request, time.time(), url, "", b"strange", 5.0, 0)
                self.labs.tasks[task.id] = task

    def _wave(self, commands: list[list[str]], *, kills: bool = True) -> None:
        """Run commands beside one another; kill some."""
        started: list[tuple[float, bool, BaseProcess]] = []
        for words in commands:
            self.totals.counts["processes"] += 1
            process = CONTEXT.Process(target=child, args=(words, self.environment, str(self.log)))
            process.start()
            dies = kills and self.chance.random() < 0.5
            after = self.chance.uniform(0.1, 2.5) if dies else PATIENCE_SEC
            started.append((time.monotonic() + after, dies, process))
            time.sleep(self.chance.uniform(0, 0.2))
        for end, dies, process in sorted(started, key=lambda one: one[0]):
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                self.totals.counts["kills"] += dies
                if not dies:
                    self._wrong(f"not done after {PATIENCE_SEC} s")
                process.kill()
                process.join()

    def _check(self) -> None:
        mine = [task for task in self.labs.tasks.values() if task.content != b"strange"]
        billed = sum(task.duration for task in mine) / 60
        self.totals.counts["tasks"] += len(mine)
        twice = [name for name, count in Counter(map(video_of, mine)).items() if count > 1]
        if twice:
            self._wrong(f"paid twice: {len(twice)}")
        if self.cap is not None and billed > self.cap + 1e-9:
            self._wrong(f"billed {billed:.3f} minutes at a cap of {self.cap}")
        if self.labs.assets:
            self._wrong(f"{len(self.labs.assets)} copies left")
        if b"Traceback" in self.log.read_bytes():
            self._wrong("a traceback")
        with Library(self.folder / "library") as library:
            counted = library.read("SELECT coalesce(sum(minutes), 0) FROM paid")[0][0]
            if counted < billed - 1e-6:
                self._wrong(f"counted {counted:.3f} minutes, billed {billed:.3f}")
            embedded = whole_vectors(library)
        self._check_vectors(embedded, mine)
        self.totals.counts["videos"] += len(self.videos)
        self.totals.counts["embedded"] += len(embedded)
        if self.cap in (None, 1.0) and len(embedded) < len(self.videos):
            self._wrong(f"{len(embedded)} of {len(self.videos)} videos embedded")

    def _check_vectors(self, embedded: dict[str, Any], mine: list[Task]) -> None:
        for video_id, vector in embedded.items():
            good = [task for task in mine if video_of(task) == video_id]
            if not any(np.allclose(vector, row, atol=1e-5) for t in good for row in self._whole(t)):
                self._wrong(f"vectors of {video_id[:12]} are not its own")

    def _whole(self, task: Task) -> list[Any]:
        return [
            np.array(row["embedding"]) / np.linalg.norm(row["embedding"])
            for row in self.labs.rows(task)
            if row["embedding_scope"] == "asset"
        ]

    def _wrong(self, what: str) -> None:
        self.totals.wrong.append(f"run {self.number}: {what}")
        print(f"WRONG run {self.number}: {what}", flush=True)


def whole_vectors(library: Library) -> dict[str, Any]:
    """Return one vector of each embedded video."""
    names = [row[0] for row in library.read("SELECT fingerprint FROM fingerprints")]
    return {e.video_id: e.vector for name in names for _, e in library.embeddings(name)
            if e.scope == "video"}  # fmt: skip


def video_of(task: Task) -> str:
    """Return the id of the video that a task reads; a sent copy has it in its name.

    The bytes tell it of uploads alone: of a repaired copy they may differ from run to run.
    """
    return digest(task.content) if task.source else task.filename[:64]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pool_of(folder: Path) -> list[Path]:
    """Twelve videos; four are too short or too small, so that a copy is sent."""
    shapes: list[dict[str, Any]] = [
        {"seconds": 4.0}, {"seconds": 5.0}, {"seconds": 2.3}, {"seconds": 4.5, "width": 320},
    ]  # fmt: skip
    return [
        write_video(folder / f"{number}.mp4", fps=2, seed=number, **shapes[number % 4])
        for number in range(12)
    ]


CONTEXT = multiprocessing.get_context("forkserver")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after that")
    parser.add_argument("--keep", type=Path, help="where libraries of wrong runs are kept")
    wished = parser.parse_args()
    CONTEXT.set_forkserver_preload(PRELOADED)
    for name in list(os.environ):
        if name.startswith(("VIDREC_", "AWS_", "TWELVE", "HTTP_", "http_", "ALL_")):
            del os.environ[name]
    totals, begun = Totals(), time.monotonic()
    with tempfile.TemporaryDirectory() as place, S3StandIn() as s3, TwelveLabsStandIn() as labs:
        os.environ.update(s3.environment())
        client = boto3.client(
            "s3",
            endpoint_url=s3.url,
            region_name=s3.region,
            config=Config(signature_version="s3v4"),
        )
        region = {"LocationConstraint": s3.region}
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=region)
        pool = pool_of(Path(place) / "videos")
        for number in range(wished.first, wished.first + wished.runs):
            if time.monotonic() - begun > 60 * wished.minutes:
                break
            folder = (wished.keep or Path(place)) / f"run{number}"
            folder.mkdir(parents=True)
            before = len(totals.wrong)
            Run(number, folder, pool, s3, labs, totals).go()
            labs.log.clear()
            totals.counts["runs"] += 1
            if len(totals.wrong) == before:
                shutil.rmtree(folder, ignore_errors=True)
            if totals.counts["runs"] % 10 == 0:
                print(dict(totals.counts), f"{time.monotonic() - begun:.0f} s", flush=True)
    print(dict(totals.counts), f"wrong: {len(totals.wrong)}; {time.monotonic() - begun:.0f} s")
    sys.exit(bool(totals.wrong))


if __name__ == "__main__":
    main()
