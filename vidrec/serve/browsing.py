"""What there is: videos page by page, the state of the library, suggestions, health."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from vidrec import __version__
from vidrec.serve import models
from vidrec.serve.problems import not_found
from vidrec.serve.rows import shown_videos
from vidrec.serve.served import Here, Served

router = APIRouter()
FIRST_SUGGESTIONS = ("Comedy", "Fantasy and Musical", "Sci-fi, dark tone")
TONES = (
    "dark and gloomy", "bright colours", "muted colours", "warm light", "cold blue tones",
    "slow, hardly any movement", "fast action", "calm relaxing nature", "cartoon",
)  # fmt: skip
MOST_SUGGESTIONS = 10


@router.get("/api/videos", responses=models.errors(), response_model=models.Videos)
async def videos(
    served: Here,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    label: Annotated[models.Text | None, Query()] = None,
    q: models.Text = "",
) -> Response:
    """List videos by name, with a label or a text in their name or label."""

    text = q.strip()

    def look() -> bytes:
        total, found = served.library.page_of_videos(offset, limit, label=label, text=text)
        page = models.Videos(total=total, videos=shown_videos(served, found))
        return page.model_dump_json().encode()

    def page() -> bytes:
        return served.pages.get((offset, limit, label, text), served.library.data_version, look)

    return Response(await served.files.run(page), media_type="application/json")


@router.get("/api/videos/{video_id}", responses=models.errors(404))
async def video(served: Here, video_id: Annotated[models.VideoId, Path()]) -> models.WholeVideo:
    """Show one video and its clips."""

    def look() -> models.WholeVideo:
        session = served.session
        listed = served.library.listed([video_id]).get(video_id)
        if listed is None:
            raise not_found("video")
        clips = served.library.video_embeddings(video_id, session.fingerprint, "clip")
        spans = [models.Span(start_sec=clip.start_sec, end_sec=clip.end_sec) for clip in clips]
        (shown,) = shown_videos(served, [listed])
        return models.WholeVideo(**shown.model_dump(), moments=spans)

    return await served.files.run(look)


@router.get("/api/status", responses=models.errors())
async def status(served: Here) -> models.StatusShown:
    """Tell what is served: the library's size, its labels and fields, what may be asked with."""
    return await served.files.run(_status, served)


def _status(served: Served) -> models.StatusShown:
    session, (labels, fields) = served.session, served.choices()
    takes = session.embedder.modalities
    return models.StatusShown(
        embedder=session.fingerprint,
        store=session.store.name,
        videos=served.library.count_videos(),
        indexed=session.store.count(),
        labels=[models.LabelCount(label=label, count=count) for label, count in labels],
        fields=fields,  # type: ignore[arg-type]
        takes=models.Takes(text="text" in takes, image="image" in takes, video="video" in takes),
        paid=session.embedder.paid,
        version=__version__,
    )


@router.get("/api/suggest", responses=models.errors())
async def suggest(served: Here, q: models.Text = "") -> models.Suggestions:
    """Suggest what to ask: labels and fields of the library, tones."""

    def look() -> models.Suggestions:
        (labels, fields), typed = served.choices(), q.strip().casefold()
        words = [word for some in fields.values() for word in some if isinstance(word, str)]
        every = dict.fromkeys([*FIRST_SUGGESTIONS, *(label for label, _ in labels), *TONES, *words])
        fits = [text for text in every if typed in text.casefold()]
        fits.sort(key=lambda text: not text.casefold().startswith(typed))
        return models.Suggestions(suggestions=fits[:MOST_SUGGESTIONS])

    return await served.files.run(look)


@router.get("/healthz")
async def health() -> models.Health:
    """Tell that the server is there."""
    return models.Health(ok=True)
