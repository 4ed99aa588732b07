"""Beside one another: whoever works on a job has it in hand, and the others wait for it."""

# ruff: noqa: F811
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloud import Cloud, cloud, embedded, start, vidrec  # noqa: F401
from tests.tiny_video import write_video
from vidrec.errors import TransientError
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.library.jobs import CatalogJobs, Job

REQUEST = "marengo:marengo3.5:512:abc"
JOB = Job("a" * 64, REQUEST, "creating", created_at=100.0, minutes=0.5, source="s3://b/k")
HOLDER = """
import sys, time
from pathlib import Path
from vidrec.library import Library
from vidrec.library.jobs import CatalogJobs
jobs = CatalogJobs(Library(Path(sys.argv[1])))
print(jobs.claim("a" * 64, sys.argv[2]), flush=True)
time.sleep(60)
"""


def test_a_job_is_in_one_hand_until_it_is_let_go(tmp_path: Path) -> None:
    with Library(tmp_path) as library, Library(tmp_path) as again:
        one, other = CatalogJobs(library), CatalogJobs(again)
        assert one.claim(JOB.video_id, REQUEST) is None
        assert other.claim(JOB.video_id, REQUEST) and one.claim(JOB.video_id, REQUEST)
        assert other.claim("b" * 64, REQUEST) is None
        with pytest.raises(TransientError, match="in hand"):
            other.reserve(JOB)
        one.reserve(JOB)
        one.release(JOB.video_id, REQUEST)
        assert other.claim(JOB.video_id, REQUEST) is None


def test_a_killed_process_has_nothing_in_hand(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), REQUEST],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "None\n"
            jobs = CatalogJobs(library)
            assert jobs.claim(JOB.video_id, REQUEST) == str(holder.pid)
        finally:
            holder.kill()
            holder.communicate()
        assert jobs.claim(JOB.video_id, REQUEST) is None
        jobs.release(JOB.video_id, REQUEST)
        assert len(list(tmp_path.glob("claims-*.lock"))) == 1  # this process's own


def test_three_who_ask_with_one_clip_pay_once(cloud: Cloud, tmp_path: Path) -> None:
    cloud.videos(2)
    vidrec("embed", cloud.folder)
    vidrec("index")
    cloud.labs.polls = 4
    query = write_video(tmp_path / "query.mp4", seconds=5, seed=9)
    asking = [start("recommend", query, "--allow-paid", "--format", "jsonl") for _ in range(3)]
    answers = [process.communicate(timeout=60)[0] for process in asking]
    assert [process.returncode for process in asking] == [0, 0, 0], answers
    rows = [[line for line in answer.splitlines() if line[0] == "{"] for answer in answers]
    assert len({json.loads(lines[0])["filename"] for lines in rows}) == 1
    assert len(cloud.labs.tasks) == 3
    assert sum("were paid for" in answer for answer in answers) == 1


def test_a_query_beside_embed_takes_what_embed_pays_for(cloud: Cloud) -> None:
    cloud.videos(3)
    vidrec("embed", cloud.folder / "000.mp4")
    vidrec("index")
    cloud.labs.polls = 6
    query = cloud.folder / "002.mp4"
    running = [
        start("embed", cloud.folder, "--jobs", 2),
        start("recommend", query, "--allow-paid", "--format", "jsonl"),
    ]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert set(cloud.labs.created().values()) == {1} and len(cloud.labs.tasks) == 3
    assert hash_file(query) in embedded()


def test_whoever_waits_takes_over_from_one_that_was_killed(cloud: Cloud, tmp_path: Path) -> None:
    cloud.videos(1)
    vidrec("embed", cloud.folder)
    vidrec("index")
    cloud.labs.polls = 100_000
    query = write_video(tmp_path / "query.mp4", seconds=5, seed=9)
    first = start("recommend", query, "--allow-paid")
    while len(cloud.labs.tasks) < 2:
        assert first.poll() is None
    second = start("recommend", query, "--allow-paid", "--format", "jsonl")
    assert second.stdout is not None
    waits = f"another vidrec (process {first.pid}) works on query.mp4"
    assert second.stdout.readline().startswith(waits)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    for task in cloud.labs.tasks.values():
        task.polls_left = 0
    output = second.communicate(timeout=60)[0]
    assert second.returncode == 0, output
    assert len(cloud.labs.tasks) == 2


def test_a_run_that_waits_for_another_says_so(tmp_path: Path) -> None:
    with Library(tmp_path / "library") as library, library.lock("embed-conse"):
        words = [sys.executable, "-m", "vidrec", "embed", "--wait", str(tmp_path)]
        waiting = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert waiting.stderr is not None
        said = waiting.stderr.readline().decode()
        assert waiting.poll() is None
    assert said.startswith("waiting for another `vidrec embed` on")
    assert f"(process {os.getpid()})" in said
    assert waiting.wait(60) == 0
    waiting.stderr.close()
