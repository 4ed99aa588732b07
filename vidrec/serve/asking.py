"""Questions: recommend, and what is like a video."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Path, Query, Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vidrec.errors import MediaError
from vidrec.serve import models, parts, uploads
from vidrec.serve.models import Answered, Asked
from vidrec.serve.problems import Problem, not_found
from vidrec.serve.rows import answered
from vidrec.serve.served import Here, Served

router = APIRouter()
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Asked"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "query": {"type": "string", "description": "an Asked, as JSON"},
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                }
            },
        },
    }
}
MOST_MOMENTS = 8  # of a result, beside its own
_MANY = models.errors(402)


@router.get("/api/recommend", responses=_MANY, response_model=Answered)
async def recommend(served: Here, sent: Annotated[models.InUrl, Query()]) -> Response:
    """Recommend videos for a text, and for texts and ids that are liked and disliked."""
    asked = Asked.model_validate(sent, from_attributes=True)
    return await served.questions.run(_answer, served, asked, [])


@router.post("/api/recommend", responses=models.errors(402, 408, 413, 415), openapi_extra=_BODY,
             response_model=Answered)  # fmt: skip
async def recommend_by(served: Here, request: Request) -> Response:
    """Recommend videos for all that `vidrec recommend` takes, uploaded clips and pictures too."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        if served.sending.locked():
            raise Problem(503, "busy", "too many send files now: try again", {"Retry-After": "5"})
        async with served.sending:
            return await _from_form(served, request)
    if kind != "application/json":
        raise Problem(415, "usage", "a question is sent as application/json or multipart/form-data")
    asked = _checked(await request.body())
    return await served.questions.run(_answer, served, asked, [])


@router.get("/api/videos/{video_id}/similar", responses=models.errors(402, 404),
            response_model=Answered)  # fmt: skip
async def similar(
    served: Here,
    video_id: Annotated[models.VideoId, Path()],
    k: models.Count = 10,
    diversity: models.Share = 0.0,
) -> Response:
    """Recommend what is like a video of the library."""

    def find() -> Response:
        if served.session.library.video(video_id) is None:
            raise not_found("video")
        wish = models.Wish(id=video_id)
        asked = Asked(like=[wish], k=k, diversity=diversity, all=True)
        return _answer(served, asked, [])

    return await served.questions.run(find)


async def _from_form(served: Served, request: Request) -> Response:
    with ExitStack() as until_the_end:
        try:
            form = await request.form(max_files=uploads.MOST_FILES, max_fields=2)
        except HTTPException as exc:
            raise Problem(400, "usage", f"the form cannot be read: {exc.detail}") from exc
        sent: list[tuple[str, BinaryIO]] = []
        document: Any = "{}"
        for name, value in form.multi_items():
            if name == "file" and isinstance(value, UploadFile):
                until_the_end.callback(value.file.close)
                sent.append((value.filename or "", value.file))
            elif name == "query" and isinstance(value, str):
                document = value
            else:
                raise Problem(400, "usage", "a form has one query and files: nothing else")
        return await served.questions.run(_answer, served, _checked(document), sent)


def _checked(sent: Any) -> Asked:
    """Return what was asked.

    Raises:
        Problem: it is no question.
    """
    try:
        if isinstance(sent, (str, bytes)):
            return Asked.model_validate_json(sent)
        return Asked.model_validate(sent)
    except ValidationError as exc:
        raise unfit(
            exc.errors(include_url=False, include_input=False, include_context=False)
        ) from exc


def unfit(found: Any) -> Problem:
    """Return what is said of a request that does not fit the models: the first thing wrong."""
    first = found[0] if found else {"loc": (), "msg": "not understood"}
    name = ".".join(str(part) for part in first["loc"] if part not in ("query", "path", "body"))
    return Problem(422, "usage", f"{name}: {first['msg']}" if name else str(first["msg"]))


def _answer(served: Served, asked: Asked, sent: list[tuple[str, BinaryIO]]) -> Response:
    """Answer a question, in a thread."""
    session = served.session
    with uploads.kept(served.uploads, sent) as kept:
        query = parts.query_of(asked, kept)
        query = parts.check_ids(session.library, session.fingerprint, query)
        served.purse.pay_for(session, query.parts, sum(upload.minutes for upload in kept))
        try:
            answer, moments = session.recommend_with_moments(query, MOST_MOMENTS)
        except MediaError as exc:
            message = str(exc)
            for upload in kept:
                message = message.replace(str(upload.path), upload.name)
            raise MediaError(message) from exc
        least = 0.0 if asked.all else session.settings.embedder.min_confidence
        names = {str(upload.path): upload.name for upload in kept}
        return models.sent(answered(served, answer, moments, names, least))
