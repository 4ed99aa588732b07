"""Metrics for Prometheus: how much is asked, how long it takes, what the process uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.responses import Response

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def metrics_of(
    told: Mapping[str, tuple[str, Callable[[], float]]],
) -> tuple[APIRouter, Callable[[str, int, float], None]]:
    """Return the route that sends an application's metrics, and what counts its requests.

    ``told`` are numbers told as they are whenever they are asked for, by name: with what they are.
    Who counts is told the route, the status and the seconds of each request.
    """
    registry, router = CollectorRegistry(), APIRouter()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    for name, (said, value) in told.items():
        Gauge(f"vidrec_{name}", said, registry=registry).set_function(value)
    requests = Counter("vidrec_requests", "Requests", ("route", "status"), registry=registry)
    lasted = Histogram(
        "vidrec_request_seconds", "How long requests took", ("route",), registry=registry,
        buckets=_SECONDS,
    )  # fmt: skip

    def seen(route: str, status: int, seconds: float) -> None:
        requests.labels(route, str(status)).inc()
        lasted.labels(route).observe(seconds)

    @router.get("/metrics", include_in_schema=False)
    async def show() -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router, seen
