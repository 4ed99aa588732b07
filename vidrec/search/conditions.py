"""Conditions on fields: ``label=Cats``, ``duration_sec >= 60``, ``filename ~ *.mkv``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from vidrec.conditions import NUMBERS, Condition
from vidrec.errors import UsageError
from vidrec.files import parsed_json
from vidrec.types import Scalar

_CONDITION = re.compile(
    r"\s*(?P<key>[^\s=!<>~]+)\s*(?P<op>!=|<=|>=|=|<|>|~|(?<=\s)in(?=\s))\s*(?P<value>.*?)\s*",
    re.DOTALL,
)
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


def parse_conditions(words: Sequence[str]) -> tuple[Condition, ...]:
    """Return the conditions that words say; several ``=`` on one field mean any of the values.

    A value counts as text and, where it reads as one, as a number, truth or null.

    Raises:
        UsageError: a word is no condition, or a value cannot be compared.
    """
    equals: dict[str, list[Scalar]] = {}
    others: list[Condition] = []
    for word in words:
        found = _CONDITION.fullmatch(word)
        if found is None:
            raise UsageError(
                "--where takes a field, one of = != < <= > >= in ~ and a value, as key=value. "
                f"Received: {word}"
            )
        key, op, value = found["key"], found["op"], found["value"]
        if op == "=":
            equals.setdefault(key, []).extend(_equal(key, value))
        elif op == "in":
            several = [one for part in value.split(",") for one in _equal(key, part.strip())]
            others.append(Condition(key, "in", tuple(several)))
        elif op == "!=":
            others += [Condition(key, "!=", one) for one in _equal(key, value)]
        elif op == "~":
            if key in NUMBERS:
                raise UsageError(f"{key} is a number: ~ takes texts. Received: {word}")
            others.append(Condition(key, "~", value))
        else:
            others.append(Condition(key, op, _ordered(key, value)))  # type: ignore[arg-type]
    return (*(Condition(key, "in", tuple(some)) for key, some in equals.items()), *others)


def meanings(value: str) -> list[Scalar]:
    """Return a value as text and, where it reads as one, as a number, truth or null."""
    parsed = scalar(value)
    return [value] if isinstance(parsed, str) else [value, parsed]


def scalar(value: str) -> Scalar:
    """Return a word as what it reads as: a number, truth, null, or a text (also in quotes)."""
    try:
        parsed = parsed_json(value)
    except ValueError:
        return value
    if isinstance(parsed, (list, dict)) or (
        isinstance(parsed, float) and not math.isfinite(parsed)
    ):
        return value
    return parsed if not isinstance(parsed, str) or value[:1] == '"' else value


def _equal(key: str, value: str) -> list[Scalar]:
    if key == "added":
        return [_time(value)]
    return meanings(value)


def _ordered(key: str, value: str) -> Any:
    if key == "added":
        return _time(value)
    clock = _CLOCK.fullmatch(value) if key == "duration_sec" else None
    if clock:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    parsed = scalar(value)
    if key in NUMBERS and (isinstance(parsed, (str, bool)) or parsed is None):
        raise UsageError(f"{key} takes a number. Received: {value}")
    return value if parsed is None or isinstance(parsed, bool) else parsed


def _time(value: str) -> float:
    """Return the Unix seconds of an ISO 8601 date or time; one without a zone is local."""
    try:
        return datetime.fromisoformat(value.strip('"').replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError) as exc:
        raise UsageError(f"added takes a date such as 2026-11-25. Received: {value}") from exc
