"""Filters: which points may match, decided before anything is ranked."""

from __future__ import annotations

from vidrec.conditions import Condition, Filter
from vidrec.errors import UsageError
from vidrec.library import Library
from vidrec.search.query import Query
from vidrec.search.told import Told
from vidrec.types import PAYLOAD_FIELDS, Scalar, Scope

FEW = 10_000  # videos that a filter names; of more it names the others


def filter_of(library: Library, told: Told, query: Query, excluded: frozenset[str]) -> Filter:
    """Return which points may match.

    Whether a payload equals something is left to the store; all else is decided from the library,
    so that what was just tagged counts at once.

    Raises:
        UsageError: a condition is wrong.
    """
    scope: Scope | None = None if query.scope == "best" else query.scope
    equal: dict[str, tuple[Scalar, ...]] = {}
    native: list[Condition] = []
    of_library: list[Condition] = []  # on what is not written into points
    for condition in query.conditions:
        key = condition.key
        if key == "scope":
            scope = _scope_of(condition)
        elif key == "path" or (key not in PAYLOAD_FIELDS and told.knows(key)):
            of_library.append(condition)
        elif condition.op in ("=", "in"):  # several of one key mean any of them
            equal[key] = (*equal.get(key, ()), *condition.values)
        else:
            native.append(condition)
    native += [Condition(key, "in", values) for key, values in equal.items()]
    met = told.videos_where(of_library)
    if met is None:
        return Filter(scope, tuple(native), excluded)
    if len(met) <= FEW:
        native.append(Condition("video_id", "in", tuple(sorted(met))))
        return Filter(scope, tuple(native), excluded)
    return Filter(scope, tuple(native), excluded | library.other_ids(met))


def _scope_of(condition: Condition) -> Scope:
    values = condition.value if condition.op == "in" else (condition.value,)
    if condition.op not in ("=", "in") or len(values) != 1 or values[0] not in ("clip", "video"):
        received = ",".join(str(value) for value in values)
        raise UsageError(f"scope is clip or video. Received: scope{condition.op}{received}")
    return "video" if values[0] == "video" else "clip"
