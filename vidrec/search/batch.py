"""Batch: many queries, a line each, answered in their order by one session.

A line is a text, as one quoted word of a command line, or a JSON object with the options of the
command by name, ``{"query": "a dog", "top_k": 5, "where": "year>2000"}``, and, if wished, an
``id``. A word may name a file just as on a command line, so the lines must be the user's own. What
is read is what has come: a program that writes one query and waits is answered at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from vidrec.batches import in_batches
from vidrec.errors import UsageError, VidrecError
from vidrec.search.answers import Answer
from vidrec.search.query import Query
from vidrec.search.session import Session
from vidrec.search.wished import wished

READ = 1 << 16  # bytes, at most, that are waited for
AT_ONCE = 256  # queries that are answered together
LONGEST = 1 << 20  # bytes of a line

Lines: TypeAlias = "list[tuple[int, bytes]]"  # numbers, from 1, and what they hold


@dataclass(frozen=True, slots=True)
class Answered:
    """A query's answer, or why there is none; ``id`` is its own or the number of its line."""

    id: Any
    answer: Answer | VidrecError


def answer_lines(
    session: Session, file: BinaryIO, defaults: Mapping[str, Any]
) -> Iterator[list[Answered]]:
    """Yield the answers to the queries of a file, in their order, some at a time.

    Args:
        session: who answers.
        file: UTF-8 lines; empty ones are passed over.
        defaults: options of every query, by name; a line's own win.

    Raises:
        VidrecError: what no query would be spared: nothing is indexed, say.
    """
    for lines in _lines(file):
        asked = [_asked(number, line, defaults, session.settings.library) for number, line in lines]
        queries = [query for _, query in asked if isinstance(query, Query)]
        answers = iter(session.recommend_each(queries))
        yield [
            Answered(name, next(answers) if isinstance(query, Query) else query)
            for name, query in asked
        ]


def _lines(file: BinaryIO) -> Iterator[Lines]:
    """Yield lines with their numbers, as many as have come."""
    read = getattr(file, "read1", file.read)
    number, rest = 0, b""
    while block := read(READ):
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > LONGEST:
            raise UsageError(f"line {number + len(whole) + 1} is longer than {LONGEST:,} bytes")
        yield from _parts(enumerate(whole, number + 1))
        number += len(whole)
    yield from _parts([(number + 1, rest)])


def _parts(lines: Iterable[tuple[int, bytes]]) -> Iterator[Lines]:
    filled = ((number, line) for number, line in lines if line.strip())
    return in_batches(filled, AT_ONCE)


def _asked(
    number: int, line: bytes, defaults: Mapping[str, Any], library: Path
) -> tuple[Any, Query | VidrecError]:
    """Return a query with its id, or what is wrong with it."""
    name: Any = number
    try:
        options = _options(number, line)
        name = options.pop("id", number)
        return name, wished({**defaults, **options}, library)
    except VidrecError as exc:
        return name, exc


def _options(number: int, line: bytes) -> dict[str, Any]:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as exc:
        raise UsageError(f"line {number} is not UTF-8") from exc
    if not text.startswith("{"):
        return {"query": text}
    try:
        options: dict[str, Any] = json.loads(text)
        json.dumps(options, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"line {number} holds half a character: it is no text") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"line {number} is no JSON object: {exc}") from exc
    return options
