"""Metrics for Prometheus: how much is asked, how long it takes, what the process uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
from starlette.responses import PlainTextResponse, Response

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass
class Metrics:
    """Counts requests by route and status; every application has numbers of its own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    router: APIRouter = field(default_factory=APIRouter)
    _requests: Any = None
    _seconds: Any = None

    def __post_init__(self) -> None:
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "vidrec_requests", "Requests", ("route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "vidrec_request_seconds", "How long requests took", ("route",),
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self.router.add_api_route(
            "/metrics", self.show, include_in_schema=False, response_class=Response
        )

    def watch(self, name: str, said: str, value: Callable[[], float]) -> None:
        """Tell a number as it is whenever it is asked for."""
        Gauge(f"vidrec_{name}", said, registry=self.registry).set_function(value)

    def seen(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    async def show(self) -> Response:
        """Send the metrics as text."""
        text = generate_latest(self.registry)
        return PlainTextResponse(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
