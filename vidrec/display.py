"""What a person or a program sees: results on stdout, all else on stderr."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import TextIOBase, TextIOWrapper
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

from vidrec.errors import VidrecError
from vidrec.progress import Progress
from vidrec.urls import without_secrets
from vidrec.wording import count as count
from vidrec.wording import dollars as dollars
from vidrec.wording import moment as moment
from vidrec.wording import plural
from vidrec.wording import size as size
from vidrec.wording import some as some

if TYPE_CHECKING:
    from vidrec.table import Cell

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e]")
_log = logging.getLogger("vidrec")
_log.addHandler(logging.NullHandler())  # or Python would print what is logged before `speak`
PLAIN_SECONDS = 5.0  # between two lines of progress where there is no terminal


# How results are written; auto is a table on a terminal and JSON lines in a pipe.
Format: TypeAlias = Literal["auto", "table", "json", "jsonl", "paths"]
_quiet = False
_format: Format = "auto"  # of the command that runs: errors are JSON when results are


def choose_format(asked: Format) -> Format:
    """Settle ``auto``, and remember what was asked for errors."""
    global _format
    _format = asked
    if asked == "auto":
        return "table" if sys.stdout.isatty() else "jsonl"
    return asked


def asked_format() -> Format:
    """Return the format as it was asked for."""
    return _format


def asks_for_json(words: Sequence[str]) -> bool:
    """Whether a command that cannot be understood asks for JSON: then its error is JSON, too."""
    for name, value in zip(words, (*words[1:], ""), strict=False):
        if name.startswith("--format="):
            name, value = name.split("=", 1)
        if name in ("--format", "-f") and value in ("json", "jsonl"):
            choose_format("json")
            return True
    return False


def be_quiet(wished: bool) -> None:
    """Say nothing but what went wrong."""
    global _quiet
    _quiet = wished


class _Closed(TextIOBase):
    """A stream that was closed before the program began; what is written to it is an error."""

    encoding = "utf-8"

    @property
    def buffer(self) -> _Closed:
        return self

    def write(self, text: str | bytes) -> int:
        raise OSError(errno.EBADF, "stdout is closed: there is nowhere to write the results")


class _Stdout(TextIOWrapper):
    """stdout, whose errors say whose they are."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as exc:
            raise OSError(exc.errno, f"cannot write to stdout: {exc.strerror}") from exc


class _Stderr(TextIOWrapper):
    """stderr: what it cannot take is lost, and ends no run (a log on a full disk, say)."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def accept_any_text() -> None:
    """Let no letter that the terminal lacks end a command; bytes of file names pass as they are."""
    for name, kind in (("stdout", _Stdout), ("stderr", _Stderr)):
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):
                stream.flush()
            unicode = stream.encoding.lower().replace("-", "") == "utf8"
            made = kind(
                stream.buffer, stream.encoding, "surrogateescape" if unicode else "replace",
                None, stream.line_buffering, stream.write_through,
            )  # fmt: skip
            setattr(sys, name, made)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def error_of(error: VidrecError) -> dict[str, Any]:
    """Return an error as JSON has it."""
    message = without_secrets(" ".join(str(error).split()))
    return {"error": message, "kind": type(error).__name__, "exit_code": error.exit_code}


def show_error(error: VidrecError) -> None:
    """Write an error as one line, or as one JSON object under a JSON format."""
    message = " ".join(str(error).split())
    as_json = _format in ("json", "jsonl")
    line = _json(error_of(error)) if as_json else f"error: {plain(message)}"
    _log.error("%s", plain(message), extra={"shown": True})
    print(line, file=sys.stderr)


def flush(*, silent: bool = False) -> int:
    """Write out what stdout still holds; return the exit code where that cannot be, else 0.

    Whoever read us and has enough is no error to speak of; ``silent``: one was shown before.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what it holds would be tried again at exit
        if getattr(exc, "errno", None) != errno.EPIPE and not silent:
            reason = getattr(exc, "strerror", None) or exc
            show_error(VidrecError(f"cannot write to stdout: {reason}"))
        return VidrecError.exit_code
    return 0


def show_command(line: str) -> None:
    """Write a command that is about to run, as one would type it."""
    print(f"\n$ {line}", flush=True)


def note(message: str) -> None:
    """Write a line to stderr."""
    _log.info("%s", plain(message), extra={"shown": True})
    if not _quiet:
        print(plain(message), file=sys.stderr)


def show_lines(rows: Iterable[Any], *, flush: bool = False) -> None:
    """Write one JSON object a line; ``flush`` each, where a reader waits for it."""
    for row in rows:
        print(_json(row), flush=flush)


