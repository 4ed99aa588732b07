"""Conditions and filters: which points may match, and what that means, for every store alike.

Values compare as JSON does: 1 equals 1.0, but neither "1" nor true; None is null or missing. Larger
and smaller compare numbers with numbers and texts with texts, letter by letter (dates such as
2026-11-25). ``~`` is a shell's pattern over a whole text (``*``, ``?``, ``[abc]``, ``[!abc]``),
capitals counting. Of a list, one value is enough. What is missing is unequal to everything else.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, get_args

from vidrec.errors import UsageError
from vidrec.records import dataclass
from vidrec.types import PAYLOAD_FIELDS, Payload, Scalar, Scope

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "in", "~"]
NUMBERS = (
    "start_sec", "end_sec", "duration_sec", "width", "height", "fps", "size", "added"
)  # fmt: skip
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

_PLAIN = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class Condition:
    """What a payload field must be.

    Several values, as a tuple, mean any of them (and for ``!=`` none of them); a list or a set
    becomes a tuple, and what numpy made a value of Python's.
    """

    key: str
    op: Operator
    value: Any

    def __post_init__(self) -> None:
        """Refuse what could never be met.

        Raises:
            UsageError: there is no such operator, or a value is none that a field can have.
        """
        if self.op not in get_args(Operator):
            known = " ".join(get_args(Operator))
            raise UsageError(f"a condition has one of {known}. Received: {self.op!r}")
        value = self.value
        if not isinstance(value, (tuple, list, set, frozenset)):
            value = _plain(value)
        elif type(value) is not tuple or not _PLAIN.issuperset(map(type, value)):
            value = tuple(map(_plain, value))
        object.__setattr__(self, "value", value)

    @property
    def values(self) -> tuple[Any, ...]:
        return self.value if isinstance(self.value, tuple) else (self.value,)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which points may match, decided before ranking; every condition must hold."""

    scope: Scope | None = None
    conditions: tuple[Condition, ...] = ()
    exclude_videos: frozenset[str] = frozenset()


def holds(condition: Condition, stored: Any) -> bool:
    """Whether a stored value, or one of a list, is as the condition wants."""
    if isinstance(stored, list) and stored:
        one = any(_holds(condition.op, condition.values, value) for value in stored)
        return not one if condition.op == "!=" else one
    found = _holds(condition.op, condition.values, stored)
    return not found if condition.op == "!=" else found


def _holds(op: str, values: tuple[Any, ...], stored: Any) -> bool:
    if op in ORDERS:
        wanted = values[0]
        alike = is_number(stored) if is_number(wanted) else isinstance(stored, str)
        return alike and bool(ORDERS[op](stored, wanted))
    if op == "~":
        return isinstance(stored, str) and any(fnmatchcase(stored, value) for value in values)
    return any(same_value(stored, value) for value in values)


def same_value(stored: Any, wanted: Scalar) -> bool:
    """Compare as JSON does: 1 equals 1.0, but neither "1" nor true. None is null or missing."""
    if is_number(stored) and is_number(wanted):
        return bool(stored == wanted)
    return type(stored) is type(wanted) and bool(stored == wanted)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Any) -> Scalar:
    """Return a value as Python's own, what numpy or an enumeration made of one too."""
    if hasattr(value, "item") and not getattr(value, "ndim", 1):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    raise UsageError(f"a value is a text, a number, true, false or None. Received: {value!r}")


def check_filter(where: Filter) -> None:
    """Refuse conditions that mean nothing.

    Raises:
        UsageError: one is larger or smaller than what is neither a number nor a text, or several
            values, or has no text as its pattern.
    """
    for condition in where.conditions:
        op, value = condition.op, condition.value
        number = condition.key in NUMBERS and op != "~"
        if op in ORDERS and not (is_number(value) or (isinstance(value, str) and not number)):
            kind = "a number" if number else "a number or a text"
        elif op == "~" and not all(isinstance(one, str) for one in condition.values):
            kind = "a text"
        else:
            continue
        raise UsageError(f"{condition.key}{op} takes {kind}. Received: {value!r}")


def check_keys(where: Filter, keys: Collection[str]) -> None:
    """Refuse a condition on a key that no point has.

    Raises:
        UsageError: it is neither one of vidrec's nor among ``keys``.
    """
    for condition in where.conditions:
        if condition.key not in PAYLOAD_FIELDS and condition.key not in keys:
            raise unknown_key(condition.key, keys)


def unknown_key(key: str, keys: Collection[str]) -> UsageError:
    """Return what to raise for a key that no point has; those that some have are ``keys``."""
    known = ", ".join([*PAYLOAD_FIELDS, *sorted(keys)])
    return UsageError(f"no point has a {key!r} to filter on: choose one of {known}")


def matches(where: Filter, payload: Payload) -> bool:
    """Whether a point may match; for stores that look at one after another."""
    if where.scope not in (None, payload.scope) or payload.video_id in where.exclude_videos:
        return False
    flat = payload.as_dict()
    return all(holds(condition, flat.get(condition.key)) for condition in where.conditions)
