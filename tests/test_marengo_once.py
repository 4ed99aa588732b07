"""Never paid twice: lost answers, runs that are cut off, jobs that are gone."""

# ruff: noqa: F811
from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.marengo_bench import CREATE, POLL, TEXT, Bench, FastClock, bench, forest, service  # noqa: F401
from tests.tiny_video import write_video
from vidrec.config import load_settings
from vidrec.embedders.base import EmbedContext
from vidrec.embedders.marengo.embedder import MarengoEmbedder
from vidrec.errors import OutageError, TransientError
from vidrec.ingest.scan import hash_file
from vidrec.library.jobs import CatalogJobs

LIST = "^GET /embed-v2/tasks$"


@pytest.mark.parametrize("kind", ["drop", "500", "500-nested", "502", "garbage"])
def test_a_creation_without_answer_is_looked_for_first(bench: Bench, kind: str) -> None:
    bench.service.fault(kind, CREATE, after=True)
    assert bench.embed().error is None
    assert bench.created == 1
    assert bench.service.calls("GET", "^/embed-v2/tasks$")


@pytest.mark.parametrize("kind", ["drop", "500", "502", "garbage"])
def test_a_creation_that_did_not_happen_is_repeated(bench: Bench, kind: str) -> None:
    bench.service.fault(kind, CREATE, after=False)
    assert bench.embed().error is None
    assert bench.created == 1
    assert sum(bench.time.slept) >= 15  # a second look was taken before asking again


@pytest.mark.parametrize("after", [False, True])
def test_a_creation_that_outlasts_the_patience_is_looked_for_until_it_settles(
    bench: Bench, after: bool
) -> None:
    """The client hangs up; the service goes on and creates the job."""
    bench.service.fault("slow", CREATE, after=after, seconds=0.8)
    bench.service.clock = time.time
    changes = {"timeout_sec": 0.3, "settle_sec": 1.5, "poll_sec": 0.05}
    overrides = {f"marengo.{name}": value for name, value in changes.items()}
    embedder = MarengoEmbedder(load_settings(overrides=overrides))
    context = EmbedContext(jobs=CatalogJobs(bench.library))
    (outcome,) = embedder.embed_videos([bench.video], context)
    assert outcome.error is None
    assert bench.created == 1


def test_a_service_that_makes_no_jobs_ends_the_run(bench: Bench) -> None:
    bench.service.fault("500", CREATE, times=None)
    videos = [replace(bench.video, id=f"{number:064}") for number in range(50)]
    context = EmbedContext(jobs=CatalogJobs(bench.library))
    with pytest.raises(OutageError, match="no clear answer"):
        list(bench.embedder(jobs=1).embed_videos(videos, context))
    assert len(bench.service.calls("POST", CREATE.split()[1])) == 3 * 4


@pytest.mark.parametrize("lag", [20.0, 100.0])
def test_a_job_that_is_listed_late_is_found(bench: Bench, lag: float) -> None:
    bench.service.lists_after = lag
    bench.service.fault("drop", CREATE, after=True)
    assert bench.embed().error is None
    assert bench.created == 1


@pytest.mark.parametrize("lag", [300.0, 5000.0])
def test_a_list_that_lacks_later_jobs_proves_nothing(
    bench: Bench, tmp_path: Path, lag: float
) -> None:
    """Another video's job, asked for after the lost one, tells how far the list is."""
    bench.service.lists_after = lag
    bench.service.fault("drop", CREATE, after=True)
    bench.service.fault("drop", LIST, times=None)
    assert isinstance(bench.embed().error, TransientError)
    bench.service.faults.clear()
    lost = bench.video
    path = write_video(tmp_path / "kitchen.mp4", seconds=14, seed=3)
    bench.video = replace(lost, id=hash_file(path), path=path)
    assert bench.embed().error is None and bench.created == 2
    bench.video = lost
    again = bench.embed()
    assert (again.error is None) is (lag < 600)
    assert "does not list its latest jobs yet" in str(again.error) or lag < 600
    bench.time.time += lag
    assert bench.embed().error is None
    assert bench.created == 2


