"""Caps on what is paid for: hard, and told as it happened."""

# ruff: noqa: F811
from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cloud import BUCKET, Cloud, cloud, embedded, vidrec  # noqa: F401
from tests.tiny_video import write_video
from vidrec.config import load_settings
from vidrec.errors import OverCapError
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.library.jobs import Allowance, CatalogJobs, Job


def billed(cloud: Cloud) -> float:
    """The minutes that the service was asked to look at."""
    return sum(task.duration for task in cloud.labs.tasks.values()) / 60


def spent() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(vidrec("usage", "--format", "json").stdout)["spent"]
    return rows


def test_no_number_of_runs_at_once_passes_a_monthly_cap(tmp_path: Path) -> None:
    with Library(tmp_path) as library:

        def reserve(number: int) -> bool:
            jobs = CatalogJobs(library, Allowance(month_minutes=1.0))
            job = Job(f"{number:064}", "m:m:1:a", "creating", created_at=1e9, minutes=0.3)
            assert jobs.claim(job.video_id, job.fingerprint) is None
            try:
                jobs.reserve(job)
            except OverCapError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(reserve, range(20))) == 3
        later = CatalogJobs(library, Allowance(month_minutes=1.0))
        assert later.room(1e9) == pytest.approx(0.1)
        assert later.room(1e9 + 31 * 86_400) == 1.0
        lost = Job(f"{0:064}", "m:m:1:a", "creating")
        for number in range(20):
            later.unmade(Job(f"{number:064}", lost.fingerprint, "creating"))
        assert later.room(1e9) == 1.0


def test_a_repaired_copy_counts_by_its_own_length(cloud: Cloud) -> None:
    for number in range(4):  # shown twice: 4.6 s each
        write_video(cloud.folder / f"{number}.mp4", seconds=2.3, fps=10, seed=number)
    copies = 4.6 / 60
    planned = vidrec("embed", cloud.folder, "--repair", "--max-minutes", 0.2, "--dry-run").output
    assert "would pay for 2 jobs, 0.2 minutes" in planned and "2 left" in planned
    output = vidrec("embed", cloud.folder, "--repair", "--max-minutes", 0.2).output
    assert "2 paid jobs, 0.2 minutes" in output and "2 left by --max-minutes" in output
    assert len(cloud.labs.tasks) == 2 and 2 * copies <= billed(cloud) <= 0.2
    (row,) = spent()
    assert row["jobs"] == 2 and row["minutes"] == pytest.approx(billed(cloud))


