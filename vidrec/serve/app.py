"""The application: its parts put together around one open session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from vidrec import __version__
from vidrec.config import Settings
from vidrec.errors import VidrecError
from vidrec.media.source import load_decoder
from vidrec.search.session import Session
from vidrec.serve import asking, browsing, playing
from vidrec.serve.asking import unfit
from vidrec.serve.guard import LOOPBACK, Guard, Rules
from vidrec.serve.metrics import Metrics
from vidrec.serve.paid import Purse
from vidrec.serve.problems import Problem, not_found, problem_of
from vidrec.serve.scratch import scratch
from vidrec.serve.served import Served, places_of
from vidrec.serve.workshop import Workshop

PAGE = Path(__file__).parent / "page"
_KINDS = {404: "not_found", 413: "too_large"}

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Options:
    """What the command says beside the settings.

    Attributes:
        host: the address that is listened on.
        token: what lets clients in, if anything is asked for.
        paid: how many questions may be paid for.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    paid: int = 0


def make_app(
    settings: Settings,
    options: Options | None = None,
    failed: Callable[[Exception], None] = lambda exc: None,
) -> Guard:
    """Return the ASGI application; its lifespan opens and closes the session.

    ``failed`` is told why it cannot begin.
    """
    options = options or Options()
    metrics = Metrics()
    api = FastAPI(
        title="vidrec", version=__version__, docs_url=None, redoc_url=None,
        lifespan=_lifespan(settings, options, metrics, failed),
        description="Recommends videos by what is in them.",
        servers=[{"url": settings.serve.root_path}] if settings.serve.root_path else None,
    )  # fmt: skip
    for part in (asking.router, browsing.router, playing.router, metrics.router, router):
        api.include_router(part)
    api.mount("/page", _PageFiles(directory=PAGE), name="page")
    places = places_of(settings)

    async def refuse(request: Request, exc: Exception) -> Response:
        return problem_of(_plain(exc), places).response()

    for kind in (Exception, Problem, VidrecError, RequestValidationError, HTTPException):
        api.add_exception_handler(kind, refuse)
    return Guard(api, _rules(settings, options), metrics.seen)


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


def _rules(settings: Settings, options: Options) -> Rules:
    serve = settings.serve
    hosts = {*LOOPBACK, options.host.lower(), *(name.lower() for name in serve.allowed_hosts)}
    endpoint = urlsplit(settings.s3.endpoint_url or "")
    own = [f"{endpoint.scheme}://{endpoint.netloc}"] if endpoint.netloc else []
    return Rules(
        token=options.token, hosts=frozenset(hosts), origins=frozenset(serve.cors_origins),
        media=("https:", *own), body=serve.upload_mb * 1_000_000, rate=serve.rate,
        places=places_of(settings), root=serve.root_path,
    )  # fmt: skip


def _lifespan(
    settings: Settings, options: Options, metrics: Metrics, failed: Callable[[Exception], None]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def open_and_close(api: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as until_the_end:
            try:
                served = api.state.served = _opened(settings, options, until_the_end)
            except Exception as exc:
                failed(exc)
                raise
            metrics.watch(
                "questions", "Questions in work or waiting", lambda: served.questions.taken
            )
            metrics.watch("making", "Files in work or waiting", lambda: served.workshop.waiting)
            yield

    return open_and_close


def _opened(settings: Settings, options: Options, until_the_end: ExitStack) -> Served:
    load_decoder()
    folder = settings.cache / "serve"
    own = until_the_end.enter_context(scratch(folder))
    session = until_the_end.enter_context(Session(settings, lambda words: options.paid > 0))
    made = Workshop(folder / "made", own / "drafts", settings.serve.cache_mb * 1_000_000)
    served = Served(settings, session, made, Purse(options.paid), own / "uploads")
    until_the_end.callback(served.close)
    return served


@router.get("/", include_in_schema=False)
async def index() -> FileResponse:
    """Send the page."""
    return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})
