"""Where rows come from: a file, stdin, a collection of Qdrant, an index of Twelve Labs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.config import Settings
from vidrec.errors import UsageError
from vidrec.exchange.reading import Bad, Reading
from vidrec.exchange.targets import STDOUT
from vidrec.exchange.vector_files import kind_of, read_rows
from vidrec.files import exists, expanded, is_folder
from vidrec.library import Library

if TYPE_CHECKING:
    from vidrec.exchange.rows import Row

QDRANT, TWELVE_LABS = "qdrant:", "twelvelabs:"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How rows are to be understood.

    Attributes:
        kind: of a file, where its name does not tell.
        embedder: what made the vectors, where rows do not say.
        model: which model did, where rows do not say.
        space: an embedder of the settings that made them, and so can be asked with texts:
            ``marengo:marengo3.5:visual``, whatever rows say.
        columns: which names stand for which columns.
        vector: which of a collection's named vectors.
        files: the folder below which rows' paths are files, which are hashed as `embed` would.
    """

    kind: str | None = None
    embedder: str | None = None
    model: str | None = None
    space: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    vector: str | None = None
    files: Path | None = None


def open_source(
    settings: Settings,
    source: str,
    options: ImportOptions,
    reading: Reading,
    library: Library,
    say: Callable[[str], None],
) -> Iterable[Row | Bad]:
    """Return the rows of a source, read as they are asked for; ``say`` is told of waits.

    Raises:
        UsageError: there is no such file, or an option is not for such a source.
    """
    if source.startswith(QDRANT):
        return _of_qdrant(settings, source.removeprefix(QDRANT), options.vector, reading)
    if options.vector is not None:
        raise UsageError("--vector is for qdrant:COLLECTION; of a file say --map vector=NAME")
    if source.startswith(TWELVE_LABS):
        if options.space is not None:
            raise UsageError("an index of Twelve Labs says itself what made its vectors: no --as")
        from vidrec.exchange.twelvelabs import rows_of_index

        return rows_of_index(settings, source.removeprefix(TWELVE_LABS), reading, library, say)
    path = expanded(source)
    if source != STDOUT and (not exists(path) or is_folder(path)):
        raise UsageError(
            f"no file {path}: give a .parquet or .jsonl file, -, qdrant:COLLECTION or "
            "twelvelabs:INDEX"
        )
    return read_rows(source, path, kind_of(path, options.kind), reading)


def _of_qdrant(
    settings: Settings, name: str, vector: str | None, reading: Reading
) -> Iterator[Row | Bad]:
    from vidrec.stores.qdrant import read_collection

    for point, line, owner in read_collection(settings, name, vector):
        if owner is not None:
            reading.owners.add(owner)
        yield reading.row(line, f"point {point}")
