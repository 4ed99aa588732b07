"""Ask as the command line does, without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vidrec.config import Settings
from vidrec.search.conditions import parse_conditions
from vidrec.search.query import Query, parse_parts
from vidrec.search.session import Answer, Session


def ask(
    settings: Settings,
    words: Sequence[str],
    *,
    where: Sequence[str] = (),
    like: Sequence[str] = (),
    unlike: Sequence[str] = (),
    **options: Any,
) -> Answer:
    """Open a session for one question."""
    conditions = parse_conditions(where)
    with Session(settings) as session:
        parts = parse_parts(words, like, unlike, may_be_none=True)
        return session.recommend(Query(parts, conditions=conditions, **options))
