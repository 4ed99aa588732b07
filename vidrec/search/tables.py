"""Tables: neighbours of all videos as JSON lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from vidrec.batches import in_batches
from vidrec.errors import StorageError, UsageError
from vidrec.files import writing
from vidrec.progress import Progress, finishing
from vidrec.search.everything import AllNearest, Neighbours, Table
from vidrec.search.session import Session

AT_A_TIME = 1024


def write_all_nearest(
    session: Session, target: Path, out: BinaryIO, k: int, scope: str, progress: Progress
) -> int:
    """Write each video's ``k`` nearest to a ``.jsonl`` or ``.parquet`` file, or ``-`` to ``out``.

    Returns:
        How many videos were asked with.

    Raises:
        UsageError: the file's name ends otherwise, or ``k`` is not positive.
        LibraryError: there is nothing to compare.
        StorageError: it cannot be written.
    """
    kind = ".jsonl" if str(target) == "-" else target.suffix.lower()
    if kind not in (".jsonl", ".parquet"):
        raise UsageError(f"--all-videos takes a .jsonl or .parquet file, or -. Received: {target}")
    if k < 1:
        raise UsageError(f"--top-k must be at least 1. Received: k={k}")
    table = Table(session.library, session.fingerprint, session.embedder.dim, scope)
    found = AllNearest(table, k, session.embedder.copies_from)
    write = _write_json if kind == ".jsonl" else _write_parquet
    try:
        with finishing(progress), closing(table):
            if str(target) == "-":
                return write(out, found.rows(progress))
            with writing(target, durable=False) as draft, draft.open("wb") as file:
                return write(file, found.rows(progress))
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise StorageError(f"cannot write {target}: {exc.strerror or exc}") from exc


def _write_json(file: BinaryIO, rows: Iterable[Neighbours]) -> int:
    count = 0
    for video_id, filename, nearest in rows:
        results = [
            {"rank": rank, "video_id": video, "filename": name, "score": score,
             "start_sec": start, "end_sec": end}
            for rank, (video, name, score, start, end) in enumerate(nearest, 1)
        ]  # fmt: skip
        line = {"video_id": video_id, "filename": filename, "results": results}
        file.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        count += 1
    return count


def _write_parquet(file: BinaryIO, rows: Iterable[Neighbours]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields: dict[str, Any] = {
        "video_id": pa.string(), "filename": pa.string(), "rank": pa.int32(),
        "neighbour_id": pa.string(), "neighbour": pa.string(), "score": pa.float64(),
        "start_sec": pa.float64(), "end_sec": pa.float64(),
    }  # fmt: skip
    schema = pa.schema(list(fields.items()))
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for some in in_batches(rows, AT_A_TIME):
            flat = [
                (video_id, filename, rank, *found)
                for video_id, filename, nearest in some
                for rank, found in enumerate(nearest, 1)
            ]
            columns = list(zip(*flat, strict=True)) or [()] * len(fields)
            arrays = list(map(pa.array, columns, fields.values()))
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(some)
    return count
