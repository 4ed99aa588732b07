"""Vectors with their metadata in files: Parquet, JSON lines, or a NumPy matrix.

A row is one embedding: the columns of ``COLUMNS``, ``vector`` (float32) and ``extra`` (metadata
that vidrec does not know). Floats are written so that every bit comes back.

    .parquet   one column each, ``vector`` a fixed-size list, ``options`` and ``extra`` as JSON
    .jsonl     one object a line
    .npy       the (n, dim) matrix, the other columns beside it in <name>.jsonl

Files made elsewhere need only a vector (``vector`` or ``embedding``) and something that tells the
videos apart; columns that are not known become ``extra``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from vidrec.errors import StorageError, UsageError
from vidrec.files import writing

FileKind = Literal["parquet", "jsonl", "npy"]
Row = dict[str, Any]

TEXTS = ("embedder", "model", "video_id", "filename", "path", "url", "label", "group", "codec",
         "scope")  # fmt: skip
INTEGERS = ("dim", "size", "width", "height", "rotation")
FLOATS = ("duration_sec", "fps", "start_sec", "end_sec", "clip_seconds")
COLUMNS = (*TEXTS, *INTEGERS, *FLOATS, "options")
VECTOR_NAMES = ("vector", "embedding")
ROWS_AT_A_TIME = 1024


def kind_of(path: Path, wished: str | None) -> FileKind:
    """Return the kind of a file by wish or by its name.

    Raises:
        UsageError: neither tells.
    """
    match wished or path.suffix.lower().lstrip("."):
        case "parquet":
            return "parquet"
        case "jsonl" | "ndjson":
            return "jsonl"
        case "npy":
            return "npy"
        case _:
            raise UsageError(
                f"{path} is none of .parquet, .jsonl, .npy: name it so or give --format"
            )


def write_rows(path: Path, kind: FileKind, rows: Iterable[Row], n: int, dim: int) -> int:
    """Write ``n`` rows of ``dim`` numbers; the file is there whole or not at all.

    Raises:
        UsageError: a matrix and its lines would have one name.
        StorageError: it cannot be written.
    """
    if not path.name or path.is_dir():
        raise StorageError(f"cannot write {path}: it is a folder")
    if kind == "npy" and path.suffix == ".jsonl":
        raise UsageError(f"{path} is the name of the lines beside a matrix: name it .npy")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as partial:
            if kind == "parquet":
                return _write_parquet(partial, rows, dim)
            if kind == "jsonl":
                with partial.open("w", encoding="utf-8") as file:
                    return _write_lines(file, rows, None)
            with (
                writing(path.with_suffix(".jsonl")) as beside,
                beside.open("w", encoding="utf-8") as file,
            ):
                matrix = np.lib.format.open_memmap(partial, mode="w+", dtype="<f4", shape=(n, dim))
                written = _write_lines(file, rows, matrix)
                matrix.flush()
                return written
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror or exc}") from exc


def _write_lines(file: IO[str], rows: Iterable[Row], matrix: Any | None) -> int:
    count = 0
    for row in rows:
        vector = row["vector"]
        line = {key: value for key, value in row.items() if key != "vector"}
        if matrix is None:
            line["vector"] = vector.tolist()
        else:
            matrix[count] = vector
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        count += 1
    return count


def _write_parquet(path: Path, rows: Iterable[Row], dim: int) -> int:
    pa, pq = _arrow()
    fields = [pa.field("vector", pa.list_(pa.float32(), dim))]
    fields += [pa.field(name, pa.string()) for name in (*TEXTS, "options", "extra")]
    fields += [pa.field(name, pa.int64()) for name in INTEGERS]
    fields += [pa.field(name, pa.float64()) for name in FLOATS]
    schema = pa.schema(fields)
    count, iterator = 0, iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(iterator, ROWS_AT_A_TIME)):
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


def read_rows(path: Path, kind: FileKind) -> Iterator[Row]:
    """Yield the rows of a file in bounded memory, with ``vector`` as a float32 array.

    Raises:
        UsageError: the file does not hold vectors in that format; the message names the line.
        StorageError: it cannot be read.
    """
    try:
        match kind:
            case "parquet":
                yield from _read_parquet(path)
            case "jsonl":
                for number, line in _lines(path):
                    yield _row(line, f"{path}, line {number}")
            case "npy":
                yield from _read_npy(path)
    except OSError as exc:
        raise StorageError(f"cannot read {path}: {exc.strerror or exc}") from exc


def _lines(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                line = json.loads(raw)
            except ValueError as exc:
                raise UsageError(f"{path}, line {number} is no JSON: {exc}") from exc
            if not isinstance(line, dict):
                raise UsageError(f"{path}, line {number} is no JSON object")
            yield number, line


def _read_npy(path: Path) -> Iterator[Row]:
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as exc:
        raise UsageError(f"{path} is no NumPy matrix of numbers: {exc}") from exc
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise UsageError(f"{path} must hold a matrix of floats, one row a vector")
    beside = path.with_suffix(".jsonl")
    if not beside.is_file():
        raise UsageError(f"{path} needs {beside.name} beside it: one JSON object for each row")
    count = 0
    for number, line in _lines(beside):
        if count >= len(matrix):
            break
        yield _row({**line, "vector": matrix[count]}, f"{beside}, line {number}")
        count += 1
    if count != len(matrix) or sum(1 for _ in _lines(beside)) != count:
        raise UsageError(f"{path} has {len(matrix)} rows, {beside.name} has not as many lines")


def _read_parquet(path: Path) -> Iterator[Row]:
    pa, pq = _arrow()
    try:
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME):
            for number, line in enumerate(
                batch.to_pylist() if not batch.num_rows else _rows(batch)
            ):
                for name in ("options", "extra"):
                    if isinstance(line.get(name), str):
                        line[name] = json.loads(line[name])
                yield _row(line, f"{path}, row {number + 1}")
    except (pa.ArrowException, ValueError) as exc:
        raise UsageError(f"{path} is no Parquet file of vectors: {exc}") from exc


def _rows(batch: Any) -> Iterator[Row]:
    """Yield a record batch's rows; vectors go through NumPy, not through lists."""
    names = [name for name in VECTOR_NAMES if name in batch.schema.names]
    others = batch.select([name for name in batch.schema.names if name not in names])
    vectors = [batch.column(name).to_numpy(zero_copy_only=False) for name in names]
    for at, line in enumerate(others.to_pylist()):
        yield {**line, **{name: values[at] for name, values in zip(names, vectors, strict=True)}}


