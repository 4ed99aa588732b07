"""The right job: a lost one is found by all that it reads, and by nothing less."""

# ruff: noqa: F811
from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.marengo_bench import CREATE, POLL, Bench, bench, forest, service  # noqa: F401
from tests.standin_twelvelabs import Task
from tests.tiny_video import write_video
from vidrec.embedders.base import EmbedContext, Embedded
from vidrec.errors import TransientError
from vidrec.ingest.scan import hash_file
from vidrec.library.jobs import CatalogJobs, Job

LIST = "^GET /embed-v2/tasks$"


@dataclass
class Hosted:
    """The bench's video, read by the service from a URL."""

    bench: Bench
    base: str

    def embed(self, path: str = "bucket/vidrec/clip.mp4?X-Amz-Signature=1") -> Embedded:
        jobs = CatalogJobs(self.bench.library)
        context = EmbedContext(jobs=jobs, url_for=lambda video: f"{self.base}/{path}")
        (outcome,) = self.bench.embedder().embed_videos([self.bench.video], context)
        return outcome

    def strange(self, url: str, content: bytes) -> Task:
        """A task in the service's list that this library did not make."""
        fields = {"embedding_option": ["visual", "audio"], "embedding_scope": ["clip", "asset"]}
        request = {"model_name": "marengo3.5", "video": fields}
        now = self.bench.time.time
        task = Task(
            f"{len(self.bench.service.tasks):024x}", request, now, url, "", content, 14.0, 0
        )
        self.bench.service.tasks[task.id] = task
        return task

    def is_right(self, outcome: Embedded) -> bool:
        """Whether the vectors are those of the bench's own video."""
        assert self.bench.video.path is not None
        content = self.bench.video.path.read_bytes()
        (whole,) = [
            e for e in outcome.embeddings if e.scope == "video" and "audio" not in e.fingerprint
        ][:1]
        good = [task for task in self.bench.service.tasks.values() if task.content == content]
        return any(
            np.allclose(whole.vector, np.array(row["embedding"]) / np.linalg.norm(row["embedding"]),
                        atol=1e-5)
            for task in good
            for row in self.bench.service.rows(task)
            if row["embedding_scope"] == "asset"
        )  # fmt: skip


@pytest.fixture
def hosted(bench: Bench, tmp_path: Path) -> Iterator[Hosted]:
    assert bench.video.path is not None
    for place in ("bucket/vidrec/clip.mp4", "bucket/vidrec/a%2Fb.mp4"):
        target = tmp_path / "web" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bench.video.path.read_bytes())

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            return None

    handler = functools.partial(Quiet, directory=str(tmp_path / "web"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield Hosted(bench, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "strange",
    [
        "http://other.example/bucket/vidrec/clip.mp4",  # another host
        "{base}/another-bucket/vidrec/clip.mp4",
        "{base}/copy/of/bucket/vidrec/clip.mp4",  # a longer key
        "{base}/bucket/vidrec/clip.mp4?v=2",  # a part of the URL that is no signature
    ],
)
def test_a_like_named_job_is_not_taken_for_the_lost_one(hosted: Hosted, strange: str) -> None:
    hosted.strange(strange.format(base=hosted.base), b"another video")
    hosted.bench.service.fault("drop", CREATE)
    outcome = hosted.embed()
    assert outcome.error is None and hosted.is_right(outcome)
    assert len(hosted.bench.service.tasks) == 2


def test_a_lost_job_is_found_under_another_signature(hosted: Hosted) -> None:
    hosted.strange(f"{hosted.base}/other/vidrec/clip.mp4", b"another video")
    hosted.bench.service.fault("drop", CREATE, after=True)
    hosted.bench.service.fault("drop", LIST, times=None)
    assert isinstance(hosted.embed().error, TransientError)
    hosted.bench.service.faults.clear()
    outcome = hosted.embed("bucket/vidrec/clip.mp4?X-Amz-Signature=2")
    assert outcome.error is None and hosted.is_right(outcome)
    assert len(hosted.bench.service.tasks) == 2


def test_what_the_service_says_later_is_waited_for(hosted: Hosted) -> None:
    hosted.bench.service.tells, hosted.bench.service.polls = "ready", 4
    hosted.bench.service.fault("drop", CREATE, after=True)
    assert hosted.embed().error is None
    assert len(hosted.bench.service.tasks) == 1


def test_nothing_is_taken_or_paid_where_the_service_does_not_say(hosted: Hosted) -> None:
    hosted.bench.service.tells = "none"
    strange = hosted.strange("", b"another video")
    hosted.bench.service.fault("drop", CREATE)
    error = hosted.embed().error
    assert isinstance(error, TransientError) and strange.id in str(error)
    assert "does not say what it reads" in str(error)
    assert isinstance(hosted.embed().error, TransientError)
    assert len(hosted.bench.service.tasks) == 1
    del hosted.bench.service.tasks[strange.id]
    assert hosted.embed().error is None


def test_a_name_that_is_encoded_is_no_folder(hosted: Hosted) -> None:
    """``a%2Fb`` may be a key of its own; a service that decodes URLs would not say which."""
    hosted.strange(f"{hosted.base}/bucket/vidrec/a/b.mp4", b"another video")
    hosted.bench.service.fault("drop", CREATE)
    error = hosted.embed("bucket/vidrec/a%2Fb.mp4").error
    assert isinstance(error, TransientError)
    assert len(hosted.bench.service.tasks) == 1


def test_of_two_lost_jobs_at_one_url_neither_is_guessed(hosted: Hosted) -> None:
    """The file at a URL was replaced: two videos, one URL, and one job in the list."""
    url = f"{hosted.base}/bucket/vidrec/clip.mp4"
    hosted.strange(url, b"what was there before")
    lost = Job("f" * 64, hosted.bench.embedder()._requests.job_key, "creating",
               created_at=hosted.bench.time.time, source=url)  # fmt: skip
    CatalogJobs(hosted.bench.library).put(lost)
    hosted.bench.service.fault("drop", CREATE)
    assert isinstance(hosted.embed().error, TransientError)
    assert len(hosted.bench.service.tasks) == 1


def test_copies_of_one_video_are_told_apart_by_name(bench: Bench) -> None:
    bench.service.fault("drop", CREATE, after=True)
    bench.service.fault("drop", LIST, times=None)
    bench.embed()
    (first,) = bench.service.tasks.values()
    # As another library of the same account sends the same video, with other settings.
    other = replace(first, id="0" * 24, filename=f"{bench.video.id}-0123456789ab.mp4")
    bench.service.tasks[other.id] = other
    bench.service.faults.clear()
    bench.service.log.clear()
    assert bench.embed().error is None
    assert len(bench.service.tasks) == 2
    assert not bench.service.calls("GET", f"/embed-v2/tasks/{other.id}")


@pytest.mark.parametrize("kind", ["400", "403"])
def test_a_refusal_to_be_polled_says_nothing_of_the_video(bench: Bench, kind: str) -> None:
    bench.service.fault(kind, POLL)
    error = bench.embed().error
    assert isinstance(error, TransientError)
    assert bench.embed().error is None
    assert bench.created == 1


def test_two_videos_have_two_jobs(bench: Bench, tmp_path: Path) -> None:
    first = bench.embed()
    path = write_video(tmp_path / "bright kitchen.mp4", seconds=14, seed=3)
    bench.video = replace(bench.video, id=hash_file(path), path=path)
    second = bench.embed()
    assert not np.allclose(first.embeddings[0].vector, second.embeddings[0].vector)
