"""Patience with the service: limits, outages, waits."""

# ruff: noqa: F811
from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.marengo_bench import CREATE, POLL, TEXT, Bench, FastClock, bench, forest, service  # noqa: F401
from vidrec.embedders.base import EmbedContext
from vidrec.embedders.marengo.pace import Pace
from vidrec.errors import EmbedderError, OutageError, QuotaError, TransientError
from vidrec.library.jobs import CatalogJobs


@pytest.mark.parametrize(
    "kind", ["429", "429-bare", "429-empty", "500", "500-nested", "502", "503", "drop", "garbage"]
)
def test_a_passing_trouble_is_sat_out(bench: Bench, kind: str) -> None:
    for route in (TEXT, POLL):
        bench.service.fault(kind, route, times=2)
    assert bench.embedder().embed_texts(["a"])[0].shape == (512,)
    assert bench.embed().error is None
    assert bench.created == 1


def test_retry_after_is_honoured(bench: Bench) -> None:
    bench.service.fault("429", TEXT, seconds=17)
    before = bench.time.time
    bench.embedder().embed_texts(["a"])[0]
    assert 17 <= bench.time.time - before < 18


def test_a_date_and_the_rate_limit_headers_are_honoured(bench: Bench) -> None:
    embedder = bench.embedder()
    reset = bench.time.time + 40
    bench.service.headers = {"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": f"{reset:.0f}"}
    embedder.embed_texts(["the last one that is allowed"])[0]
    assert bench.time.time < reset - 30
    bench.service.headers = {"Retry-After": formatdate(reset + 30, usegmt=True)}
    bench.service.fault("429-empty", TEXT)
    embedder.embed_texts(["waits for the limit, is refused, and waits for the date"])[0]
    assert reset + 29 <= bench.time.time < reset + 35


def test_a_long_rate_limit_says_when_to_come_back(bench: Bench) -> None:
    bench.service.fault("429", CREATE, seconds=7200, times=None)
    with pytest.raises(QuotaError, match=r"come back at \d{4}-\d\d-\d\d \d\d:\d\d"):
        bench.embed()
    assert bench.time.time < 1_800_000_010


def test_used_up_credit_ends_the_run(bench: Bench) -> None:
    bench.service.fault("quota", CREATE)
    with pytest.raises(QuotaError, match="is used up"):
        bench.embed()


def test_a_lasting_trouble_is_left_to_a_later_run(bench: Bench) -> None:
    bench.service.fault("500", POLL, times=None)
    outcome = bench.embed()
    assert isinstance(outcome.error, TransientError)
    bench.service.faults.clear()
    assert bench.embed().error is None
    assert bench.created == 1


def test_a_revoked_key_ends_the_run(bench: Bench) -> None:
    bench.service.fault("401", POLL)
    with pytest.raises(EmbedderError, match="refuses the API key"):
        bench.embed()
    assert bench.embed().error is None
    assert bench.created == 1


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    fast = FastClock()
    days = iter(range(100))
    clock = replace(fast.clock(), now=lambda: fast.time - 86_400.0 * next(days))
    pace = Pace(60, clock)
    for _ in range(3):
        pace.wait()
    clock.wait(5.0)
    assert sum(fast.slept) == pytest.approx(2 * 1.02 + 5.0)


def test_a_busy_service_is_asked_as_long_as_patience_lasts(bench: Bench) -> None:
    bench.service.fault("429", ".", times=25, seconds=9)
    assert bench.embed().error is None
    bench.service.fault("429", ".", times=None, seconds=9)
    with pytest.raises(QuotaError, match="come back later"):
        bench.embed(option="audio", model="marengo3.0")
    assert bench.created == 1