def show_data(wished: Format, document: Any, rows: Iterable[Any] | None = None) -> bool:
    """Write results under a JSON format; return whether one is wished, and no table.

    ``json`` is the document, indented; ``jsonl`` a line a row, or the document where there are
    no rows. Dataclasses are written as objects.
    """
    if wished == "json":
        print(_json(document, indent=2))
    elif wished == "jsonl":
        show_lines([document] if rows is None else rows)
    return wished in ("json", "jsonl")


def _json(document: Any, indent: int | None = None) -> str:
    """Return JSON in plain letters, or escaped where stdout has no letter for something."""
    text = json.dumps(document, default=_plain_data, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(document, default=_plain_data, indent=indent)
    return text


def _plain_data(value: Any) -> Any:
    from dataclasses import asdict, is_dataclass

    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def show_table(
    rows: Sequence[Mapping[str, str | Cell]],
    *,
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
    under: Sequence[Sequence[str]] = (),
    none: str = "",
) -> None:
    """Write a table to stdout, as wide as the terminal; see ``Table`` for the columns' kinds.

    Args:
        rows: their cells by the headings of the columns; one in which nothing stands is left out.
        none: what is noted where there are no rows.
    """
    from vidrec.table import Table

    if not rows:
        return note(none)
    safe = [{name: _plain_cell(cell) for name, cell in row.items()} for row in rows]
    columns = [name for name in safe[0] if any(row[name].text for row in safe)]
    # Without a terminal there is no width to fit: never cut what a program may read.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    below = [[plain(line) for line in lines] for lines in under]
    cells = [[row[name] for name in columns] for row in safe]
    for line in Table(columns, cells, right, spare, below).lines(width, dressed=colours()):
        print(_spelled(line))


def _plain_cell(cell: str | Cell) -> Cell:
    from vidrec.table import Cell

    text, style, link = cell if isinstance(cell, Cell) else (cell, "", "")
    return Cell(plain(text), style, link if link.isascii() else "")


def _spelled(line: str) -> str:
    """Return a line without the signs of our own that stdout has no letter for."""
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return line.translate({ord("─"): "-", ord("–"): "-", ord("…"): "~"})
    return line


def plain(text: str) -> str:
    """Return text that breaks no line and steers no terminal: file names may hold anything.

    Nor has a URL in it a password or what signs it.
    """
    escaped = _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return without_secrets(escaped)


def colours(stream: TextIO | None = None) -> bool:
    """Whether a stream (stdout by default) is a terminal that shows colours."""
    wished = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wished and (stream or sys.stdout).isatty()


def bold(text: str) -> str:
    """Return text in bold letters, where stdout shows such."""
    return f"\x1b[1m{text}\x1b[0m" if colours() else text


def _has_width(stream: TextIO) -> bool:
    """Whether a terminal knows how wide it is: tqdm shows nothing on one of no columns."""
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        return False


class Bar(Progress):
    """Progress on stderr: a bar with count and estimate on a terminal, plain lines otherwise."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._task = ""
        self._total: int | None = None
        self._unit = ""
        self._done = 0
        self._said = self._started = 0.0

    def start(self, task: str, total: int | None, unit: str) -> None:
        self._task, self._total, self._unit, self._done = task, total, unit, 0
        self._said = self._started = time.monotonic()
        if self._stream.isatty() and not _quiet:
            from tqdm import tqdm

            wide = _has_width(self._stream)
            self._bar = tqdm(
                desc=task, total=total, unit=unit if unit == "B" else f" {unit}",
                unit_scale=unit == "B", file=self._stream, leave=False,
                dynamic_ncols=wide, ncols=None if wide else 80, nrows=None if wide else 24,
            )  # fmt: skip

    def step(self, count: int = 1, detail: str = "") -> None:
        self._done += count
        if self._bar is not None:
            if detail:
                self._bar.set_postfix_str(detail[:30], refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._said >= PLAIN_SECONDS and not _quiet:
            self._said = time.monotonic()
            of = "" if self._total is None else f"/{self._total}"
            single = self._total == 1 or self._unit == "B"
            things = self._unit if single else plural(self._unit)
            rate = self._done / (self._said - self._started)
            more = f"; {detail}" if detail else ""
            self._stream.write(
                f"{self._task}: {self._done}{of} {things} ({rate:,.1f} a second{more})\n"
            )
            self._stream.flush()

    def part(self, detail: str, share: float) -> None:
        shown = f"{plain(detail)[:30]} {share:.0%}"
        if self._bar is not None:
            self._bar.set_postfix_str(shown, refresh=False)
            self._bar.update(0)
        elif time.monotonic() - self._said >= PLAIN_SECONDS:
            self.step(0, shown)

    def warn(self, message: str) -> None:
        _log.warning("%s", plain(message), extra={"shown": True})
        message = plain(message)
        if self._bar is not None:
            self._bar.write(message, file=self._stream)
        else:
            self._stream.write(message + "\n")
            self._stream.flush()

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
