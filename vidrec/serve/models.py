"""What is sent and answered; the OpenAPI document is made of these models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from vidrec.files import is_text

MOST_RESULTS = 200
MOST_PARTS = 50
MOST_CONDITIONS = 20
MOST_LETTERS = 1000  # of a text
ID_PATTERN = "^[0-9a-f]{64}$"


def _written(text: str) -> str:
    """Refuse what no file or catalog can hold: half of a pair of surrogates, NUL."""
    if not is_text(text) or "\0" in text:
        raise ValueError("the text is not Unicode that can be written down")
    return text


Text = Annotated[str, Field(max_length=MOST_LETTERS), AfterValidator(_written)]
Condition = Annotated[str, Field(max_length=300), AfterValidator(_written)]
VideoId = Annotated[str, Field(pattern=ID_PATTERN)]
Count = Annotated[int, Field(ge=1, le=MOST_RESULTS)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
QueryScope = Literal["clip", "video", "best"]


class Sent(BaseModel):
    """A body; what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class Wish(Sent):
    """One thing liked or disliked: a text, a video of the library, or the n-th uploaded file."""

    text: Text | None = None
    id: Annotated[str, Field(pattern="^[0-9a-f]{4,64}$")] | None = None
    upload: Annotated[int, Field(ge=0, le=MOST_PARTS)] | None = None
    weight: Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)] = 1.0


Wishes = Annotated[list[Text | Wish], Field(max_length=MOST_PARTS)]


class InUrl(BaseModel):
    """A question in a URL; what is not known is passed over."""

    q: Text | None = None
    k: Count = 10
    like: Annotated[list[Text], Field(max_length=MOST_PARTS)] = []
    unlike: Annotated[list[Text], Field(max_length=MOST_PARTS)] = []
    where: Annotated[list[Condition], Field(max_length=MOST_CONDITIONS)] = []
    diversity: Share = 0.0
    max_per: Annotated[str, Field(max_length=100), AfterValidator(_written)] | None = None
    pool: Literal["mean", "max"] = "mean"
    scope: QueryScope = "clip"
    dedupe: bool = False
    clips: bool = False
    why: bool = False
    all: Annotated[bool, Field(description="No confidence is asked for.")] = False


class Asked(InUrl, Sent):
    """A question: everything that `vidrec recommend` takes but files of the server."""

    like: Wishes = []  # type: ignore[assignment]
    unlike: Wishes = []  # type: ignore[assignment]


class Moment(BaseModel):
    """A stretch of a video that matches."""

    model_config = ConfigDict(from_attributes=True)

    start_sec: float
    end_sec: float
    score: float
    confidence: float | None = None


class Result(BaseModel):
    """A row of an answer: as of `vidrec recommend --format json`, and where to play it."""

    model_config = ConfigDict(extra="allow")

    rank: int
    score: float
    video_id: str
    url: str | None
    filename: str
    label: str | None
    start_sec: float
    end_sec: float
    duration_sec: float | None
    confidence: float | None
    gone: bool
    id: str
    name: str
    href: str
    media: str | None
    poster: str | None
    preview: str | None
    moments: list[Moment]
    confidence_words: Literal["sure", "likely", "maybe", "unsure"] | None
    fields: dict[str, str | int | float]


class Answered(BaseModel):
    """What was found; where nothing fits well, the nearest all the same.

    Where ``why`` was asked, it tells how each part was understood, and each result has its own.
    """

    model_config = ConfigDict(extra="allow")

    query: str
    confident: bool
    reason: str
    notes: list[str]
    results: list[Result]
    embedder: str
    store: str


class ShownVideo(BaseModel):
    """A video of the library."""

    id: str
    name: str
    label: str | None
    duration_sec: float | None
    width: int | None
    height: int | None
    added: float
    fields: dict[str, str | int | float]
    href: str
    media: str | None
    poster: str | None


class Span(BaseModel):
    """A clip, in seconds."""

    start_sec: float
    end_sec: float


class WholeVideo(ShownVideo):
    """A video with the clips that are known of it."""

    moments: list[Span]


class Videos(BaseModel):
    """A page of the list of videos."""

    total: int
    videos: list[ShownVideo]


class LabelCount(BaseModel):
    """A label and how many videos have it."""

    label: str
    count: int


class Takes(BaseModel):
    """What the embedder can be asked with."""

    text: bool
    image: bool
    video: bool


class StatusShown(BaseModel):
    """What is served."""

    embedder: str
    store: str
    videos: int
    indexed: int
    labels: list[LabelCount]
    fields: dict[str, list[str | int | float]]
    takes: Takes
    paid: bool
    version: str


class Suggestions(BaseModel):
    """What one may ask."""

    suggestions: list[str]


class Health(BaseModel):
    """Whether the server is there."""

    ok: bool


class Progress(BaseModel):
    """How far something is that is being made, 0 to 1."""

    progress: float


class MediaState(BaseModel):
    """Whether a video can be played here, and how it comes to be."""

    ready: bool
    progress: float
    kind: Literal["direct", "remux", "transcode", "remote"]
    start_sec: float
    end_sec: float | None
    error: str | None = None


class _Error(BaseModel):
    kind: Literal[
        "usage", "not_found", "auth", "too_large", "rate", "paid", "busy", "internal"
    ]  # fmt: skip
    message: str


class ErrorShown(BaseModel):
    """Why there is no answer, in one line."""

    error: _Error


def sent(model: BaseModel) -> Response:
    """Return a model as the answer, written down here: in the thread that made it.

    What a route returns as a model is checked once more and written by the loop that all wait for.
    """
    return Response(model.model_dump_json(exclude_unset=True), media_type="application/json")


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error answers of an operation, for its document."""
    every = sorted({400, 401, 403, 421, 422, 429, 500, 503, *statuses})
    return {status: {"model": ErrorShown} for status in every}