@pytest.mark.parametrize("kind", ["429", "429-empty", "503"])
def test_a_creation_that_was_refused_is_repeated(bench: Bench, kind: str) -> None:
    bench.service.fault(kind, CREATE, times=3)
    assert bench.embed().error is None
    assert bench.created == 1


def test_a_run_cut_off_before_its_id_was_known_finds_its_job(bench: Bench) -> None:
    """The process dies between the service's work and the answer."""
    bench.service.fault("drop", CREATE, after=True)
    bench.service.fault("drop", "^GET /embed-v2/tasks$", times=None)
    assert isinstance(bench.embed().error, TransientError)
    assert bench.created == 1
    bench.service.faults.clear()
    assert bench.embed().error is None
    assert bench.created == 1


def test_a_job_is_on_disk_before_its_first_poll(bench: Bench) -> None:
    seen: list[tuple[str, str | None]] = []

    def look() -> None:
        with sqlite3.connect(bench.library.folder / "catalog.sqlite3") as db:
            seen.extend(db.execute("SELECT state, job_id FROM jobs").fetchall())

    bench.time.on_sleep = look
    assert bench.embed().error is None
    (task,) = bench.service.tasks
    assert ("running", task) in seen


def test_an_answer_is_kept_until_its_embeddings_are_stored(bench: Bench) -> None:
    embedder = bench.embedder()
    context = EmbedContext(jobs=CatalogJobs(bench.library))
    run = embedder.embed_videos([bench.video], context)
    first = next(run)
    run.close()  # the consumer died before it stored anything
    bench.service.log.clear()
    again = bench.embed()
    assert not bench.service.log
    assert [e.point_id for e in again.embeddings] == [e.point_id for e in first.embeddings]


def test_another_option_of_the_same_job_costs_nothing(bench: Bench) -> None:
    assert bench.embed().error is None
    assert bench.embed(option="audio").error is None
    assert bench.created == 1


def test_force_pays_again_but_not_for_what_still_runs(bench: Bench) -> None:
    bench.service.polls = 10_000
    assert isinstance(bench.embed().error, TransientError)
    (task,) = bench.service.tasks.values()
    task.polls_left = 0
    assert bench.embed(force=True).error is None
    assert bench.created == 1
    bench.service.polls = 0
    assert bench.embed(force=True).error is None
    assert bench.created == 2


def test_an_expired_result_is_made_again(bench: Bench) -> None:
    bench.service.fault("500", POLL, times=None)
    bench.embed()
    bench.service.faults.clear()
    bench.time.time += 8 * 24 * 3600
    assert bench.embedder().pays_for(bench.video, EmbedContext(jobs=CatalogJobs(bench.library)))
    assert bench.embed().error is None
    assert bench.created == 2


def test_a_forgotten_id_is_made_again(bench: Bench) -> None:
    bench.service.fault("forget", POLL, times=2)
    assert bench.embed().error is None
    assert bench.created == 1  # a job just made may not be visible at once
    bench.service.fault("forget", POLL)
    bench.time.time += 3600
    assert bench.embed(option="audio").error is None
    assert bench.created == 2


def test_a_slow_job_is_waited_for_with_growing_pauses(bench: Bench) -> None:
    bench.service.polls = 8
    bench.service.fault("unknown-status", CREATE)
    assert bench.embed().error is None
    polls = [entry.at for entry in bench.service.calls("GET", "^/embed-v2/tasks/")]
    gaps = np.diff(polls)
    assert len(polls) == 9
    assert (np.diff(gaps) > -0.3).all() and gaps[0] >= 5 and 25 < gaps[-1] <= 31


def test_a_job_that_never_ends_is_taken_up_by_the_next_run(bench: Bench) -> None:
    bench.service.polls = 10_000
    outcome = bench.embed()
    assert isinstance(outcome.error, TransientError) and "run again" in str(outcome.error)
    (task,) = bench.service.tasks.values()
    task.polls_left = 0
    assert bench.embed().error is None
    assert bench.created == 1
