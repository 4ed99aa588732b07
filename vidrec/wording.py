"""Words for people: numbers, times and sizes, and hints at what a typo may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable


def count(number: int, thing: str) -> str:
    """Write a number of things: ``1 video``, ``2 videos``, ``2 queries``."""
    return f"{number:,} {thing if number == 1 else plural(thing)}"


def some(number: int, what: str) -> str:
    """Write a number of a sum, or nothing where it is 0."""
    return f"{number} {what}" if number else ""


def plural(thing: str) -> str:
    """Return the word for several: ``videos``, ``queries``, ``classes``."""
    return f"{thing}es" if thing.endswith("s") else f"{re.sub(r'(?<=[^aeiou])y$', 'ie', thing)}s"


def dollars(cost: float | None) -> str:
    """Write a cost; one that no price is set for is not known."""
    return "not known" if cost is None else f"${cost:.2f}"


def moment(seconds: float | None) -> str:
    """Write seconds as ``m:ss`` or ``h:mm:ss``; a dash where they are not known."""
    if seconds is None:
        return "–"
    whole = int(seconds + 0.5)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    """Write a number of bytes for a person."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def not_held(name: str) -> str:
    """Return that a name is of no video in the library; one that looks like an id is told how."""
    like_id = re.fullmatch(r"[0-9a-f]{6,64}", name)
    return f"{name} is not in the library" + (f" (an id is written id:{name})" if like_id else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint to append to a message: ``; did you mean dog?``, or nothing."""
    from difflib import get_close_matches

    by_fold = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), by_fold, n=2)
    return f"; did you mean {' or '.join(by_fold[name] for name in close)}?" if close else ""
