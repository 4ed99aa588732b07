"""How a service that stands in for Twelve Labs' goes wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass
class Fault:
    """One way of going wrong: ``kind`` on requests that match ``route``.

    Kinds: ``429`` (with ``Retry-After: seconds``), ``429-bare``, ``429-empty`` (without), ``500``,
    ``500-nested``, ``502``, ``503``, ``503-after`` (with ``Retry-After``), ``400``, ``413``,
    ``501``, ``drop`` (the connection closes unanswered), ``slow`` (answers after ``seconds``),
    ``garbage`` (200, no JSON), ``401``, ``403``, ``quota``, ``forget`` (404). For a task that is
    ready: ``empty``, ``nan``, ``short``, ``zero``, ``failed``, ``retry-later``,
    ``unknown-status``, ``no-duration``. With ``after`` the server does its work before it fails.
    """

    kind: str
    route: str = ""
    times: int | None = 1
    every: int = 1
    after: bool = False
    seconds: float = 0.0
    seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if not re.search(self.route, f"{method} {path}") or self.times == 0:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def answer(self) -> tuple[int, Any, dict[str, str]]:
        """What the service says: status, body, headers."""
        flat = {"code": "internal_server_error", "message": "Something went wrong."}
        limited = {"code": "too_many_requests", "message": "Too many requests."}
        answers: dict[str, tuple[int, Any, dict[str, str]]] = {
            "429": (429, limited, {"Retry-After": f"{self.seconds:g}"}),
            "429-bare": (429, {"error": limited | {"code": "RATE_LIMIT_EXCEEDED"}}, {}),
            "429-empty": (429, b"", {}),
            "500": (500, flat, {}),
            "500-nested": (500, {"error": flat}, {}),
            "502": (502, b"<html><body>Bad gateway</body></html>", {}),
            "503": (503, flat, {}),
            "503-after": (503, flat, {"Retry-After": f"{self.seconds:g}"}),
            "400": (400, {"code": "parameter_invalid", "message": "Not now."}, {}),
            "501": (501, b"not implemented", {}),
            "413": (413, {"code": "content_too_large", "message": "Too large."}, {}),
            "401": (401, {"code": "api_key_invalid", "message": "The API key is invalid."}, {}),
            "403": (403, {"code": "read_not_allowed", "message": "Not your entity."}, {}),
            "quota": (429, {"code": "usage_limit_exceeded", "message": "Free credit used up."}, {}),
            "forget": (404, {"error": {"code": "resource_not_exist", "message": "gone"}}, {}),
            "garbage": (200, b'{"data": [', {}),
        }
        return answers[self.kind]


RESULT_FAULTS = (
    "empty", "nan", "short", "zero", "failed", "retry-later", "unknown-status", "no-duration",
)  # fmt: skip
