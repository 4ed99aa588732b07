"""Wished: options by name, of a command line or of a line of JSON, become one query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidrec.conditions import Condition
from vidrec.errors import UsageError
from vidrec.files import parsed_json
from vidrec.search.conditions import parse_conditions
from vidrec.search.last import named
from vidrec.search.query import Query, parse_parts

NAMES = ("video_id", "id", "path", "url", "filename", "name")  # of a video, in a history


def wished(options: Mapping[str, Any], library: Path) -> Query:
    """Return the query that options mean; what is missing or None has its default.

    Words are understood as on a command line: one that names a file of this machine is that file,
    and ``#2`` is a result of the library's last answer. So options must come from its user.

    Args:
        options: by the names of ``OPTIONS``. ``query``, ``like``, ``unlike`` and ``where`` are a
            text or several; ``max_per`` is those as ``label=2``, or a mapping; ``history`` is the
            path of a file, or a list of ids and names.
        library: its folder.

    Raises:
        UsageError: there is no such option, or it is of another kind.
    """
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise UsageError(f"no option is named {unknown[0]!r}: choose of {', '.join(OPTIONS)}")
    given = {
        name: _READERS[name](name, value) for name, value in options.items() if value is not None
    }
    words = [
        [named(library, word) for word in given.pop(name, ())]
        for name in ("query", "like", "unlike")
    ]
    fields = {_FIELDS.get(name, name): value for name, value in given.items()}
    return Query(parse_parts(*words, may_be_none=bool(given.get("like_history"))), **fields)


def read_history(path: Path) -> tuple[str, ...]:
    """Return the ids, names, paths or URLs that a file lists, the latest last.

    A line is one of them, or a JSON object with one of ``NAMES``; empty lines and lines that begin
    with ``#`` are passed over.

    Raises:
        UsageError: it cannot be read, or a line names no video.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as exc:
        raise UsageError(f"cannot read the history {path}: {exc.strerror}") from exc
    numbered = enumerate(map(str.strip, lines), 1)
    return tuple(
        _named(line, f"{path}, line {number}") if line.startswith("{") else line.removeprefix("id:")
        for number, line in numbered
        if line and not line.startswith("#")
    )


def _named(line: str, where: str) -> str:
    try:
        row = parsed_json(line)
    except ValueError as exc:
        raise UsageError(f"{where} is no JSON object: {exc}") from exc
    name = next((row[key] for key in NAMES if isinstance(row.get(key), str)), None)
    if name is None:
        raise UsageError(f"{where} names no video: it needs one of {', '.join(NAMES)}")
    return str(name)


def _texts(name: str, value: Any) -> Sequence[str]:
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, (list, tuple)) or not all(isinstance(v, str) for v in several):
        raise UsageError(f"{name} is a text or a list of texts. Received: {value!r}")
    return several


def _reader(what: str, *kinds: type) -> Callable[[str, Any], Any]:
    """Return what lets values of these very kinds pass; true and false are no numbers."""

    def read(name: str, value: Any) -> Any:
        if type(value) not in kinds:
            raise UsageError(f"{name} is {what}. Received: {value!r}")
        return value

    return read


_switch, _word = _reader("true or false", bool), _reader("a word", str)
_whole, _number = _reader("a whole number", int), _reader("a number", int, float)


def _conditions(name: str, value: Any) -> tuple[Condition, ...]:
    return parse_conditions(_texts(name, value))


def _caps(name: str, value: Any) -> tuple[tuple[str, int], ...]:
    if isinstance(value, Mapping):
        return tuple((key.strip(), _whole(name, count)) for key, count in value.items())
    caps = []
    for cap in _texts(name, value):
        key, _, count = cap.partition("=")
        if not key or not count.strip().isdecimal():
            raise UsageError(f"--max-per takes a field and a number: label=2. Received: {cap}")
        caps.append((key.strip(), int(count)))
    return tuple(caps)


def _history(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, (str, Path)):
        return read_history(Path(value))
    return tuple(video.removeprefix("id:") for video in _texts(name, value))


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "query": _texts, "like": _texts, "unlike": _texts, "top_k": _whole, "where": _conditions,
    "clips": _switch, "scope": _word, "pool": _word, "diversity": _number, "max_per": _caps,
    "dedupe": _switch, "history": _history, "like_history": _switch, "min_score": _number,
    "min_confidence": _number, "why": _switch,
}  # fmt: skip
OPTIONS = tuple(_READERS)
_FIELDS = {"top_k": "k", "where": "conditions"}  # what a query calls them
