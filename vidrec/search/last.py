"""The last answer: what ``#2`` means, and what `vidrec open 2` plays."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from vidrec.errors import UsageError
from vidrec.files import parsed_json
from vidrec.search.answers import Answer, fields_of
from vidrec.types import Recommendation

FILE = "last-answer.json"
NUMBER = re.compile(r"#(\d{1,4})")


def keep_last(library: Path, answer: Answer) -> None:
    """Keep an answer, where the library may be written; it is no loss where not."""
    from vidrec.files import writing

    rows = [fields_of(replace(row, why=None)) for row in answer.results]
    with suppress(OSError, UnicodeEncodeError), writing(library / FILE, durable=False) as draft:
        draft.write_text(json.dumps(rows), encoding="utf-8")


def last_result(library: Path, number: int) -> Recommendation:
    """Return a result of the last answer by its rank.

    Raises:
        UsageError: there is no such result.
    """
    try:
        rows = parsed_json((library / FILE).read_text(encoding="utf-8"))
        results = [Recommendation(**row) for row in rows]
    except (OSError, ValueError, TypeError) as exc:
        raise UsageError(f"#{number}: nothing was recommended from {library} before") from exc
    if not 1 <= number <= len(results):
        raise UsageError(f"#{number}: the last answer has the results #1 to #{len(results)}")
    return results[number - 1]


def named(library: Path, word: str) -> str:
    """Return ``id:…`` for ``#2``; any other word as it is.

    Raises:
        UsageError: the last answer has no such result.
    """
    found = NUMBER.fullmatch(word)
    return f"id:{last_result(library, int(found[1])).video_id}" if found else word
