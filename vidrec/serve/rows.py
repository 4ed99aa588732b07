"""What is shown: an answer's rows and the library's videos, without a place on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vidrec.library.videos import Listed
from vidrec.search.answers import Answer, document, fields_of
from vidrec.search.moments import Moment
from vidrec.serve.models import Answered, ShownVideo
from vidrec.serve.served import Served, local_file
from vidrec.types import Recommendation, Scalar, Video

# From which confidence on, in words; below the least that counts as fitting it is "unsure".
SURE, LIKELY = 0.8, 0.5

Words = Literal["sure", "likely", "maybe", "unsure"]


def answered(
    served: Served,
    answer: Answer,
    moments: Sequence[Sequence[Moment]],
    names: Mapping[str, str],
    least: float,
) -> Answered:
    """Return an answer as it is sent; ``names`` are what is said in place of uploads' paths."""
    library = served.library
    ids = list({row.video_id for row in answer.results})
    known, fields = library.listed(ids), library.fields_of(ids)
    root = served.settings.serve.root_path
    rows = [
        _row(row, known.get(row.video_id), some, fields.get(row.video_id, {}), least, root)
        for row, some in zip(answer.results, moments, strict=True)
    ]
    notes = list(answer.notes)
    if answer.unindexed:
        notes.append("the library has changed since it was indexed")
    found = {
        **document(answer), "notes": notes, "results": rows, "confident": answer.confident,
        "reason": answer.reason,
    }  # fmt: skip
    return Answered.model_validate(_renamed(found, names))


def _row(
    row: Recommendation,
    listed: Listed | None,
    moments: Sequence[Moment],
    fields: Mapping[str, Scalar],
    least: float,
    root: str,
) -> dict[str, Any]:
    shown = {name: value for name, value in fields_of(row).items() if name != "path"}
    here = listed is not None and is_playable(listed.video)
    return {
        **shown, "id": row.video_id, "name": row.filename,
        **links(row.video_id, here, row.start_sec, root),
        "moments": list(moments),
        "confidence_words": in_words(row.confidence, least), "fields": dict(fields),
    }  # fmt: skip


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a document in which uploads have the names that they were sent under."""
    if not names:
        return value
    if isinstance(value, str):
        for path, name in names.items():
            value = value.replace(path, name)
        return value
    if isinstance(value, Mapping):
        return {key: _renamed(one, names) for key, one in value.items()}
    return [_renamed(one, names) for one in value] if isinstance(value, list) else value


def shown_videos(served: Served, videos: Sequence[Listed]) -> list[ShownVideo]:
    """Return videos as they are listed."""
    fields = served.library.fields_of([listed.video.id for listed in videos])
    shown = []
    for listed in videos:
        video, info = listed.video, listed.video.info
        at_sec = min(1.0, (video.duration_sec or 0) / 2)
        where = links(video.id, is_playable(video), at_sec, served.settings.serve.root_path)
        del where["preview"]
        shown.append(
            ShownVideo.model_validate(
                {
                    "id": video.id, "name": video.filename, "label": video.label,
                    "duration_sec": video.duration_sec, "width": info and info.width,
                    "height": info and info.height, "added": listed.added,
                    "fields": fields.get(video.id, {}), **where,
                }
            )
        )  # fmt: skip
    return shown


def links(video_id: str, here: bool, at_sec: float, root: str = "") -> dict[str, str | None]:
    """Return where a video and its pictures are asked for; None where there is nothing to see.

    ``root`` is the path under which a proxy has the server.
    """
    at = f"?t={at_sec:.2f}"
    return {
        "href": f"{root}/api/videos/{video_id}",
        "media": f"{root}/media/{video_id}" if here else None,
        "poster": f"{root}/poster/{video_id}{at}" if here else None,
        "preview": f"{root}/preview/{video_id}{at}" if here else None,
    }


def is_playable(video: Video) -> bool:
    """Whether a video's file is here as it was, or it has a URL."""
    return video.url is not None or local_file(video) is not None


def in_words(confidence: float | None, least: float) -> Words | None:
    """Say a confidence in a word."""
    if confidence is None:
        return None
    if confidence >= max(SURE, least):
        return "sure"
    if confidence >= max(LIKELY, least):
        return "likely"
    return "maybe" if confidence >= least else "unsure"
