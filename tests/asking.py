"""Ask as the command line does, without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidrec.config import Settings
from vidrec.search.query import Query, meanings, parse_parts
from vidrec.search.session import Answer, open_session
from vidrec.types import Condition


def ask(
    settings: Settings,
    words: Sequence[str],
    *,
    where: Mapping[str, Sequence[str]] | None = None,
    like: Sequence[str] = (),
    unlike: Sequence[str] = (),
    **options: Any,
) -> Answer:
    """Open a session for one question."""
    conditions = tuple(
        Condition(key, "in", tuple(m for value in values for m in meanings(value)))
        for key, values in (where or {}).items()
    )
    with open_session(settings) as session:
        parts = parse_parts(words, like, unlike, may_be_none=True)
        return session.recommend(Query(parts, conditions=conditions, **options))
