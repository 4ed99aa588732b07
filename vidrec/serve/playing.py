"""Videos as a browser plays them, their posters and previews: by id, never by path."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response

from vidrec.errors import MediaError
from vidrec.media import playback
from vidrec.serve import models
from vidrec.serve.problems import Problem, not_found
from vidrec.serve.served import NOWHERE, Here, Served, local_file
from vidrec.serve.workshop import Job
from vidrec.types import Video

router = APIRouter()
A_DAY = "private, max-age=86400"
AGAIN = "private, no-cache"  # kept, but asked for again by its ETag
URL_SECONDS = 3600
PATIENCE = 20.0  # seconds in which a poster or preview is made

_PIECES: dict[int | str, dict[str, Any]] = {
    **models.errors(404, 416),
    206: {"description": "A piece (Range)"},
    304: {"description": "The client has it already (If-None-Match)"},
}
_PICTURES = {**_PIECES, 200: {"content": {"image/jpeg": {}}}}
_FILMS = {**_PIECES, 200: {"content": {"video/mp4": {}, "video/webm": {}}}}
_MEDIA = {
    **_FILMS,
    202: {"model": models.Progress, "description": "It is being made"},
    307: {"description": "It is elsewhere"},
}

Id = Annotated[models.VideoId, Path()]
At = Annotated[models.Seconds, Query()]


@router.get("/poster/{video_id}", responses=_PICTURES, response_class=Response)
async def poster(served: Here, request: Request, video_id: Id, t: At = 0.0) -> Response:
    """Send the picture at a moment, as a JPEG at most 480 wide."""
    name = f"{video_id}-{t:.2f}.jpg"
    return await _made(served, request, name, video_id, playback.poster, t)


@router.get("/preview/{video_id}", responses=_FILMS, response_class=Response)
async def preview(served: Here, request: Request, video_id: Id, t: At = 0.0) -> Response:
    """Send a few silent seconds from a moment on, small."""
    name = f"{video_id}-{t:.2f}-p.mp4"
    return await _made(served, request, name, video_id, playback.preview, t)


async def _made(
    served: Served,
    request: Request,
    name: str,
    video_id: str,
    write: playback.Write,
    at_sec: float,
) -> Response:
    video = await served.files.run(_video, served, video_id)
    done = await served.files.run(served.workshop.finished, name)
    if done is None:
        done = await _end_of(
            served.make(
                name, video, lambda path, *where: write(path, at_sec, *where), long=False
            )
        )  # fmt: skip
    return _sent(request, done, f"{done.stem}", A_DAY)


def _sent(
    request: Request, path: FilePath, tag: str, caching: str, media_type: str | None = None
) -> Response:
    """Send a file or a piece of it; nothing, where the client has it already."""
    headers = {"Cache-Control": caching, "ETag": f'"{tag}"'}
    known = request.headers.get("if-none-match", "")
    if any(one.strip().removeprefix("W/") == headers["ETag"] for one in known.split(",")):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=media_type)


async def _end_of(job: Job) -> FilePath:
    """Wait for something that is made.

    Raises:
        Problem: it takes too long, or fails.
    """
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(job.done)), PATIENCE)
    except (TimeoutError, asyncio.TimeoutError, asyncio.CancelledError):
        raise Problem(503, "busy", "this takes longer: try again", {"Retry-After": "2"}) from None
    except Exception as exc:
        raise Problem(422, "usage", "this video cannot be shown here") from exc


def _video(served: Served, video_id: str) -> Video:
    """Return a video that can be seen.

    Raises:
        Problem: there is no such video, or it is nowhere.
    """
    video = served.library.video(video_id)
    if video is None:
        raise not_found("video")
    if video.url is None and local_file(video) is None:
        raise NOWHERE
    return video


@router.get("/media/{video_id}/state", responses=models.errors(404))
async def state(served: Here, video_id: Id, t: At = 0.0) -> models.MediaState:
    """Tell whether a video can be played from a moment on, and have it made if not."""
    film = await served.files.run(_film, served, video_id)
    return await served.files.run(film.state, t)


@router.head("/media/{video_id}", include_in_schema=False)
@router.get("/media/{video_id}", responses=_MEDIA, response_class=Response)
async def media(served: Here, request: Request, video_id: Id, t: At = 0.0) -> Response:
    """Send a video as a browser plays it, or a part of it (Range).

    What is in object storage is redirected to. Of what browsers do not play, a copy that they do
    is sent; until it is made the answer is 202 with its progress. Of a long video the copy is of a
    stretch around ``t``: ``/media/{id}/state`` tells which.
    """
    film = await served.files.run(_film, served, video_id)
    return await served.files.run(film.answer, request, t)


@dataclass(frozen=True)
class Film:
    """A video that is to be played; ``path`` is None where it is not on this machine."""

    served: Served
    video: Video
    path: FilePath | None
    how: playback.Playable

    def state(self, at_sec: float) -> models.MediaState:
        """Return whether it can be played from a moment on; if not, have that made."""
        how = self.how
        if how.kind == "direct":
            return models.MediaState(
                ready=True, progress=1.0, kind="direct" if self.path else "remote",
                start_sec=0.0, end_sec=self.video.duration_sec,
            )  # fmt: skip
        start, end = how.stretch(at_sec)
        shown = models.MediaState(
            ready=True, progress=1.0, kind=how.kind, start_sec=start, end_sec=end
        )
        if self.served.workshop.finished(self._name(start, end)):
            return shown
        try:
            progress = self._job(start, end).progress
        except Problem as exc:
            return shown.model_copy(update={"ready": False, "progress": 0.0, "error": exc.message})
        return shown.model_copy(update={"ready": False, "progress": progress})

    def answer(self, request: Request, at_sec: float) -> Response:
        """Return the video, where it is, or how far it is."""
        how = self.how
        if how.kind == "direct" and self.path is None:
            headers = {"Cache-Control": f"private, max-age={URL_SECONDS // 2}"}
            return RedirectResponse(self._elsewhere(), 307, headers)
        if how.kind == "direct" and self.path is not None:
            return _sent(request, self.path, self.video.id[:32], AGAIN, how.media_type)
        start, end = how.stretch(at_sec)
        done = self.served.workshop.finished(self._name(start, end))
        if done is not None:
            return _sent(request, done, done.stem, AGAIN, "video/mp4")
        progress = self._job(start, end).progress
        headers = {"Cache-Control": "no-store", "Retry-After": "1"}
        return JSONResponse(models.Progress(progress=progress).model_dump(), 202, headers)

    def _name(self, start_sec: float, end_sec: float) -> str:
        return f"{self.video.id}-{start_sec:.0f}-{end_sec:.0f}-film.mp4"

    def _job(self, start_sec: float, end_sec: float) -> Job:
        name, make = self._name(start_sec, end_sec), playback.make_playable
        return self.served.make(
            name,
            self.video,
            lambda path, *where: make(path, self.how, start_sec, *where),
            long=True,
        )

    def _elsewhere(self) -> str:
        """Return where the video is now: of an object the address that opens it for a while."""
        url = self.video.url or ""
        if url.startswith("s3://"):
            return self.served.remote.storage.presign(url, URL_SECONDS)
        if not url.startswith(("https://", "http://")):
            raise NOWHERE
        return url


@lru_cache(10_000)
def _how(path: FilePath, changed_ns: int, duration_sec: float | None) -> playback.Playable:
    """Return how a file is played, as it was found when it was last looked at."""
    return playback.playable(path, duration_sec)


def _film(served: Served, video_id: str) -> Film:
    """Return a video that can be played.

    Raises:
        Problem: there is no such video, it is nowhere, or cannot be read.
    """
    video = _video(served, video_id)
    path = local_file(video)
    if path is None:
        return Film(served, video, None, playback.likely(video.filename, video.info))
    try:
        return Film(served, video, path, _how(path, path.stat().st_mtime_ns, video.duration_sec))
    except MediaError as exc:
        raise Problem(422, "usage", "this video cannot be read: it is damaged") from exc
