"""Parquet: vectors and their metadata as columns.

What comes from elsewhere is read in bounded memory, whatever the file claims: nested columns but
short lists are left out, a text that stands in many rows is held once, and long ones are refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vidrec.batches import in_batches
from vidrec.errors import UsageError
from vidrec.exchange.rows import (
    FLOATS,
    INTEGERS,
    LONGEST_LIST,
    TEXTS,
    VECTOR_NAMES,
    Bad,
    Reading,
    Row,
)
from vidrec.files import parsed_json

ROWS_AT_A_TIME = 1024
MAX_DIM = 65_536
# A chunk of more bytes that were packed so tightly holds nothing but repetition.
_SUSPICIOUS_BYTES = 256 << 20
_SUSPICIOUS_RATIO = 1000


def write_parquet(file: BinaryIO, rows: Iterable[Row], dim: int) -> int:
    """Write rows of ``dim`` numbers; return how many."""
    pa, pq = _arrow()
    fields = [pa.field("vector", pa.list_(pa.float32(), dim))]
    fields += [pa.field(name, pa.string()) for name in (*TEXTS, "options", "extra")]
    fields += [pa.field(name, pa.int64()) for name in INTEGERS]
    fields += [pa.field(name, pa.float64()) for name in FLOATS]
    schema = pa.schema(fields)
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in in_batches(rows, ROWS_AT_A_TIME):
            flat = pa.array(np.concatenate([row["vector"] for row in batch]), pa.float32())
            columns = [pa.FixedSizeListArray.from_arrays(flat, dim)]
            for field in fields[1:]:
                values = [row.get(field.name) for row in batch]
                if field.name in ("options", "extra"):
                    values = [json.dumps(value, ensure_ascii=False) for value in values]
                columns.append(pa.array(values, field.type))
            writer.write_table(pa.table(columns, schema=schema))
            count += len(batch)
    return count


def read_parquet(path: Path, name: str, reading: Reading) -> Iterator[Row | Bad]:
    """Yield the rows of a file; note the columns that cannot be taken.

    Raises:
        UsageError: it holds no vectors in that format.
    """
    pa, pq = _arrow()
    try:
        schema = pq.read_schema(path)
        texts = [field.name for field in schema if _is_text(pa, field.type)]
        file = pq.ParquetFile(path, read_dictionary=texts)
        wished = _columns(pa, schema, name, reading)
        _check_size(file.metadata, name, reading.vectors)
        number = 0
        for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME, columns=wished):
            for line in _lines(pa, batch, reading):
                number += 1
                yield _row(line, f"{name}, row {number}", reading)
    except (pa.ArrowException, ValueError, MemoryError) as exc:
        raise UsageError(f"{name} is no Parquet file of vectors: {exc or 'too large'}") from exc


def _row(line: dict[str, Any], where: str, reading: Reading) -> Row | Bad:
    for column in ("options", "extra"):
        if isinstance(line.get(column), str):
            try:
                line[column] = parsed_json(line[column])
            except ValueError as exc:
                return UsageError(f"{where}: options and extra are JSON: {exc}")
    return reading.row(line, where)


def _is_text(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _columns(pa: Any, schema: Any, name: str, reading: Reading) -> list[str]:
    """Return the columns to read: vectors, tables that --map leads into, and plain values."""
    twice = [column for column, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise UsageError(f"{name} has the column {twice[0]!r} more than once: rename one")
    named = {one for column in reading.columns.values() for one in (column, column.split(".")[0])}
    wished = []
    for field in schema:
        kind = field.type.value_type if _is_list(pa, field.type) else field.type
        # A list of numbers with a point is another vector: too much to be kept with every row.
        vectors = kind is not field.type and pa.types.is_floating(kind)
        plain = not (vectors or _is_nested(pa, kind))
        if plain or field.name in VECTOR_NAMES or field.name in named:
            wished.append(field.name)
        else:
            reading.left_out.add(field.name)
    return wished


def _is_list(pa: Any, kind: Any) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_nested(pa: Any, kind: Any) -> bool:
    types = pa.types
    bytes_kinds = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    return bool(types.is_nested(kind)) or any(one(kind) for one in bytes_kinds)


def _check_size(metadata: Any, name: str, vectors: set[str]) -> None:
    """Refuse a file that unpacks to far more than it can mean."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index in range(group.num_columns):
            chunk = group.column(index)
            column = chunk.path_in_schema.partition(".")[0]
            if column in vectors and chunk.num_values > MAX_DIM * max(1, group.num_rows):
                raise UsageError(f"{name}: vectors have more than {MAX_DIM:,} numbers")
            packed = max(1, chunk.total_compressed_size)
            size = chunk.total_uncompressed_size
            if size > _SUSPICIOUS_BYTES and size > _SUSPICIOUS_RATIO * packed:
                raise UsageError(
                    f"{name}: the column {column} unpacks from {packed:,} to {size:,} bytes: "
                    "that holds no vectors"
                )


def _lines(pa: Any, batch: Any, reading: Reading) -> Iterator[dict[str, Any]]:
    """Yield a record batch's rows; vectors go through NumPy, texts that repeat are one object."""
    columns: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in reading.vectors and _is_list(pa, column.type):
            columns[name] = column.to_numpy(zero_copy_only=False)
        elif pa.types.is_dictionary(column.type):
            words = column.dictionary.to_pylist()
            indices = column.indices.to_pylist()
            columns[name] = [None if at is None else words[at] for at in indices]
        else:
            try:
                columns[name] = _values(pa, column)
            except (ValueError, OverflowError):  # a date beyond Python's, or too long a list
                reading.left_out.add(name)
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _values(pa: Any, column: Any) -> list[Any]:
    import pyarrow.compute as pc

    if _is_list(pa, column.type):
        longest = pc.max(pc.list_value_length(column)).as_py()
        if longest is not None and longest > LONGEST_LIST:
            raise ValueError(f"a list of {longest} values")
    for name in ("timestamp", "duration", "time64"):  # Python knows no billionths of a second
        if getattr(pa.types, f"is_{name}")(column.type) and column.type.unit == "ns":
            zone = (column.type.tz,) if name == "timestamp" else ()
            column = pc.cast(column, getattr(pa, name)("us", *zone), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def _arrow() -> tuple[Any, Any]:
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet
