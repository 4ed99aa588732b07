"""Errors as answers: a status, a kind and one line, without paths, keys and traces."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from starlette.responses import JSONResponse

from vidrec.errors import (
    AccountError,
    CapabilityError,
    ConfigError,
    FingerprintError,
    MediaError,
    NoIndexError,
    QuotaError,
    TransientError,
    UsageError,
    VidrecError,
)

log = logging.getLogger("vidrec")
LONGEST = 500  # letters of a message
# What a person may read of each; the rest is for the server's log.
_SAID: tuple[tuple[type[VidrecError], int, str, str], ...] = (
    (NoIndexError, 503, "busy", "nothing is indexed yet: run `vidrec index` on the server"),
    (FingerprintError, 503, "internal",
     "the index is of another embedder than the server's: run `vidrec index --recreate` on it"),
    (QuotaError, 503, "busy", "the embedder's service wants no more for now: try again later"),
    (AccountError, 503, "internal", "the embedder's service refuses the server's account"),
    (TransientError, 503, "busy", "that cannot be done now: try again later"),
    (ConfigError, 503, "internal", "the server's settings do not allow this: its log says why"),
)  # fmt: skip
_OWN_WORDS = (UsageError, CapabilityError, MediaError)


class Problem(Exception):
    """What a request is answered with where it cannot be answered."""

    def __init__(
        self, status: int, kind: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message
        self.headers = headers or {}

    def response(self) -> JSONResponse:
        """Return the answer."""
        error = {"kind": self.kind, "message": " ".join(self.message.split())[:LONGEST]}
        return JSONResponse(
            {"error": error}, self.status, {"Cache-Control": "no-store"} | self.headers
        )


def not_found(what: str) -> Problem:
    return Problem(404, "not_found", f"no such {what}")


def problem_of(exc: Exception, places: Sequence[Path] = ()) -> Problem:
    """Return what is said of an exception; ``places`` are folders whose names are never said.

    What is not the client's doing is written to the log.
    """
    if isinstance(exc, Problem):
        return exc
    for error, status, kind, message in _SAID:
        if isinstance(exc, error):
            log.warning("%s", exc)
            return Problem(status, kind, message)
    if isinstance(exc, _OWN_WORDS):
        return Problem(400, "usage", without_places(str(exc), places))
    if isinstance(exc, VidrecError):
        log.warning("%s", exc)
        return Problem(503, "internal", "the server cannot answer this now: its log says why")
    log.error("unexpected failure", exc_info=exc)
    return Problem(500, "internal", "an unexpected failure: the server's log says more")


def without_places(message: str, places: Sequence[Path]) -> str:
    """Return a message in which no folder of this machine is named."""
    for place in sorted((str(place) for place in places), key=len, reverse=True):
        if len(place) > 1:
            message = message.replace(f"{place}/", "").replace(place, "…")
    return message