@pytest.mark.parametrize("kind", ["429", "503-after"])
def test_whoever_is_told_to_wait_makes_all_wait(bench: Bench, kind: str) -> None:
    """Two that share a library, as two processes do."""
    bench.service.fault(kind, TEXT, seconds=30)
    one, other = bench.embedder(), bench.embedder()
    begun = bench.time.time

    def ask_beside() -> None:
        bench.time.on_sleep = lambda: None
        other.embed_texts(["b"])

    bench.time.on_sleep = ask_beside  # as soon as the first one waits
    one.embed_texts(["a"])
    asked = [entry.at - begun for entry in bench.service.calls("POST", "^/embed-v2$")]
    assert len(asked) == 3 and asked[0] < 1 and min(asked[1:]) >= 30


def test_a_library_has_one_pace(bench: Bench) -> None:
    both = [bench.embedder(rpm=60), bench.embedder(rpm=60)]
    begun = bench.time.time
    for number in range(10):
        both[number % 2].embed_texts([f"text {number}"])
    assert 9 <= bench.time.time - begun < 11


def test_a_pace_without_a_file_to_share_is_kept_all_the_same(tmp_path: Path) -> None:
    fast = FastClock()
    (tmp_path / "broken").write_bytes(b"no places")
    for file in (tmp_path / "gone" / "pace", tmp_path / "broken", None):
        pace, begun = Pace(60, fast.clock(), file), fast.time
        for _ in range(4):
            pace.wait()
        assert 3 <= fast.time - begun < 4
    assert not (tmp_path / "gone").exists()


def test_processes_share_a_pace(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from vidrec.embedders.marengo.pace import Clock, Pace\n"
        "pace = Pace(600, Clock(), Path(sys.argv[1]))\n"
        "for _ in range(7):\n    pace.wait()\n    print(time.monotonic())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "pace")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    times = sorted(float(t) for process in running for t in process.communicate()[0].split())
    assert len(times) == 21
    assert times[-1] - times[0] >= 18 * 60 / 600  # the first may be told late


def test_a_service_that_is_down_ends_the_run_after_a_few_videos(bench: Bench) -> None:
    bench.service.fault("500", ".", times=None)
    jobs = CatalogJobs(bench.library)
    videos = [replace(bench.video, id=f"{number:064}") for number in range(50)]
    outcomes = []
    with pytest.raises(OutageError, match="run again later"):
        outcomes += list(bench.embedder().embed_videos(videos, EmbedContext(jobs=jobs)))
    assert len({entry.at for entry in bench.service.log}) <= 3 * 9
    assert bench.time.time - 1_800_000_000 < 900
    bench.service.faults.clear()
    assert bench.embed().error is None


def test_a_permanent_answer_is_not_asked_for_again(bench: Bench) -> None:
    bench.service.fault("501", TEXT, times=None)
    with pytest.raises(OutageError, match=r"HTTP 501.*base_url"):
        bench.embedder().embed_texts(["a"])
    assert len(bench.service.log) == 1


@pytest.mark.parametrize("kind", ["500", "429", "drop"])
def test_a_wait_is_told(bench: Bench, kind: str) -> None:
    bench.service.fault(kind, TEXT, times=5, seconds=1.5)
    embedder, lines = bench.embedder(), list[str]()
    embedder.say = lines.append
    embedder.embed_texts(["a"])
    assert lines and all("\n" not in line for line in lines)
    (line,) = [line for line in lines if "trying again" in line]
    assert re.search(r"Tried \w+.* to embed the text; .*until \d\d:\d\d:\d\d", line)


def test_a_short_wait_is_not_told(bench: Bench) -> None:
    bench.service.fault("500", TEXT)
    embedder, lines = bench.embedder(), list[str]()
    embedder.say = lines.append
    embedder.embed_texts(["a"])
    assert lines == []


def test_a_job_that_is_waited_for_is_named(bench: Bench) -> None:
    bench.service.polls = 10
    embedder, lines = bench.embedder(), list[str]()
    embedder.say = lines.append
    context = EmbedContext(jobs=CatalogJobs(bench.library))
    (outcome,) = embedder.embed_videos([bench.video], context)
    (task_id,) = bench.service.tasks
    assert outcome.error is None
    assert f"job {task_id} (dark forest.mp4): processing" in lines[0]
    assert len(lines) < 10
