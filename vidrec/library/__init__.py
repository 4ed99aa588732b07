"""The library: a folder whose ``catalog.sqlite3`` is the source of truth.

It holds videos, embeddings, provider jobs, uploads, failures and the vectors of texts asked
before; every store can be rebuilt from it without a model. Transactions are short, so that one
process may embed while others recommend (SQLite in WAL mode).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidrec.library.catalog import has_catalog
from vidrec.library.embeddings import Embeddings
from vidrec.library.fields import Fields
from vidrec.library.indexed import Indexed
from vidrec.library.notes import Failure, Notes
from vidrec.library.videos import FileStamp, Videos

__all__ = ["Failure", "FileStamp", "Library", "opened"]


class Library(Videos, Embeddings, Indexed, Fields, Notes):
    """An open library. Use as a context manager; safe to share between threads."""


@contextmanager
def opened(folder: Path, *, dry_run: bool) -> Iterator[Library]:
    """Open the library of a folder, making it where there is none; a dry run leaves no trace."""
    from tempfile import TemporaryDirectory

    if not dry_run or has_catalog(folder):
        with Library(folder, create=not dry_run) as library:
            yield library
    else:
        with TemporaryDirectory() as nowhere, Library(Path(nowhere)) as library:
            yield library
