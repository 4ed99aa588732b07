"""Show the guide that comes with vidrec."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from typer import Argument

from vidrec.commands.options import command
from vidrec.errors import UsageError
from vidrec.wording import did_you_mean

PACKAGE = Path(__file__).parents[1]
BOOKS = ("GUIDE.md", "SCALE.md", "CHANGELOG.md")


@command()
def guide(
    topic: str | None = Argument(
        None,
        help="A part of it, by words of its heading: asking, stores, cost, scale …",
        show_default="all",
        autocompletion=lambda: [*topics()],
    ),
) -> None:
    """Show the guide: what can be asked, stores, costs, the page, other machines.

    Example: vidrec guide asking
    """
    text = "\n\n".join(topics().values()) if topic is None else text_of(topic)
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    columns = min(shutil.get_terminal_size().columns, 100)
    Console(width=columns).print(Markdown(text, hyperlinks=False))


def topics() -> dict[str, str]:
    """Return the parts of the guide by their headings: each ``##`` of the guide, and the rest."""
    first, *others = ((PACKAGE / name).read_text(encoding="utf-8").strip() for name in BOOKS)
    found = {}
    for text in (*re.split(r"\n(?=## )", first)[1:], *others):
        heading, _, _ = text.partition("\n")
        found[heading.lstrip("# ")] = text
    return found


def text_of(topic: str) -> str:
    """Return the parts that a word names.

    Raises:
        UsageError: none has it in its heading.
    """
    known = topics()
    word = topic.casefold().strip()
    found = [text for heading, text in known.items() if word in heading.casefold()]
    if word and found:
        return "\n\n".join(found)
    hint = did_you_mean(topic, known)
    raise UsageError(f"the guide has no part {topic}{hint} (choose one of {', '.join(known)})")