def test_a_job_that_the_service_has_lost_is_not_made_again_over_the_cap(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_MARENGO_PATIENCE_SEC", "0.3")
    cloud.videos(3)
    cloud.labs.polls = 100_000
    assert "run again later" in vidrec("embed", cloud.folder, code=4).output
    cloud.labs.tasks.clear()
    cloud.labs.polls = 1
    time.sleep(4.5)  # a job that was just made may not be visible at once
    output = vidrec("embed", cloud.folder, "--max-minutes", 0).output
    assert "3 left by --max-minutes" in output and not cloud.labs.tasks
    assert "2 left by" in vidrec("embed", cloud.folder, "--max-minutes", 0.07).output
    assert len(cloud.labs.tasks) == 1


def test_a_job_of_another_account_is_never_paid_again(cloud: Cloud) -> None:
    cloud.videos(2)
    cloud.labs.fault("500", "^GET /embed-v2/tasks/", times=None)
    process = subprocess.Popen(
        [sys.executable, "-m", "vidrec", "embed", str(cloud.folder)], stderr=subprocess.DEVNULL
    )
    while len(cloud.labs.calls("GET", "/embed-v2/tasks/")) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    cloud.labs.faults.clear()
    cloud.labs.fault("403", "^GET /embed-v2/tasks/", times=None)
    output = vidrec("embed", cloud.folder, code=4).output
    assert "cannot be read" in output and len(cloud.labs.tasks) == 2
    cloud.labs.faults.clear()
    vidrec("embed", cloud.folder)  # the failure was none of the video's
    assert len(cloud.labs.tasks) == 2 and len(embedded()) == 2


def test_nothing_is_told_of_what_was_not_made(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.videos(2)
    cloud.labs.fault("401", "^POST /embed-v2/tasks$", times=None)
    vidrec("embed", cloud.folder, code=1)
    cloud.labs.faults.clear()
    monkeypatch.setenv("VIDREC_MARENGO_PATIENCE_SEC", "0.2")
    base = cloud.labs.url
    monkeypatch.setenv("VIDREC_MARENGO_BASE_URL", "http://127.0.0.1:9/v1.3")
    vidrec("embed", cloud.folder, code=4)
    assert spent() == []
    monkeypatch.setenv("VIDREC_MARENGO_BASE_URL", base)
    monkeypatch.setenv("VIDREC_MARENGO_PRICE_VIDEO_MINUTE", "3")
    assert "2 paid jobs, 0.1 minutes, $0.40" in vidrec("embed", cloud.folder).output
    assert "0 paid jobs, 0.0 minutes, $0.00" in vidrec("embed", cloud.folder).output


def test_a_dry_run_counts_remote_videos_too(cloud: Cloud) -> None:
    cloud.videos(5)
    vidrec("upload", cloud.folder)
    Path(load_settings().library, "catalog.sqlite3").unlink()
    output = vidrec("embed", f"s3://{BUCKET}/vidrec/", "--dry-run").output
    assert "would pay for 5 jobs, at least 0.3 minutes" in output
    assert not cloud.labs.log
    vidrec("embed", f"s3://{BUCKET}/vidrec/")
    assert len(cloud.labs.tasks) == 5


def test_an_object_that_is_not_there_costs_no_job(cloud: Cloud) -> None:
    paths = cloud.videos(2)
    vidrec("upload", cloud.folder)
    cloud.client.delete_object(Bucket=BUCKET, Key=f"vidrec/{hash_file(paths[0])}.mp4")
    output = vidrec("embed", cloud.folder, code=4).output
    assert "is not there" in output and "vidrec upload" in output
    assert embedded() == {hash_file(paths[1])} and len(cloud.labs.tasks) == 1
    assert "uploaded 1 video," in vidrec("upload", cloud.folder).output
    vidrec("embed", cloud.folder)
    assert len(cloud.labs.tasks) == 2


def test_above_the_threshold_leave_is_needed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.videos(4)
    monkeypatch.setenv("VIDREC_PAID_ASK_MINUTES", "0.15")
    output = vidrec("embed", cloud.folder, code=4).output
    assert "2 left by [paid] ask_minutes (--allow-paid pays for them)" in output
    assert len(cloud.labs.tasks) == 2
    monkeypatch.setenv("VIDREC_PAID_MONTH_MINUTES", "0.2")
    output = vidrec("embed", cloud.folder, "--allow-paid", code=4).output
    assert "1 left by [paid] month_minutes" in output and len(cloud.labs.tasks) == 3
    assert "0.20 minutes this month of at most 0.2" in vidrec("usage", "--format", "table").output
    monkeypatch.delenv("VIDREC_PAID_MONTH_MINUTES")
    vidrec("embed", cloud.folder, "--allow-paid")
    assert len(cloud.labs.tasks) == 4


@pytest.mark.parametrize("made", [False, True])
def test_a_lost_job_is_settled_though_its_minutes_fill_the_cap(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    cloud.videos(1)
    monkeypatch.setenv("VIDREC_PAID_MONTH_MINUTES", "0.1")
    monkeypatch.setenv("VIDREC_MARENGO_PATIENCE_SEC", "0.5")
    monkeypatch.setenv("VIDREC_MARENGO_SETTLE_SEC", "0.5")
    cloud.labs.fault("drop", "^POST /embed-v2/tasks$", times=None, after=made)
    cloud.labs.fault("drop", "^GET /embed-v2/tasks$", times=None)
    output = vidrec("embed", cloud.folder, code=4).output
    assert "1 of unclear fate counted" in output and len(cloud.labs.assets) == 1
    cloud.labs.faults.clear()
    vidrec("embed", cloud.folder)
    assert len(embedded()) == len(cloud.labs.tasks) == 1 and not cloud.labs.assets
    assert billed(cloud) <= 0.1


def test_a_query_that_costs_needs_leave(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.videos(1)
    vidrec("embed", cloud.folder)
    vidrec("index")
    query = write_video(tmp_path / "query.mp4", seconds=5, seed=9)
    output = vidrec("recommend", query, code=2).output
    assert "0.08 minutes of footage" in output and "--allow-paid" in output
    assert len(cloud.labs.tasks) == 1
    for answer, code, tasks in (("n", 2, 1), ("y", 0, 2)):
        assert on_a_terminal(["recommend", str(query)], answer) == code
        assert len(cloud.labs.tasks) == tasks
    vidrec("recommend", query)  # it is paid for
    other = write_video(tmp_path / "other.mp4", seconds=5, seed=8)
    monkeypatch.setenv("VIDREC_PAID_MONTH_MINUTES", "0.1")
    assert "month_minutes" in vidrec("recommend", other, "--allow-paid", code=1).output
    assert len(cloud.labs.tasks) == 2


def test_embed_asks_on_a_terminal_above_the_threshold(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.videos(6)
    monkeypatch.setenv("VIDREC_PAID_ASK_MINUTES", "0.15")
    for answer, code, tasks in (("n", 4, 2), ("y", 0, 6)):
        assert on_a_terminal(["embed", str(cloud.folder)], answer) == code
        assert len(cloud.labs.tasks) == tasks


def on_a_terminal(words: list[str], answer: str) -> int:
    """Run a command on a terminal, answer its question, and return its exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vidrec", *words], stdin=theirs, stderr=theirs,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while b"[y/N]" not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, answer.encode() + b"\n")
        while process.poll() is None:
            try:
                os.read(ours, 1000)
            except OSError:
                break
        return process.wait(timeout=30)
    finally:
        process.kill()
        os.close(ours)
