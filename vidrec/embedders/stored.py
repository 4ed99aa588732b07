"""An embedder that is not here: its vectors were imported, and can be asked with.

It embeds nothing. A video of the library is a query all the same, as its vector is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vidrec.config import Settings
from vidrec.embedders.base import EmbedContext, Embedder
from vidrec.errors import JobError, LibraryError
from vidrec.library import Library
from vidrec.types import Clip, Fingerprint, Video

if TYPE_CHECKING:
    from vidrec.types import Vector


class StoredEmbedder(Embedder):
    """Stands for an embedder of which the library holds vectors and nothing else is known."""

    modalities = frozenset()

    def __init__(self, fingerprint: Fingerprint) -> None:
        self.name = fingerprint.embedder  # type: ignore[misc]
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> Fingerprint:
        return self._fingerprint

    def _clips(
        self, video: Video, context: EmbedContext, warnings: list[str]
    ) -> Iterable[tuple[Clip, Vector]]:
        raise JobError(f"the vectors of {self.name} were imported: it can embed nothing")


def stored_embedder(settings: Settings, name: str) -> StoredEmbedder | None:
    """Return the embedder of that name in the library's records, or None."""
    try:
        with Library(settings.library, create=False) as library:
            known = library.fingerprints()
    except LibraryError:
        return None
    named = [f for f in known if f.embedder == name]
    return StoredEmbedder(named[-1]) if named else None
