"""What Twelve Labs' service replies: answers, both shapes of errors, and how long to wait."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from vidrec.errors import EmbedderError
from vidrec.origins import MASK
from vidrec.urls import asked_wait, without_secrets

_PERMANENT = (501, 505, 506, 508, 510, 511)  # whoever answers so will do it again
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(slots=True)
class Reply:
    """What came back: a status with its body, or the problem of a lost connection."""

    status: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    lost: str = ""
    sent: bool = True
    key: str = field(default="", repr=False)  # which some answers repeat

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300 and (isinstance(self.body, dict) or self.status == 204)

    @property
    def error(self) -> dict[str, Any]:
        """The error, of either shape; empty where the body has none."""
        body = self.body if isinstance(self.body, dict) else {}
        inner = body.get("error")
        return inner if isinstance(inner, dict) else body

    @property
    def code(self) -> str:
        return str(self.error.get("code") or "")

    @property
    def message(self) -> str:
        """The service's words without the signatures of URLs."""
        words = str(self.error.get("message") or self.code or f"HTTP {self.status}")
        words = words.replace(self.key, MASK) if self.key else words
        return clean(words)[:300]

    @property
    def refused_before_work(self) -> bool:
        """Whether nothing was done, for sure: a busy service that names no time may have begun."""
        told = self.status == 503 and "retry-after" in self.headers
        return self.status == 429 or told or not self.sent

    @property
    def worth_repeating(self) -> bool:
        return (
            bool(self.lost)
            or self.status in (408, 429)
            or (self.status >= 500 and self.status not in _PERMANENT)
            or (200 <= self.status < 300)  # an answer that is no JSON
        )

    def spent(self, now: float) -> float:
        """How long until more requests are allowed, where the service says that none are left."""
        reset = self.headers.get("x-ratelimit-reset", "")
        if self.headers.get("x-ratelimit-remaining") != "0" or not _NUMBER.fullmatch(reset):
            return 0.0
        return max(0.0, float(reset) - now)

    def pause(self, now: float) -> float | None:
        """How long the service asks to wait, if it says so."""
        if after := self.headers.get("retry-after", ""):
            return asked_wait(after, now)
        reset = self.headers.get("x-ratelimit-reset", "")
        if self.status == 429 and _NUMBER.fullmatch(reset):
            return max(0.0, float(reset) - now)
        return None


def clean(text: str) -> str:
    """One line, with the query (and so the signature) of every URL left out."""
    cut = re.sub(r"(https?://[^\s?\"']+)\?[^\s\"']*", r"\1?…", text)
    return without_secrets(" ".join(cut.split()))


def checked_id(found: str, thing: str) -> str:
    """Return the id that the service gave to a job or a file.

    Raises:
        EmbedderError: it is no id.
    """
    if not re.fullmatch(r"[0-9A-Za-z_-]+", found):
        raise EmbedderError(f"Twelve Labs gave a {thing} the id {found[:40]!r}")
    return found
