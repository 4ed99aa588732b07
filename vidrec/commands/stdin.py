"""What is read from stdin: names, a file, an answer to a question."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

import typer

from vidrec.errors import UsageError


def with_stdin(paths: list[str], *, nul: bool = False) -> list[str]:
    """Put the names on stdin where a dash stands: one a line, or each before a NUL.

    No file name holds a NUL, so where one is found the names are apart by it, asked or not.

    Raises:
        UsageError: a name is empty.
    """
    if "" in paths:
        raise UsageError("an empty name: is a variable of the shell not set?")
    if "-" not in paths:
        return paths
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # names are bytes, whatever the encoding
    text = sys.stdin.read() if sys.stdin else ""
    if nul or "\0" in text:
        listed = [name for name in text.split("\0") if name]
    else:
        listed = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    return [path for path in paths if path != "-"] + listed


def nothing_in(names: list[str] | None) -> str:
    """Say why a command found no video in what was named."""
    if not names:
        return "the list on stdin is empty: there is nothing to do"
    return "no video was found: folders are searched for files with a video's extension"


def may_ask() -> bool:
    """Whether somebody is there to answer a question."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty())


def agrees(question: str) -> bool:
    """Ask whoever sits there; nobody says no."""
    return may_ask() and typer.confirm(question, err=True)


@contextmanager
def opened(source: Path) -> Iterator[BinaryIO]:
    """Open a file that is read, or stdin where ``-`` is named.

    Raises:
        UsageError: it cannot be opened.
    """
    if str(source) == "-":
        yield sys.stdin.buffer
        return
    try:
        file = source.open("rb")
    except OSError as exc:
        raise UsageError(f"cannot read {source}: {exc.strerror or exc}") from exc
    with file:
        yield file
