"""`vidrec jobs`: what was asked for and what became of it, giving up, files left behind."""

# ruff: noqa: F811
from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from tests.cloud import Cloud, cloud, embedded, start, vidrec  # noqa: F401
from vidrec.config import load_settings
from vidrec.library import Library


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_MARENGO_PATIENCE_SEC", "1")


def rows(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in vidrec("jobs", *words).stdout.splitlines()]


def killed(cloud: Cloud, route: str, count: int = 1) -> None:
    """Run `embed` and kill it once so many requests of a route have been made."""
    before = len(cloud.labs.calls(*route.split()))
    process = start("embed", cloud.folder)
    while len(cloud.labs.calls(*route.split())) < before + count:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_job_is_listed_until_it_is_stored(cloud: Cloud) -> None:
    (path,) = cloud.videos(1)
    cloud.labs.polls = 100_000
    process = start("embed", path)
    while not cloud.labs.calls("GET", "/embed-v2/tasks/."):
        assert process.poll() is None
        time.sleep(0.01)
    (row,) = rows()
    (task,) = cloud.labs.tasks.values()
    assert (row["job_id"], row["state"], row["filename"]) == (task.id, "running", "000.mp4")
    assert row["process"] == str(process.pid) and not row["stuck"]
    assert row["minutes"] == pytest.approx(4 / 60) and 0 <= row["age_sec"] < 60
    assert "works on the job" in vidrec("jobs", "--give-up", task.id, code=5).output
    process.kill()
    process.communicate()
    assert rows()[0]["process"] is None
    assert "running" in vidrec("jobs", "--format", "table").stdout
    task.polls_left = 0
    vidrec("embed", path)
    assert rows() == [] and len(rows("--all")) == 1
    assert "nothing to give up" in vidrec("jobs", "--give-up", task.id, code=2).output
    assert "no such job" in vidrec("jobs", "--give-up", "nonsense", code=2).output


def test_a_useless_answer_can_be_given_up(cloud: Cloud) -> None:
    (path,) = cloud.videos(1)
    cloud.labs.fault("empty", "POST /embed-v2/tasks")
    assert "no visual embedding" in vidrec("embed", path, code=4).output
    (row,) = rows()
    assert row["stuck"] and "no visual embedding" in row["problem"]
    assert "no visual embedding" in vidrec("embed", path, "--retry-failed", code=4).output
    assert len(cloud.labs.tasks) == 1
    vidrec("jobs", "--give-up", row["job_id"][:8])
    vidrec("embed", path, "--retry-failed")
    assert len(embedded()) == 1 and len(cloud.labs.tasks) == 2
    (spent,) = json.loads(vidrec("usage", "--format", "json").stdout)["spent"]
    assert spent["jobs"] == 2


def test_a_job_that_never_ends_can_be_given_up(cloud: Cloud) -> None:
    (path,) = cloud.videos(1)
    cloud.labs.polls = 100_000
    assert "run again later" in vidrec("embed", path, code=4).output
    cloud.labs.polls = 1
    vidrec("jobs", "--give-up", rows()[0]["video_id"][:12])
    vidrec("embed", path)
    assert len(embedded()) == 1 and len(cloud.labs.tasks) == 2


def test_a_lost_job_that_nobody_can_tell_is_given_up(cloud: Cloud) -> None:
    (path,) = cloud.videos(1)
    cloud.labs.tells = "none"
    cloud.labs.fault("drop", "POST /embed-v2/tasks", after=True)
    assert "does not say what it reads" in vidrec("embed", path, code=4).output
    (row,) = rows()
    assert row["state"] == "creating" and row["job_id"] is None
    (spent,) = json.loads(vidrec("usage", "--format", "json").stdout)["spent"]
    assert (spent["jobs"], spent["unclear"]) == (0, 1)
    vidrec("jobs", "--give-up", row["video_id"][:12])
    vidrec("embed", path)
    (spent,) = json.loads(vidrec("usage", "--format", "json").stdout)["spent"]
    assert (spent["jobs"], spent["unclear"]) == (1, 1)  # both were asked for
    assert len(cloud.labs.tasks) == 2


@pytest.mark.parametrize(
    ("route", "done"),
    [
        ("POST ^/assets$", 1),
        ("GET ^/assets/", 1),
        ("POST ^/embed-v2/tasks$", 1),
        ("GET ^/embed-v2/tasks/", 1),
        ("DELETE ^/assets/", 1),
    ],
)
def test_no_kill_leaves_a_file_behind(cloud: Cloud, route: str, done: int) -> None:
    cloud.videos(2)
    cloud.labs.polls = 3
    for _ in range(3):
        if len(cloud.labs.tasks) < 2 or route.startswith(("GET ^/embed", "DELETE")):
            try:
                killed(cloud, route, done)
            except AssertionError:
                break  # it had come to its end
    vidrec("embed", cloud.folder)
    assert cloud.labs.assets == {}
    assert len(embedded()) == 2 and set(cloud.labs.created().values()) == {1}
    with Library(load_settings().library) as library:
        assert library.read("SELECT count(*) FROM sent") == [(0,)]


def test_files_that_are_left_are_listed_and_deleted(cloud: Cloud) -> None:
    cloud.videos(2)
    cloud.labs.fault("500", "DELETE", times=None)
    cloud.labs.fault("failed", "POST /embed-v2/tasks")
    vidrec("embed", cloud.folder, code=4)
    assert len(cloud.labs.assets) == 2
    assert any(row["file"] for row in rows("--all"))
    done = vidrec("jobs", "--clean-assets", code=4)
    assert "deleted 0 files" in done.stderr and done.stderr.count("left: ") == 2
    cloud.labs.faults.clear()
    assert "deleted 2 files" in vidrec("jobs", "--clean-assets").stderr
    assert cloud.labs.assets == {}


def test_a_file_that_an_open_job_reads_is_kept(cloud: Cloud) -> None:
    cloud.videos(1)
    cloud.labs.polls = 100_000
    vidrec("embed", cloud.folder, code=4)
    done = vidrec("jobs", "--clean-assets", code=4)
    assert "an open job reads it" in done.stderr and len(cloud.labs.assets) == 1
    vidrec("jobs", "--give-up", rows()[0]["job_id"])
    vidrec("jobs", "--clean-assets")
    assert cloud.labs.assets == {}


def test_a_file_of_another_library_is_let_be(cloud: Cloud) -> None:
    (path,) = cloud.videos(1)
    other = {"_id": "0" * 24, "filename": f"{path.stem}.mp4", "status": "ready", "content": b""}
    cloud.labs.assets[other["_id"]] = other  # type: ignore[index]
    cloud.labs.fault("drop", "POST ^/assets$", after=True)
    vidrec("embed", cloud.folder)
    assert list(cloud.labs.assets) == [other["_id"]]


def test_the_signs_of_dead_processes_do_not_pile_up(cloud: Cloud) -> None:
    cloud.videos(1)
    cloud.labs.polls = 1000
    for _ in range(3):
        killed(cloud, "GET ^/embed-v2/tasks/")
    signs = [name for name in load_settings().library.glob("claims-*")]
    assert len(signs) <= 4  # a lock and who holds it, of this process and of the last one
