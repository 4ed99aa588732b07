"""Copies of our files that paid providers still hold."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import EmbedContext
from vidrec.library import Library
from vidrec.library.jobs import CatalogJobs, Copy


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Copies of files at providers: how many were deleted, and which are left."""

    deleted: int
    left: list[Copy]


def clean_copies(settings: Settings, library: Library) -> Cleaned:
    """Delete the copies of files that no open job reads any more.

    Raises:
        EmbedderError: a provider refuses the key, or is not there.
    """
    jobs = CatalogJobs(library)
    before = jobs.copies()
    for name in sorted({copy.fingerprint.partition(":")[0] for copy in before}):
        with closing(load_embedder(settings, name)) as embedder:
            embedder.clean(EmbedContext(jobs=jobs))
    left = jobs.copies()
    return Cleaned(len(before) - len(left), left)
