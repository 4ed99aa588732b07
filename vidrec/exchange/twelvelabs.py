"""An index of Twelve Labs: the vectors that indexing paid for, at no cost.

Its videos have no hash. One whose name and size are those of a video of the library is that video;
the others are told apart by the service's own ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from vidrec.config import Settings
from vidrec.embedders.marengo.client import Gone, Service
from vidrec.embedders.marengo.pace import Clock
from vidrec.embedders.marengo.profiles import Option, Requests
from vidrec.errors import JobError, TransientError, UsageError
from vidrec.library import Library

if TYPE_CHECKING:
    from vidrec.exchange.rows import Bad, Reading, Row

PAGE = 50
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
# What the service called them before.
_OPTIONS = {"visual-text": "visual", "visual-image": "visual"}
_SCOPES = {"clip": "clip", "video": "video", "asset": "video"}


def rows_of_index(
    settings: Settings, index: str, reading: Reading, library: Library, say: Callable[[str], None]
) -> Iterator[Row | Bad]:
    """Yield the embeddings of an index, a video after the other.

    Raises:
        UsageError: there is no such index, or Marengo did not make it.
        EmbedderError: the service cannot be asked.
    """
    if not _ID.fullmatch(index):
        raise UsageError(f"twelvelabs:INDEX takes the id of an index. Received: {index}")
    service = Service(settings.marengo, Clock(), say=say)
    try:
        requests, options = _model_of(service, settings, index)
        known = _files(library)
        for video in _videos(service, index):
            video_id = str(video.get("_id"))
            if not _ID.fullmatch(video_id):
                yield UsageError(f"twelvelabs:{index}: a video has no id")
                continue
            ask = partial(_read_video, index=index, video_id=video_id, options=options)
            try:
                body = service.call("read the embeddings", ask)
            except (Gone, JobError, TransientError) as exc:
                yield UsageError(f"video {video_id}: {exc}")
                continue
            yield from _rows(body, video_id, requests, reading, known)
    finally:
        service.close()


def _read_video(sdk: Any, index: str, video_id: str, options: list[Option]) -> object:
    return sdk.indexes.videos.retrieve(index, video_id, embedding_option=options)


def _model_of(service: Service, settings: Settings, index: str) -> tuple[Requests, list[Option]]:
    """Return the model that made an index's vectors, and the kinds of them that it holds."""
    try:
        said = service.call("look at the index", lambda sdk: sdk.indexes.retrieve(index))
    except Gone as exc:
        raise UsageError(f"Twelve Labs has no index {index} under this key") from exc
    for model in said.get("models") or []:
        name = str(model.get("model_name") or "")
        if name.lower().startswith("marengo"):
            marengo = settings.marengo.model_copy(
                update={"model": name, "dim": None, "option": "visual"}
            )
            requests = Requests(marengo)
            held = {_OPTIONS.get(option, option) for option in model.get("model_options") or []}
            options = [option for option in requests.profile.options if option in held]
            return requests, options or list(requests.profile.options)
    raise UsageError(f"the index {index} was not made by Marengo: it holds no vectors")


def _videos(service: Service, index: str) -> Iterator[dict[str, Any]]:
    for page in count(1):
        ask = partial(_list_page, index=index, page=page)
        body = service.call("list the videos", ask)
        found = body.get("data") or []
        yield from (video for video in found if isinstance(video, dict))
        last = (body.get("page_info") or {}).get("total_page")
        if not found or (isinstance(last, int) and page >= last):
            return


def _list_page(sdk: Any, index: str, page: int) -> object:
    return sdk.indexes.videos.list(index, page=page, page_limit=PAGE)


def _files(library: Library) -> dict[tuple[str, int], str]:
    """Return the ids of the library's videos by name and size, where those name one."""
    known: dict[tuple[str, int], str] = {}
    twice = set()
    for video in library.videos():
        place = (video.filename, video.size)
        if place in known:
            twice.add(place)
        known[place] = video.id
    return {place: found for place, found in known.items() if place not in twice and place[1]}


def _rows(
    body: Mapping[str, Any], video_id: str, requests: Requests, reading: Reading,
    known: Mapping[tuple[str, int], str],
) -> Iterator[Row | Bad]:  # fmt: skip
    facts = body.get("system_metadata") or {}
    name = str(facts.get("filename") or facts.get("video_title") or video_id)
    size = facts.get("size")
    about = {
        "video_id": known.get((name, size) if isinstance(size, int) else ("", 0))
        or f"twelvelabs:{video_id}",
        "filename": name, "size": size, "duration_sec": facts.get("duration"),
        "width": facts.get("width"), "height": facts.get("height"), "fps": facts.get("fps"),
        "extra": body.get("user_metadata") or {}, "embedder": "marengo",
        "model": requests.profile.model,
    }  # fmt: skip
    embedding = body.get("embedding") or {}
    segments = (embedding.get("video_embedding") or {}).get("segments") or []
    if not segments:
        yield UsageError(f"video {video_id}, {name}: Twelve Labs has no embeddings of it")
    for segment in segments:
        where = f"video {video_id}, {name}"
        option = _OPTIONS.get(kind := str(segment.get("embedding_option")), kind)
        scope = _SCOPES.get(str(segment.get("embedding_scope")))
        vector = segment.get("float") or segment.get("float_")
        if option not in requests.options or scope is None:
            continue  # a kind that no text query is compared with
        if not isinstance(vector, list) or len(vector) != requests.dim:
            yield UsageError(f"{where}: a vector has not {requests.dim} numbers")
            continue
        found = next(one for one in requests.options if one == option)
        yield reading.row(
            {
                **about, "vector": vector, "scope": scope,
                "options": dict(requests.fingerprint(found).options),
                "start_sec": segment.get("start_offset_sec"),
                "end_sec": segment.get("end_offset_sec"),
            },
            where,
        )  # fmt: skip
