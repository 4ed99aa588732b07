"""Vectors with their metadata in files: Parquet or JSON lines.

A row is one embedding: the columns of ``rows.COLUMNS``, ``vector`` (float32) and ``extra``
(metadata that vidrec does not know). Floats are written so that every bit comes back.

    .parquet   one column each, ``vector`` a fixed-size list, ``options`` and ``extra`` as JSON
    .jsonl     one object a line

Files made elsewhere need only a vector (``vector`` or ``embedding``) and something that tells the
videos apart; columns that are not known become ``extra``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

from vidrec.errors import StorageError, UsageError
from vidrec.exchange.parquet import read_parquet, write_parquet
from vidrec.exchange.rows import Bad, Reading, Row
from vidrec.exchange.targets import STDOUT, is_stream, readable, write_to
from vidrec.files import parsed_json

FileKind = Literal["parquet", "jsonl"]
LONGEST_LINE = 64 << 20  # bytes


def kind_of(path: Path, wished: str | None) -> FileKind:
    """Return the kind of a file by wish or by its name; a stream's is JSON lines if neither tells.

    Raises:
        UsageError: neither tells.
    """
    unnamed = "jsonl" if str(path) == STDOUT or is_stream(path) else ""
    match wished or path.suffix.lower().lstrip(".") or unnamed:
        case "parquet":
            return "parquet"
        case "jsonl" | "ndjson":
            return "jsonl"
        case _:
            raise UsageError(
                f"{path} is none of .parquet, .jsonl: name it so or give --file-format"
            )


def write_rows(
    path: Path, kind: FileKind, rows: Iterable[Row], dim: int, *, force: bool = False
) -> int:
    """Write rows of ``dim`` numbers; a file is there whole or not at all.

    Raises:
        UsageError: a file is there that vidrec did not write, and ``force`` is off.
        StorageError: it cannot be written.
    """
    write = partial(write_parquet, rows=rows, dim=dim) if kind == "parquet" else partial(
        _write_lines, rows=rows
    )  # fmt: skip
    return write_to(path, write, force=force)


def _write_lines(file: BinaryIO, rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        line = {**row, "vector": row["vector"].tolist()}
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        count += 1
    return count


def read_rows(source: str, path: Path, kind: FileKind, reading: Reading) -> Iterator[Row | Bad]:
    """Yield the rows of a file in bounded memory, with ``vector`` as a float32 array.

    A row that cannot be understood comes as what is wrong with it, by name of its line.

    Raises:
        UsageError: the file does not hold vectors in that format.
        StorageError: it cannot be read.
    """
    name = "stdin" if source == STDOUT else str(path)
    try:
        with readable(source, path) as file:
            if kind == "parquet":
                yield from read_parquet(file, name, reading)
            else:
                for number, line in _lines(file, name):
                    bad = isinstance(line, UsageError)
                    yield line if bad else reading.row(line, f"{name}, line {number}")
    except OSError as exc:
        raise StorageError(f"cannot read {name}: {exc.strerror or exc}") from exc


def _lines(path: Path, name: str) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, raw in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
            if len(raw) == LONGEST_LINE:
                raise UsageError(f"{name}, line {number} is longer than {LONGEST_LINE >> 20} MB")
            if not raw.strip():
                continue
            yield number, _parsed(raw, f"{name}, line {number}")


def _parsed(raw: bytes, where: str) -> Any:
    """Return a line's object, or what is wrong with it."""
    try:
        line = parsed_json(raw)
    except ValueError as exc:
        return UsageError(f"{where} is no JSON: {exc}")
    return line if isinstance(line, dict) else UsageError(f"{where} is no JSON object")