def _row(line: Mapping[str, Any], where: str) -> Row:
    """Sort a row's values into known columns, vector and extra."""
    name = next((name for name in VECTOR_NAMES if line.get(name) is not None), None)
    if name is None:
        raise UsageError(f"{where} has no vector: a column `vector` or `embedding` is needed")
    try:
        vector = np.asarray(line[name], dtype=np.float32)
    except (TypeError, ValueError) as exc:
        raise UsageError(f"{where}: {name} is no list of numbers") from exc
    if vector.ndim != 1 or not vector.size:
        raise UsageError(f"{where}: {name} is no list of numbers")
    extra = line.get("extra")
    row: Row = {"vector": vector, "extra": dict(extra) if isinstance(extra, Mapping) else {}}
    for key, value in line.items():
        if key in COLUMNS:
            row[key] = value
        elif key not in (*VECTOR_NAMES, "extra", "fingerprint", "id"):
            row["extra"].setdefault(key, value)
    if "id" in line and not any(row.get(key) for key in ("video_id", "path", "url", "filename")):
        row["filename"] = str(line["id"])
    if line.get("fingerprint"):
        row["fingerprint"] = str(line["fingerprint"])
    row["extra"] = {
        key: value
        for key, value in row["extra"].items()
        if value is None or isinstance(value, (str, int, float, bool))
    }
    return row


def _arrow() -> tuple[Any, Any]:
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet
