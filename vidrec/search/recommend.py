"""Recommend: a text, a clip or a video of the library in, the nearest videos out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import Embedder
from vidrec.errors import MediaError, NoConfidentMatch, UsageError
from vidrec.files import expanded, is_file, is_folder, is_text
from vidrec.library import Library
from vidrec.media.extensions import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from vidrec.search.texts import asked_texts
from vidrec.stores import open_store
from vidrec.types import Filter, Match, Modality, Recommendation, Scalar, Video
from vidrec.vectors import unit

if TYPE_CHECKING:
    from vidrec.calibration import Calibration
    from vidrec.types import Vector

QueryKind = Literal["text", "video", "image", "id"]


@dataclass(frozen=True, slots=True)
class Query:
    """One thing asked with: its kind and the text, path or id prefix."""

    kind: QueryKind
    value: str


@dataclass(frozen=True, slots=True)
class Recommended:
    """The answer.

    ``unindexed`` tells that the library holds more than the store; ``paid_minutes`` of footage were
    embedded for the query itself.
    """

    query: str
    embedder: str
    store: str
    results: Sequence[Recommendation]
    unindexed: bool = False
    paid_minutes: float = 0.0


def parse_queries(words: Sequence[str]) -> list[Query]:
    """Tell texts, files and ids apart; loose words are one text.

    Raises:
        UsageError: nothing was asked, or what looks like a path does not exist.
    """
    queries: list[Query] = []
    texts: list[str] = []
    for word in words:
        query = _parse(word)
        if query.kind == "text":
            texts.append(query.value)
        else:
            queries.append(query)
    text = " ".join(" ".join(texts).split())
    if not is_text(text):
        raise UsageError("the text is not UTF-8: check the terminal's encoding")
    if text:
        queries.insert(0, Query("text", text))
    if not queries:
        raise UsageError("nothing to look for: give a text, a video, an image or id:…")
    return queries


def _parse(word: str) -> Query:
    if word.startswith("id:"):
        return Query("id", word.removeprefix("id:"))
    path = expanded(word)
    suffix = path.suffix.lower()
    extensions = VIDEO_EXTENSIONS | IMAGE_EXTENSIONS
    slashed = "/" in word or "\\" in word
    # "AC/DC on stage" is a text, unless there is a folder of that name.
    loose = any(c.isspace() for c in word) and not is_folder(path.parent)
    looks_like_path = suffix in extensions or (slashed and not loose)
    if is_file(path) and (looks_like_path or suffix):
        image = suffix in IMAGE_EXTENSIONS and suffix not in VIDEO_EXTENSIONS
        return Query("image" if image else "video", word)
    if looks_like_path:
        what = "is a folder" if is_folder(path) else "does not exist"
        raise UsageError(f"{word} looks like a file but {what}: give a video, an image or a text")
    return Query("text", word)


def recommend(
    settings: Settings,
    words: Sequence[str],
    *,
    k: int = 10,
    clips: bool = False,
    where: Mapping[str, Sequence[str]] | None = None,
    min_score: float | None = None,
) -> Recommended:
    """Return the ``k`` best videos (or, with ``clips``, moments) for a query.

    Several queries are mixed: the unit mean of their vectors is looked for. A video that is
    asked with is never among the results.

    A single query of clips is given a confidence, where the embedder or the library knows what
    its scores mean; the best one must reach the settings' ``min_confidence``.

    Raises:
        UsageError: the query or a condition is wrong.
        NoIndexError: nothing is indexed yet.
        FingerprintError: the index holds vectors of another embedder.
        NoConfidentMatch: nothing (above ``min_score``, with confidence) was found.
    """
    if k < 1:
        raise UsageError(f"--top-k must be at least 1. Received: k={k}")
    queries = parse_queries(words)
    embedder = load_embedder(settings)
    with Library(settings.library, create=False) as library:
        store = open_store(settings)
        try:
            asked = _Asked(library, embedder, settings)
            vector = asked.vector(queries)
            fingerprint = str(embedder.fingerprint)
            chosen = _filter(where or {}, asked.seen)
            matches = store.query(
                vector, k=k, where=chosen, by_video=not clips, fingerprint=fingerprint
            )
            calibration = asked.calibration(queries) if chosen.scope == "clip" else None
            behind = library.position(fingerprint) != library.indexed_position(
                store.where, fingerprint
            )
        finally:
            store.close()
            embedder.close()
    results = [
        _row(rank, match, calibration, asked.understood) for rank, match in enumerate(matches, 1)
    ]
    kept = [row for row in results if min_score is None or row.score >= min_score]
    strange = f"; {embedder.name} knows little of what the text is about"
    why = strange if asked.understood < 0.5 else ""
    _require_confidence(results, kept, min_score, settings.embedder.min_confidence, why)
    text = " + ".join(query.value for query in queries)
    return Recommended(text, fingerprint, store.name, kept, behind, asked.paid_minutes)


def _require_confidence(
    results: Sequence[Recommendation],
    kept: Sequence[Recommendation],
    min_score: float | None,
    min_confidence: float,
    why: str,
) -> None:
    if not results:
        raise NoConfidentMatch("no match: nothing that is indexed fits the conditions")
    best = results[0]
    if not kept:
        raise NoConfidentMatch(
            f"no confident match: the best score is {best.score:.3f}, below {min_score}"
        )
    if best.confidence is not None and best.confidence < min_confidence:
        raise NoConfidentMatch(
            f"no confident match: the best, {best.filename}, has a confidence of "
            f"{best.confidence:.2f}, below {min_confidence:g} (score {best.score:.3f}){why}; "
            "--min-confidence 0 shows it"
        )


def _filter(where: Mapping[str, Sequence[str]], seen: frozenset[str]) -> Filter:
    scope = where.get("scope", ["clip"])
    if len(scope) != 1 or scope[0] not in ("clip", "video"):
        raise UsageError(f"scope is clip or video. Received: scope={','.join(scope)}")
    equals = {
        name: tuple(meaning for value in values for meaning in _meanings(value))
        for name, values in where.items()
        if name != "scope"
    }
    return Filter("video" if scope[0] == "video" else "clip", equals, seen)


def _meanings(value: str) -> list[Scalar]:
    """A condition's value as text and, where it reads as one, as a number, truth or null."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return [value]
    return [value] if isinstance(parsed, (str, list, dict)) else [value, parsed]


