"""Fields: what is known of each video, the user's own fields too, and who meets conditions.

A user's field holds a number or a text. Numbers compare with numbers and texts with texts, letter
by letter; a video without a field meets only conditions with ``!=``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any

from vidrec.conditions import Condition, Filter, check_filter
from vidrec.errors import UsageError
from vidrec.library.catalog import Catalog
from vidrec.types import Scalar
from vidrec.wording import did_you_mean

# Names that conditions use, and the catalog's columns.
COLUMNS = {
    "video_id": "id", "filename": "filename", "path": "path", "url": "url", "label": "label",
    "group": "grp", "duration_sec": "duration_sec", "width": "width", "height": "height",
    "fps": "fps", "codec": "codec", "size": "size", "added": "added_at",
}  # fmt: skip
OTHERS = ("folder", "split")  # made of the place; a user's field that others may set


class Fields(Catalog):
    """The user's own fields, and conditions on all fields."""

    def set_fields(self, values: Iterable[tuple[str, Mapping[str, Scalar]]]) -> int:
        """Set fields of (video id, fields) in one transaction; None removes one.

        Returns:
            How many values were set or removed.

        Raises:
            UsageError: a name is the catalog's own, or no name.
        """
        count = 0
        with self.transaction():
            for video_id, fields in values:
                for key, value in fields.items():
                    check_field(key)
                    count += 1
                    if value is None:
                        remove = "DELETE FROM fields WHERE video_id = ? AND key = ?"
                        self.write(remove, video_id, key)
                    else:
                        self.put("fields", video_id, key, _stored(value))
        return count

    def fields_of(self, video_ids: Sequence[str]) -> dict[str, dict[str, Scalar]]:
        """Return the user's fields of those of some videos that have any."""
        found: dict[str, dict[str, Scalar]] = {}
        select = "SELECT video_id, key, value FROM fields WHERE video_id IN"
        for video_id, key, value in self.read_among(select, video_ids):
            found.setdefault(video_id, {})[key] = value
        return found

    def field_names(self) -> list[str]:
        """Return the names of the user's fields."""
        return self.column("SELECT DISTINCT key FROM fields ORDER BY key")

    def field_values(self, most: int) -> dict[str, list[Scalar]]:
        """Return up to so many values of each of the user's fields, in their order."""
        select = "SELECT DISTINCT value FROM fields WHERE key = ? ORDER BY value LIMIT ?"
        return {name: self.column(select, name, most) for name in self.field_names()}

    def values_of(self, video_ids: Sequence[str], key: str) -> dict[str, Scalar]:
        """Return a field's value of those of some videos that have one; of a place its folder."""
        if key == "folder":
            select = "SELECT id, coalesce(path, url) FROM videos WHERE id IN"
        elif key in COLUMNS:
            select = f"SELECT id, {COLUMNS[key]} FROM videos WHERE id IN"
        else:
            select = "SELECT video_id, value FROM fields WHERE key = ? AND video_id IN"
        given = [key] if "key = ?" in select else []
        found: dict[str, Scalar] = dict(self.read_among(select, video_ids, *given))
        if key == "folder":
            return {i: str(PurePath(str(place)).parent) for i, place in found.items() if place}
        return {video_id: value for video_id, value in found.items() if value is not None}

    def knows_field(self, key: str) -> bool:
        """Whether conditions on a field can be met by what the catalog knows."""
        known = key in COLUMNS or key in OTHERS
        return known or bool(self.value("SELECT 1 FROM fields WHERE key = ? LIMIT 1", key))

    def videos_where(self, conditions: Sequence[Condition]) -> set[str] | None:
        """Return the ids of the videos that meet all conditions; None if there is none to meet.

        Raises:
            UsageError: a condition is wrong, or a field is not known; the message names those that
                are.
        """
        check_filter(Filter(conditions=tuple(conditions)))
        met: set[str] | None = None
        for condition in conditions:
            ids = self._meeting(condition)
            met = ids if met is None else met & ids
        return met

    def unknown_field(self, key: str, others: Iterable[str] = ()) -> UsageError:
        """Return what to raise for a field that nobody knows."""
        known = dict.fromkeys([*COLUMNS, *OTHERS, *self.field_names(), *others])
        hint = did_you_mean(key, known)
        return UsageError(f"no video has a field {key!r}{hint} (choose one of {', '.join(known)})")

    def _meeting(self, condition: Condition) -> set[str]:
        key = condition.key
        if not self.knows_field(key):
            raise self.unknown_field(key)
        if condition.op == "!=":
            meeting = self._meeting(Condition(key, "in", condition.values))
            return set(self.column("SELECT id FROM videos")) - meeting
        if key == "folder":
            rows = self.read("SELECT id, coalesce(path, url) FROM videos")
            return {row[0] for row in rows if row[1] and _in_folder(row[1], condition)}
        test, values = _test(COLUMNS.get(key, "value"), condition)
        if key in COLUMNS:
            return set(self.column(f"SELECT id FROM videos WHERE {test}", *values))
        select = f"SELECT video_id FROM fields WHERE key = ? AND {test}"
        return set(self.column(select, key, *values))


def check_field(key: str) -> None:
    """Refuse a name that a user's field cannot have.

    Raises:
        UsageError: it is the catalog's own, empty, or could not be asked for.
    """
    if key in COLUMNS or key == "folder":
        more = "; `vidrec label` sets labels" if key == "label" else ""
        raise UsageError(f"{key} is a field of vidrec's own: choose another name{more}")
    if not key or not all(c.isalnum() or c in "_-." for c in key):
        raise UsageError(f"a field's name is of letters, digits, _, - and dots. Received: {key!r}")


def _stored(value: Scalar) -> str | int | float:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    assert value is not None
    return value


def _test(column: str, condition: Condition) -> tuple[str, list[Any]]:
    """Return a condition in SQL and its values."""
    value, values = condition.value, list(condition.values)
    if condition.op in ("=", "in"):
        stored = [_stored(one) for one in condition.values if one is not None]
        test = f"{column} IN ({', '.join('?' * len(stored))})"
        return (f"({test} OR {column} IS NULL)" if None in condition.values else test), stored
    if condition.op == "~":
        tests = [f"{column} GLOB ?" if "[" not in v else f"fits({column}, ?)" for v in values]
        return f"({' OR '.join(tests) or 'false'})", values
    kinds = "('text')" if isinstance(value, str) else "('integer', 'real')"
    return f"typeof({column}) IN {kinds} AND {column} {condition.op} ?", [_stored(value)]


def _in_folder(place: str, condition: Condition) -> bool:
    """Whether a video lies in a folder: a name is compared with its name, a path with its path."""
    folder = PurePath(place).parent
    for value in map(str, condition.values):
        mine = str(folder) if "/" in value or "\\" in value else folder.name
        if condition.op == "~":
            below = PurePath(value).parts and PurePath(mine).match(value)
            if below or fnmatchcase(mine, value):
                return True
        elif mine == value.rstrip("/"):
            return True
    return False
