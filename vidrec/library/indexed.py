"""How far each store has followed the library.

A *position* is (revision of the videos, number of an embedding): a collection that has followed to
it holds every embedding up to that number, as the videos were then. The library also keeps what
the store called its state then (``version``), so that a store that was changed by somebody else, or
put back from a copy, is noticed: its number of points proves nothing.
"""

from __future__ import annotations

from pathlib import Path

from vidrec.library.catalog import Catalog
from vidrec.records import dataclass


@dataclass(frozen=True, slots=True)
class Followed:
    """Up to where a collection has followed, and its version then."""

    position: tuple[int, int] = (0, 0)
    version: str = ""
    writing: bool = False  # a run began to write and did not end


class Indexed(Catalog):
    """What each store has of the library."""

    def position(self, fingerprint: str) -> tuple[int, int]:
        """Return the latest (revision of videos, number of an embedding under a fingerprint)."""
        revision = self.value("SELECT value FROM counters WHERE name = 'revision'")
        last = self.value(
            "SELECT max(id) FROM embeddings WHERE fingerprint_id = "
            "(SELECT id FROM fingerprints WHERE fingerprint = ?)", fingerprint,
        )  # fmt: skip
        return int(revision), int(last or 0)

    def followed(self, place: str, fingerprint: str) -> Followed:
        """Return how far a collection has followed."""
        rows = self.read(
            "SELECT revision, last_id, version, writing FROM indexed "
            "WHERE target = ? AND fingerprint = ?", self._target(place), fingerprint,
        )  # fmt: skip
        return Followed(tuple(rows[0][:2]), rows[0][2], bool(rows[0][3])) if rows else Followed()

    def is_followed(self, place: str, fingerprint: str, version: str) -> bool:
        """Whether a collection of that version has all that the library has now."""
        followed = self.followed(place, fingerprint)
        same = followed.version == version and not followed.writing
        return same and followed.position == self.position(fingerprint)

    def set_followed(
        self, place: str, fingerprint: str, position: tuple[int, int], version: str
    ) -> None:
        """Note that a collection has followed to a position."""
        self.put("indexed", self._target(place), fingerprint, *position, version, 0)

    def set_writing(self, place: str, fingerprint: str) -> None:
        """Note that a collection is being written, until ``set_followed`` says how far."""
        self.write(
            "UPDATE indexed SET writing = 1 WHERE target = ? AND fingerprint = ?",
            self._target(place), fingerprint,
        )  # fmt: skip

    def _target(self, place: str) -> str:
        """Return a place as it is noted: what lies in the library moves and is copied with it."""
        path = Path(place)
        return f"./{path.relative_to(self.folder)}" if self.folder in path.parents else place