def _row(
    rank: int, match: Match, calibration: Calibration | None, understood: float
) -> Recommendation:
    payload = match.payload
    confidence = None
    if calibration is not None:
        confidence = round(calibration.confidence(match.score) * understood, 4)
    return Recommendation(
        rank, match.score, payload.video_id, payload.path, payload.url, payload.filename,
        payload.label, payload.start_sec, payload.end_sec, payload.duration_sec, confidence,
    )  # fmt: skip


class _Asked:
    """Turns queries into one vector and remembers which videos were asked with."""

    def __init__(self, library: Library, embedder: Embedder, settings: Settings) -> None:
        self.library = library
        self.embedder = embedder
        self.settings = settings
        self.seen: frozenset[str] = frozenset()
        self.paid_minutes = 0.0
        self.understood = 1.0  # probability that a text means something to the embedder

    def calibration(self, queries: Sequence[Query]) -> Calibration | None:
        """What scores mean here; nobody knows for a mixture."""
        if len(queries) > 1:
            return None
        kind = queries[0].kind
        modality: Modality = "video" if kind == "id" else kind
        fingerprint = str(self.embedder.fingerprint)
        measured = self.library.calibration(fingerprint, modality)
        return measured or self.embedder.calibration(modality)

    def vector(self, queries: Sequence[Query]) -> Vector:
        vectors = [self._one(query) for query in queries]
        if len(vectors) == 1:
            return vectors[0]
        import numpy as np

        return unit(np.mean(vectors, axis=0))

    def _one(self, query: Query) -> Vector:
        match query.kind:
            case "text":
                return self._text(query.value)
            case "image":
                return self.embedder.embed_image(expanded(query.value))
            case "id":
                return self._stored(self.library.find_video(query.value))
            case "video":
                return self._file(expanded(query.value).absolute())

    def _text(self, text: str) -> Vector:
        (asked,) = asked_texts(self.library, self.embedder, [text])
        self.understood = asked.understood
        return asked.vector

    def _stored(self, video: Video) -> Vector:
        self.seen |= {video.id}
        found = self.library.video_embeddings(video.id, str(self.embedder.fingerprint), "video")
        if found:
            return found[0].vector
        if video.path is None or not is_file(video.path):
            raise UsageError(
                f"{video.filename} has no embedding of {self.embedder.name}: run "
                f"`vidrec embed --embedder {self.embedder.name}` on it"
            )
        return self._embed(video)

    def _file(self, path: Path) -> Vector:
        """A file of the library is looked up by its bytes; any other is embedded, not kept."""
        from vidrec.ingest.scan import hash_file

        try:
            video_id = hash_file(path)
        except MediaError as exc:
            raise MediaError(f"{path}: {exc}") from exc
        known = self.library.video(video_id)
        return self._stored(known or Video(video_id, path.name, path, size=path.stat().st_size))

    def _embed(self, video: Video) -> Vector:
        from vidrec.ingest.paid import Gate

        gate = Gate(self.settings, self.library, self.embedder, repair=True)
        video = (gate.admit(video) or video) if self.embedder.paid else video
        context = gate.context()
        if self.embedder.paid and self.embedder.pays_for(video, context):
            self.paid_minutes += self.embedder.billed_minutes(video)
        fingerprint = str(self.embedder.fingerprint)
        for outcome in self.embedder.embed_videos([video], context):
            if outcome.error is not None:
                raise type(outcome.error)(f"{video.filename}: {outcome.error}")
            for embedding in outcome.embeddings:
                if embedding.scope == "video" and embedding.fingerprint == fingerprint:
                    return embedding.vector
        raise UsageError(f"{video.filename} gave no embedding")
