"""What can go wrong with a Qdrant server, as one line each; waiting and trying again.

The client retries only ``upload_points``, at once and without waiting. Every request of vidrec
can be repeated without harm (ids are fixed, aliases are set, not toggled), so all are: on 429 as
long as the server says, on a gateway error, a time-out or a dropped connection with growing
pauses. The first request of all is different: where nothing answers, the address is wrong.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from vidrec.errors import StoreError
from vidrec.files import parsed_json
from vidrec.stores.qdrant.engine import RefusedError, TooLargeError, UnindexedError
from vidrec.urls import without_secrets

T = TypeVar("T")

PASSING = frozenset({408, 429, 502, 503, 504})
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0
LIBRARY_ERRORS = (
    UnexpectedResponse, ResponseHandlingException, QdrantException, grpc.RpcError,
    httpx.HTTPError, httpx.InvalidURL, ValidationError, ValueError, OSError, MemoryError,
    AssertionError,  # of an answer without a result
)  # fmt: skip


class Patience:
    """Carries out requests, waits and tries again where that can help."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.answered = False

    def __call__(self, request: Callable[[], T], seconds: float) -> T:
        """Return the request's answer; it may be tried again for so many seconds.

        Raises:
            StoreError: it failed for good, or too long.
        """
        started = time.monotonic()
        pause = FIRST_PAUSE
        while True:
            try:
                answer = request()
            except LIBRARY_ERRORS as exc:
                wait = self._pause(exc, pause)
                left = seconds - (time.monotonic() - started)
                if wait is None or wait > left:
                    raise as_store_error(exc, self.where) from exc
                time.sleep(wait)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.answered = True
                return answer

    def _pause(self, exc: BaseException, pause: float) -> float | None:
        """Return how long to wait before the next try; None if there should be none."""
        if isinstance(exc, ResourceExhaustedResponse):
            self.answered = True
            return float(exc.retry_after_s)
        return pause * random.uniform(0.75, 1.25) if self._may_pass(exc) else None

    def _may_pass(self, exc: BaseException) -> bool:
        if isinstance(exc, UnexpectedResponse):
            return exc.status_code in PASSING
        if isinstance(exc, grpc.RpcError):
            return _grpc_code(exc) in _GRPC_PASSING and self.answered
        source = exc.source if isinstance(exc, ResponseHandlingException) else exc
        if isinstance(source, (httpx.ConnectError, httpx.ConnectTimeout)):
            return self.answered
        unsuitable = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
        return isinstance(source, httpx.TransportError) and not isinstance(source, unsuitable)


_GRPC_PASSING = {
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED,
}  # fmt: skip
_GRPC_STATUS = {
    grpc.StatusCode.NOT_FOUND: 404, grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403, grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.INTERNAL: 500, grpc.StatusCode.FAILED_PRECONDITION: 400,
}  # fmt: skip


def _grpc_code(exc: grpc.RpcError) -> Any:
    return exc.code() if isinstance(exc, grpc.Call) else None


def is_missing(error: BaseException) -> bool:
    """Tell whether a request failed because there is no such collection."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    if isinstance(cause, UnexpectedResponse):
        return cause.status_code == 404 and _says(cause) != ""
    if isinstance(cause, grpc.RpcError):
        return bool(_grpc_code(cause) == grpc.StatusCode.NOT_FOUND)
    return isinstance(cause, ValueError) and "not found" in str(cause)


def _says(exc: UnexpectedResponse) -> str:
    """Return the message in Qdrant's error envelope; empty if it is none."""
    try:
        return str(parsed_json(exc.content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def as_store_error(exc: BaseException, where: str) -> StoreError:
    """Return a library's exception as one line: what, where, what to do."""
    if isinstance(exc, ResourceExhaustedResponse):
        return _by_status(429, str(exc), where)
    if isinstance(exc, UnexpectedResponse):
        return _by_status(exc.status_code or 0, _says(exc), where)
    if isinstance(exc, grpc.RpcError):
        code = _grpc_code(exc)
        says = (exc.details() or "") if isinstance(exc, grpc.Call) else ""
        if code in _GRPC_STATUS:
            return _by_status(_GRPC_STATUS[code], says, where)
        return StoreError(
            f"Qdrant at {where} cannot be reached by gRPC ({_line(says)}): is its gRPC port (6334) "
            "open? prefer_grpc = false uses HTTP"
        )
    source = exc.source if isinstance(exc, ResponseHandlingException) else exc
    if isinstance(source, httpx.HTTPError):
        return _by_transport(source, where)
    strange = (ValidationError, json.JSONDecodeError, UnicodeDecodeError, AssertionError)
    if isinstance(source, strange):
        return StoreError(
            f"what answers at {where} does not speak like Qdrant: check url and port "
            "(HTTP is 6333), and that the server is 1.16 or newer"
        )
    if isinstance(exc, ValueError):
        return RefusedError(f"Qdrant at {where} refused a request: {_line(str(exc))}")
    return StoreError(f"Qdrant at {where} failed: {_line(str(source))}")


def _by_status(status: int, says: str, where: str) -> StoreError:
    lower = says.lower()
    detail = f": {_line(says)}" if says else ""
    if status in (401, 403):
        return StoreError(
            f"Qdrant at {where} refused the API key ({status}): set [qdrant] api_key or "
            "VIDREC_QDRANT_API_KEY to a key of this cluster that may do this"
        )
    if status == 413 or "larger than allowed" in lower or ("upsert" in lower and "limit" in lower):
        return TooLargeError(f"Qdrant at {where} takes no request of that size: {_line(says)}")
    if "index required" in lower:
        return UnindexedError(
            f"Qdrant at {where} filters on indexed keys only (strict mode): {_line(says)}"
        )
    if status == 404 and not says:
        return StoreError(
            f"what answers at {where} is no Qdrant, or one older than 1.16: check url and port"
        )
    if status == 429:
        return StoreError(f"Qdrant at {where} takes no more requests for now (429): run it again")
    if "no space" in lower or "disk" in lower or status == 507:
        return StoreError(
            f"Qdrant at {where} has no room left ({_line(says)}): enlarge its disk, then run it "
            "again; what was written stays"
        )
    if 400 <= status < 500:
        return RefusedError(f"Qdrant at {where} refused a request ({status}){detail}")
    return StoreError(f"Qdrant at {where} failed ({status}){detail}: try it again later")


def _by_transport(source: httpx.HTTPError, where: str) -> StoreError:
    text = _line(str(source)) or type(source).__name__
    if "certificate" in text.lower():
        return StoreError(f"the TLS certificate of Qdrant at {where} is not accepted: {text}")
    if "ssl" in text.lower():
        return StoreError(
            f"Qdrant at {where} does not speak TLS ({text}): is it http:// instead of https://?"
        )
    if isinstance(source, httpx.TimeoutException):
        return StoreError(
            f"Qdrant at {where} did not answer in time: check the address, or raise "
            "[qdrant] timeout"
        )
    if isinstance(source, httpx.ConnectError):
        return StoreError(
            f"cannot reach Qdrant at {where} ({text}): is it running, and are url and port right?"
        )
    return StoreError(
        f"Qdrant at {where} broke the connection ({text}): is this its HTTP port (6333)?"
    )


def _line(text: str) -> str:
    return without_secrets(" ".join(text.split()))[:300]
