"""Words for people: numbers of things, and hints at what a typo may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable


def count(number: int, thing: str) -> str:
    """Write a number of things: ``1 video``, ``2 videos``, ``2 queries``."""
    return f"{number:,} {thing if number == 1 else plural(thing)}"


def plural(thing: str) -> str:
    """Return the word for several: ``videos``, ``queries``, ``classes``."""
    return f"{thing}es" if thing.endswith("s") else f"{re.sub(r'(?<=[^aeiou])y$', 'ie', thing)}s"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint to append to a message: ``; did you mean dog?``, or nothing."""
    from difflib import get_close_matches

    by_fold = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), by_fold, n=2)
    return f"; did you mean {' or '.join(by_fold[name] for name in close)}?" if close else ""
