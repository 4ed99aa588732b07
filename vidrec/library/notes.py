"""What the library notes beside: failures, texts asked before, what scores mean."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrec.calibration import Calibration
from vidrec.errors import LibraryError
from vidrec.library.catalog import Catalog
from vidrec.types import Modality

if TYPE_CHECKING:
    from vidrec.types import Vector

from vidrec.library.embeddings import vector_of
from vidrec.library.videos import FileStamp


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be taken up, and why; ``below``: found below a named folder."""

    stage: str
    source: str
    reason: str
    permanent: bool
    failed_at: float
    below: bool = False
    kind: str = ""  # the error's name


class Notes(Catalog):
    """Failures, texts and calibrations."""

    # Failures

    def record_failure(
        self,
        stage: str,
        source: str,
        reason: str,
        *,
        permanent: bool = True,
        stamp: FileStamp | None = None,
        below: bool = False,
        kind: str = "",
    ) -> None:
        """Write down that a source failed in a stage; a later failure replaces it."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (stage, source, reason, permanent, stamp.size if stamp else None,
                 stamp.mtime_ns if stamp else None, time.time(), below, kind),
            )  # fmt: skip

    def failed_before(self, stage: str, source: str, stamp: FileStamp) -> str | None:
        """Return why this very file failed for good before, or None."""
        rows = self.read(
            "SELECT reason FROM failures WHERE stage = ? AND source = ? AND permanent "
            "AND size = ? AND mtime_ns = ?",
            stage, source, stamp.size, stamp.mtime_ns,
        )  # fmt: skip
        return str(rows[0][0]) if rows else None

    def clear_failure(self, stage: str, source: str) -> None:
        """Forget a failure, if there is one."""
        if self.read("SELECT 1 FROM failures WHERE stage = ? AND source = ?", stage, source):
            with self.transaction() as db:
                db.execute("DELETE FROM failures WHERE stage = ? AND source = ?", (stage, source))

    def failures(self) -> list[Failure]:
        """Return all recorded failures, by stage and source."""
        rows = self.read(
            "SELECT stage, source, reason, permanent, failed_at, below, kind FROM failures "
            "ORDER BY stage, source"
        )
        return [
            Failure(stage, source, reason, bool(permanent), failed_at, bool(below), kind)
            for stage, source, reason, permanent, failed_at, below, kind in rows
        ]

    # Texts asked before

    def cached_query(self, text: str, fingerprint: str) -> tuple[Vector, float] | None:
        """Return the vector of a text that was asked before and how far it was understood."""
        rows = self.read(
            "SELECT vector, understood FROM queries WHERE text = ? AND fingerprint = ?",
            text, fingerprint,
        )  # fmt: skip
        return (vector_of(rows[0][0]), float(rows[0][1])) if rows else None

    def cache_query(
        self, text: str, fingerprint: str, vector: Vector, understood: float = 1.0
    ) -> None:
        """Keep the vector of a text and how far it was understood, where that can be written."""
        if self.read_only:
            return
        with contextlib.suppress(LibraryError), self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO queries VALUES (?, ?, ?, ?)",
                (text, fingerprint, vector.astype("<f4").tobytes(), understood),
            )

    # What scores mean on these videos

    def calibration(self, fingerprint: str, kind: Modality) -> Calibration | None:
        """Return what was measured here for a fingerprint and kind of query, or None."""
        rows = self.read(
            "SELECT slope, offset FROM calibrations WHERE fingerprint = ? AND kind = ?",
            fingerprint, kind,
        )  # fmt: skip
        return Calibration(*rows[0]) if rows else None

    def set_calibration(
        self, fingerprint: str, kind: Modality, calibration: Calibration | None
    ) -> None:
        """Keep what was measured here; None forgets it."""
        with self.transaction() as db:
            db.execute(
                "DELETE FROM calibrations WHERE fingerprint = ? AND kind = ?", (fingerprint, kind)
            )
            if calibration is not None:
                db.execute(
                    "INSERT INTO calibrations VALUES (?, ?, ?, ?)",
                    (fingerprint, kind, calibration.slope, calibration.offset),
                )
