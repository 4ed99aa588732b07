"""Query: what is asked, as a value; and how the words of a command line become one.

A session takes a parsed query. Words are parsed for the command line alone: only there may a word
name a file, so that nothing which comes from elsewhere ever opens one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from vidrec.conditions import Condition
from vidrec.errors import UsageError
from vidrec.files import expanded, is_file, is_folder, is_text
from vidrec.media.extensions import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from vidrec.records import dataclass
from vidrec.urls import shown_url

PartKind: TypeAlias = Literal["text", "video", "image", "id", "name", "vector"]
QueryScope: TypeAlias = Literal["clip", "video", "best"]
Pool: TypeAlias = Literal["mean", "max"]

# "2:a dog": at most 99, and no time of day or title such as "3:10" or "2001: A Space Odyssey".
_WEIGHT = re.compile(r"(\d{1,2}(?:\.\d+)?):(?=[^\s\d])")
_URL = re.compile(r"(?i)(s3|https?)://")
_SIGN = re.compile(r"\s+([+-])\s+")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing asked with.

    ``value`` is a text, the path of a video or an image, the beginning of an id, the unique name
    of a video in the library, or a ``(dim,)`` vector. What has a negative weight is disliked.
    """

    kind: PartKind
    value: Any
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: there is no such kind, the value is none of it, or the weight is none.
        """
        if self.kind not in get_args(PartKind):
            kinds = ", ".join(get_args(PartKind))
            raise UsageError(f"a part of a query is one of {kinds}. Received: {self.kind}")
        if not (isinstance(self.weight, (int, float)) and -100 < self.weight < 100):
            raise UsageError(f"a weight lies between -100 and 100. Received: {self.weight!r}")
        file = self.kind in ("video", "image")
        if self.kind != "vector" and not isinstance(self.value, (str, Path) if file else str):
            what = "a path" if file else "a text"
            raise UsageError(f"the value of a {self.kind} is {what}. Received: {self.value!r}")
        if self.kind == "text":
            if not self.value.strip():
                raise UsageError("an empty text says nothing: leave it out")
            if not is_text(self.value):
                raise UsageError("the text is not UTF-8: check the terminal's encoding")


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: the parts, how many results, and how they are chosen.

    Attributes:
        parts: what is liked and disliked.
        k: how many results at most.
        clips: rank moments: a video may appear more than once.
        conditions: on payload fields; all must hold.
        scope: a video's rank is that of its best ``clip``, of its whole ``video`` vector, or of
            the ``best`` of all.
        pool: how several liked parts make one score: the ``mean`` taste, or the ``max`` of all.
        diversity: 0 (the nearest) to 1 (the most various).
        max_per: at most so many results with the same value of a field: ``(("label", 2), …)``.
        dedupe: of near copies only the best one.
        history: ids, names or paths of videos that are not to be recommended; what the library
            does not know is passed over.
        like_history: the latest of the history (which stand last) are liked, too.
        min_score: lower scores are left out.
        min_confidence: what the best one must reach; None takes the settings'.
        why: tell what each part gave.
    """

    parts: tuple[Part, ...]
    k: int = 10
    clips: bool = False
    conditions: Sequence[Condition] = ()
    scope: QueryScope = "clip"
    pool: Pool = "mean"
    diversity: float = 0.0
    max_per: tuple[tuple[str, int], ...] = ()
    dedupe: bool = False
    history: Sequence[str | Path] = ()
    like_history: bool = False
    min_score: float | None = None
    min_confidence: float | None = None
    why: bool = False

    def __str__(self) -> str:
        words: list[str] = []
        for part in self.parts:
            sign = "- " if part.weight < 0 else "+ " if words else ""
            weight = "" if abs(part.weight) == 1 else f"{abs(part.weight):g}:"
            value = "a vector" if part.kind == "vector" else part.value
            words.append(f"{sign}{weight}{value}")
        if self.like_history:
            words.append("+ the history" if words else "the history")
        return " ".join(words)


def check_query(query: Query) -> None:
    """Refuse a query that cannot be meant.

    Raises:
        UsageError: nothing liked is asked for, a number is out of range, or a value of another
            kind than the field.
    """
    _check_kinds(query)
    if not query.like_history and not any(part.weight > 0 for part in query.parts):
        raise UsageError("nothing to look for: give a text, a video, an image or id:…")
    if query.k < 1:
        raise UsageError(f"--top-k must be at least 1. Received: k={query.k}")
    if query.scope not in ("clip", "video", "best"):
        raise UsageError(f"scope is clip, video or best. Received: scope={query.scope}")
    if query.pool not in ("mean", "max"):
        raise UsageError(f"pool is mean or max. Received: pool={query.pool}")
    if not 0 <= query.diversity <= 1:
        raise UsageError(f"diversity is from 0 to 1. Received: diversity={query.diversity:g}")
    if any(count < 1 for _, count in query.max_per):
        raise UsageError("--max-per takes at least 1 of each: --max-per label=2")


