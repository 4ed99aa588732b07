"""Patience with the service: limits, outages, waits."""

# ruff: noqa: F811
from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

import pytest

from tests.marengo_bench import CREATE, POLL, TEXT, Bench, FastClock, bench, forest, service  # noqa: F401
from vidrec.embedders.marengo.client import Pace
from vidrec.errors import EmbedderError, QuotaError, TransientError


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
