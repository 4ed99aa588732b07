"""What the library holds of one embedder, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vidrec.conditions import Condition
from vidrec.embedders.base import Embedder
from vidrec.errors import LibraryError
from vidrec.library import Library
from vidrec.search.asked import asked_texts
from vidrec.search.query import QueryScope
from vidrec.search.told import Told
from vidrec.types import Scope

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rows:
    """All vectors of a scope, in the order of their point ids, which breaks ties."""

    vectors: NDArray[np.float32]  # (n, dim)
    video_ids: Sequence[str]  # (n,)


class Corpus:
    """What the library holds of one embedder."""

    def __init__(
        self, library: Library, embedder: Embedder, conditions: Sequence[Condition] = ()
    ) -> None:
        """Load the whole-video vectors of the videos that meet the conditions.

        Raises:
            LibraryError: there is none.
            UsageError: a condition's field is not known.
        """
        self._met = Told(library, embedder).videos_where(conditions)
        self.library = library
        self.embedder = embedder
        self.fingerprint = str(embedder.fingerprint)
        self.whole = self.rows("video")
        if not self.whole.video_ids:
            if self._met is not None:
                raise LibraryError("no embedded video meets the conditions")
            raise LibraryError(
                f"{library.folder} holds no embeddings of {self.fingerprint}: "
                f"run `vidrec embed PATHS… {embedder.flags}` first"
            )
        self.videos = {v.id: v for v in library.videos() if self._met is None or v.id in self._met}

    @cached_property
    def clips(self) -> Rows:
        """The vectors of all clips."""
        return self.rows("clip")

    def ranked(self, scope: QueryScope) -> Rows:
        """Return the vectors that a scope ranks; ``best`` those of clips and whole videos."""
        if scope == "best":
            return self.rows(None)
        return self.whole if scope == "video" else self.clips

    def rows(self, scope: Scope | None) -> Rows:
        """Load the vectors of a scope, or of all."""
        total = self.library.count_embeddings(self.fingerprint)[1]
        vectors = np.empty((total, self.embedder.dim), dtype=np.float32)
        ids: list[tuple[str, str]] = []
        for _, embedding in self.library.embeddings(self.fingerprint):
            if self._met is not None and embedding.video_id not in self._met:
                continue
            if scope in (None, embedding.scope) and len(ids) < total:
                vectors[len(ids)] = embedding.vector
                ids.append((embedding.point_id, embedding.video_id))
        order = sorted(range(len(ids)), key=ids.__getitem__)
        return Rows(vectors[order], [ids[at][1] for at in order])

    def splits(self) -> dict[str, str]:
        """Return each video's side (train, val, test): what the embedder knows, else the library.

        A video that the embedder was trained on has no other side than that.
        """
        fields = self.library.fields_of(list(self.videos))
        said = {video_id: str(own["split"]) for video_id, own in fields.items() if "split" in own}
        return said | dict(self.embedder.splits)

    def text_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``(len(texts), dim)``; texts asked before are taken from the library."""
        return np.stack([asked.vector for asked in asked_texts(self.library, self.embedder, texts)])


def numbered(names: Sequence[str | None]) -> NDArray[np.int64]:
    """Return a number for each name, the same for the same name; -1 for None."""
    numbers: dict[str, int] = {}
    found = [-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names]
    return np.array(found, dtype=np.int64)


def drawn(count: int, limit: int, seed: int) -> NDArray[np.int64]:
    """Return ``limit`` of so many places, drawn at random and in order, or all if they are few."""
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