def _check_kinds(query: Query) -> None:
    """Refuse what would be misunderstood in silence, as a text for a tuple of texts.

    Raises:
        UsageError: a field is of another kind.
    """
    for name, kind in (("parts", Part), ("conditions", Condition), ("history", (str, Path))):
        several = getattr(query, name)
        if not isinstance(several, (tuple, list)) or not all(isinstance(v, kind) for v in several):
            what = "texts" if name == "history" else f"a {name[:-1].capitalize()} each"
            raise UsageError(f"{name} is a tuple, of {what}. Received: {name}={several!r}")
    caps = query.max_per
    if not isinstance(caps, (tuple, list)) or not all(
        isinstance(cap, tuple) and len(cap) == 2 and isinstance(cap[1], int) for cap in caps
    ):
        raise UsageError(f"max_per is pairs as (('label', 2),). Received: max_per={caps!r}")
    if not hasattr(query.k, "__index__"):
        raise UsageError(f"k is a whole number. Received: k={query.k!r}")
    for name in ("diversity", "min_score", "min_confidence"):
        if not isinstance(value := getattr(query, name), (int, float, type(None))):
            raise UsageError(f"{name} is a number. Received: {name}={value!r}")


def parse_parts(
    words: Sequence[str],
    like: Sequence[str] = (),
    unlike: Sequence[str] = (),
    *,
    may_be_none: bool = False,
) -> tuple[Part, ...]:
    """Tell texts, files, names and ids apart; loose words are one text.

    A quoted word may be a sum, ``"2:dog - cat + beach"``: it is one where white space stands on
    both sides of each sign and a part has a weight. ``"sci-fi - dark"`` is a text. Likes and
    dislikes may each have a weight before a colon; so may the words, if they are several.

    Raises:
        UsageError: nothing was asked, or what looks like a path does not exist.
    """
    parts: list[Part] = []
    texts: list[str] = []
    for word in filter(str.strip, words):
        found = _sum(word) or [_part(word)]
        if len(found) == 1 and found[0].kind == "text":
            texts.append(found[0].value)
        else:
            parts += found
    text = " ".join(" ".join(texts).split())
    if text:
        parts.insert(0, _weighted(text) if like or unlike else Part("text", text))
    parts += [_weighted(word) for word in like]
    parts += [_negative(_weighted(word)) for word in unlike]
    if not parts and not may_be_none:
        raise UsageError("nothing to look for: give a text, a video, an image or id:…")
    return tuple(parts)


def _sum(word: str) -> list[Part]:
    """Return the parts of ``2:dog - cat + beach``, or nothing where it may be a plain text."""
    pieces = _SIGN.split(word.strip())
    values, signs = pieces[::2], ["+", *pieces[1::2]]
    if len(values) < 2 or not all(values) or not any(_WEIGHT.match(value) for value in values):
        return []
    parts = [_weighted(value) for value in values]
    return [
        _negative(part) if sign == "-" else part for part, sign in zip(parts, signs, strict=True)
    ]


def _weighted(word: str) -> Part:
    found = _WEIGHT.match(word)
    if found is None or is_file(expanded(word)):
        return _part(word)
    return replace(_part(word[found.end() :]), weight=float(found[1]))


def _negative(part: Part) -> Part:
    return replace(part, weight=-part.weight)


def _part(word: str) -> Part:
    if word.startswith("id:"):
        return Part("id", word.removeprefix("id:"))
    if _URL.match(word):
        return Part("name", shown_url(word))  # of a video in the library: nothing is fetched
    path = expanded(word)
    suffix = path.suffix.lower()
    extensions = VIDEO_EXTENSIONS | IMAGE_EXTENSIONS
    looks_like_path = suffix in extensions or _slashed(word)
    if is_file(path) and (looks_like_path or suffix):
        image = suffix in IMAGE_EXTENSIONS and suffix not in VIDEO_EXTENSIONS
        return Part("image" if image else "video", word)
    if not looks_like_path:
        return Part("text", word)
    if suffix in extensions and not is_folder(path):
        return Part("name", word)  # of a video in the library, perhaps
    what = "is a folder" if is_folder(path) else "does not exist"
    raise UsageError(f"{word} looks like a file but {what}: give a video, an image or a text")


def _slashed(word: str) -> bool:
    """Whether slashes make it a path; "AC/DC" is a text, unless there is a folder "AC"."""
    slashes = word.count("/") + word.count("\\")
    if not slashes:
        return False
    several = slashes > 1 or word[0] in "/\\.~"
    spaced = any(c.isspace() for c in word)
    return is_folder(expanded(word).parent) or (several and not spaced)
