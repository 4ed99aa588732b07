"""The application: its parts put together around one open session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from vidrec import __version__
from vidrec.errors import VidrecError
from vidrec.serve import asking, browsing, playing
from vidrec.serve.asking import unfit
from vidrec.serve.guard import Guard
from vidrec.serve.metrics import metrics_of
from vidrec.serve.problems import Problem, not_found, problem_of
from vidrec.serve.served import Served, places_of

PAGE = Path(__file__).parent / "page"
_KINDS = {404: "not_found", 413: "too_large"}

router = APIRouter()


def make_app(served: Served) -> Guard:
    """Return the ASGI application."""
    metrics, seen = metrics_of({
        "questions": ("Questions in work or waiting", lambda: served.questions.taken),
        "making": ("Files in work or waiting", lambda: served.workshop.waiting),
    })  # fmt: skip
    root = served.settings.serve.root_path
    api = FastAPI(
        title="vidrec", version=__version__, docs_url=None, redoc_url=None,
        description="Recommends videos by what is in them.",
        servers=[{"url": root}] if root else None,
    )  # fmt: skip
    api.state.served = served
    for part in (asking.router, browsing.router, playing.router, metrics, router):
        api.include_router(part)
    api.mount("/page", _PageFiles(directory=PAGE), name="page")

    async def refuse(request: Request, exc: Exception) -> Response:
        return problem_of(_plain(exc), places_of(served.settings)).response()

    for kind in (Exception, Problem, VidrecError, RequestValidationError, HTTPException):
        api.add_exception_handler(kind, refuse)
    return Guard(api, served.settings, seen)


class _PageFiles(StaticFiles):
    """The page's files, asked for anew each time: no browser mixes those of two versions."""

    def file_response(self, *values: Any, **named: Any) -> Response:
        response = super().file_response(*values, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _plain(exc: Exception) -> Exception:
    """Return an error of the framework as one of ours."""
    if isinstance(exc, RequestValidationError):
        return unfit(exc.errors())
    if isinstance(exc, HTTPException):
        if exc.status_code == 404:
            return not_found("page")
        kind = _KINDS.get(exc.status_code, "usage")
        headers = dict(exc.headers) if exc.headers else None
        return Problem(exc.status_code, kind, str(exc.detail), headers)
    return exc


@router.get("/", include_in_schema=False)
async def index() -> FileResponse:
    """Send the page."""
    return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})
