"""The library: a folder whose ``catalog.sqlite3`` is the source of truth.

It holds videos, embeddings, provider jobs, uploads, failures and the vectors of texts asked
before; every store can be rebuilt from it without a model. Transactions are short, so that one
process may embed while others recommend (SQLite in WAL mode).
"""

from vidrec.library.browse import Browse
from vidrec.library.embeddings import Embeddings
from vidrec.library.fields import Fields
from vidrec.library.indexed import Indexed
from vidrec.library.notes import Failure, Notes
from vidrec.library.videos import FileStamp, Videos

__all__ = ["Failure", "FileStamp", "Library"]


class Library(Videos, Embeddings, Indexed, Fields, Notes, Browse):
    """An open library. Use as a context manager; safe to share between threads."""
