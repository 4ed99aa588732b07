"""What the library notes beside: failures, texts asked before, what scores mean."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vidrec.calibration import Calibration
from vidrec.errors import LibraryError
from vidrec.library.catalog import Catalog
from vidrec.library.embeddings import vector_of
from vidrec.library.videos import FileStamp
from vidrec.records import dataclass
from vidrec.types import Modality

if TYPE_CHECKING:
    from vidrec.types import Vector


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
        size, mtime_ns = (stamp.size, stamp.mtime_ns) if stamp else (None, None)
        row = (stage, source, reason, permanent, size, mtime_ns, time.time(), below, kind)
        self.put("failures", *row)

    def failed_before(self, stage: str, source: str, stamp: FileStamp) -> str | None:
        """Return why this very file failed for good before, or None."""
        reason: str | None = self.value(
            "SELECT reason FROM failures WHERE stage = ? AND source = ? AND permanent "
            "AND size = ? AND mtime_ns = ?",
            stage, source, stamp.size, stamp.mtime_ns,
        )  # fmt: skip
        return reason

    def clear_failure(self, stage: str, source: str) -> None:
        """Forget a failure, if there is one."""
        if self.read("SELECT 1 FROM failures WHERE stage = ? AND source = ?", stage, source):
            self.write("DELETE FROM failures WHERE stage = ? AND source = ?", stage, source)

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

    def cached_queries(
        self, texts: Iterable[str], fingerprint: str
    ) -> dict[str, tuple[Vector, float]]:
        """Return the vectors of the texts that were asked before and how far each was understood.

        All are read as of one moment.
        """
        select = "SELECT text, vector, understood FROM queries WHERE fingerprint = ? AND text IN"
        with self.snapshot():
            rows = self.read_among(select, dict.fromkeys(texts), fingerprint)
            return {row[0]: (vector_of(row[1]), float(row[2])) for row in rows}

    def cache_queries(
        self,
        rows: Iterable[tuple[str, Vector, float]],
        fingerprint: str,
        most: int | None = None,
    ) -> None:
        """Keep (text, vector, how far it was understood) in one transaction, if that can be now.

        It only spares asking again: nothing waits for a catalog that cannot be written, or that
        another process is writing. Where ``most`` is given, only the latest so many are kept.
        """
        if self.read_only:
            return
        kept = [
            (text, fingerprint, vector.astype("<f4").tobytes(), understood, time.time())
            for text, vector, understood in rows
        ]
        with contextlib.suppress(LibraryError), self.transaction(wait=False) as db:
            before = db.total_changes
            db.executemany("INSERT OR REPLACE INTO queries VALUES (?, ?, ?, ?, ?)", kept)
            if most is not None:
                db.execute(
                    "DELETE FROM queries WHERE fingerprint = ?1 AND text IN (SELECT text FROM "
                    "queries WHERE fingerprint = ?1 ORDER BY kept_at DESC LIMIT -1 OFFSET ?2)",
                    (fingerprint, most),
                )
            self._passing += db.total_changes - before

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
        if calibration is not None:
            self.put("calibrations", fingerprint, kind, calibration.slope, calibration.offset)
        else:
            remove = "DELETE FROM calibrations WHERE fingerprint = ? AND kind = ?"
            self.write(remove, fingerprint, kind)
