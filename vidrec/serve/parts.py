"""From what was sent to a query. A part is a text, a video's id or an upload: never a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vidrec.conditions import Condition
from vidrec.errors import UsageError
from vidrec.search.conditions import parse_conditions
from vidrec.search.query import Part, Query
from vidrec.serve.models import Asked, Wish
from vidrec.serve.uploads import Upload

if TYPE_CHECKING:
    from vidrec.library import Library

MOST_STARS = 8  # of a pattern: each multiplies what it takes to compare
PRIVATE = ("path", "url")


def query_of(asked: Asked, uploads: Sequence[Upload] = ()) -> Query:
    """Return the query; an upload that no part names is liked.

    Raises:
        UsageError: a part is empty or names no upload, or a condition is wrong.
    """
    parts = [Part("text", asked.q.strip())] if asked.q and asked.q.strip() else []
    named: set[int] = set()
    for wishes, sign in ((asked.like, 1.0), (asked.unlike, -1.0)):
        for wish in wishes:
            part = _part(wish, uploads, named)
            parts.append(replace(part, weight=sign * part.weight))
    parts += [upload.part() for number, upload in enumerate(uploads) if number not in named]
    return Query(
        tuple(parts), k=asked.k, clips=asked.clips, conditions=conditions_of(asked.where),
        scope=asked.scope, pool=asked.pool, diversity=asked.diversity,
        max_per=_caps(asked.max_per), dedupe=asked.dedupe, why=asked.why,
        min_confidence=0.0 if asked.all else None,
    )  # fmt: skip


def _part(wish: str | Wish, uploads: Sequence[Upload], named: set[int]) -> Part:
    if isinstance(wish, str):
        text, video_id = wish.strip(), None
        if text.startswith("id:"):
            text, video_id = "", text.removeprefix("id:")
        wish = Wish.model_construct(text=text or None, id=video_id, upload=None, weight=1.0)
    given = [name for name in ("text", "id", "upload") if getattr(wish, name) is not None]
    if len(given) != 1:
        raise UsageError("what is liked or disliked is a text, an id or an upload: one of them")
    if wish.upload is not None:
        if wish.upload >= len(uploads):
            raise UsageError(f"there is no upload {wish.upload}: {len(uploads)} were sent")
        named.add(wish.upload)
        return replace(uploads[wish.upload].part(), weight=wish.weight)
    if wish.id is not None:
        return Part("id", wish.id, wish.weight)
    return Part("text", (wish.text or "").strip(), wish.weight)


def conditions_of(words: Sequence[str]) -> tuple[Condition, ...]:
    """Return conditions; where files are is nobody's business.

    Raises:
        UsageError: a word is no condition, or asks for places.
    """
    conditions = parse_conditions(words)
    for condition in conditions:
        texts = [str(value) for value in condition.values]
        if condition.key in PRIVATE or (
            condition.key == "folder" and any("/" in text or "\\" in text for text in texts)
        ):
            raise UsageError(f"{condition.key} cannot be asked for here: it says where files are")
        if condition.op == "~" and any(text.count("*") > MOST_STARS for text in texts):
            raise UsageError(f"a pattern has at most {MOST_STARS} stars. Received: {texts[0]}")
    return conditions


def _caps(wished: str | None) -> tuple[tuple[str, int], ...]:
    if not wished:
        return ()
    key, _, count = wished.partition("=")
    if not key.strip() or not (count.strip().isascii() and count.strip().isdecimal()):
        raise UsageError(f"max_per takes a field and a number: label=2. Received: {wished}")
    return ((key.strip(), min(int(count), 10_000)),)


def check_ids(library: Library, fingerprint: str, query: Query) -> Query:
    """Return the query with whole ids; the videos asked with must be embedded already.

    Raises:
        UsageError: there is no such video, or it has no embedding: none is made for a question.
    """
    parts = []
    for part in query.parts:
        if part.kind == "id":
            video = library.find_video(part.value)
            if not library.whole_vectors(fingerprint, [video.id]):
                raise UsageError(f"{video.filename} is not embedded yet")
            part = replace(part, value=video.id)
        parts.append(part)
    return replace(query, parts=tuple(parts))
