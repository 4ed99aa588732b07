"""Changing the local index: segments are added, rows die, small segments are merged.

The caller holds the collection's lock.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrec.errors import StoreError
from vidrec.stores.knn.manifest import Manifest, write_manifest, writes_told
from vidrec.stores.knn.segment import Part, Segment, rows_of
from vidrec.stores.knn.snapshot import Snapshot, open_snapshot
from vidrec.stores.knn.writer import SEGMENT_ROWS, SegmentWriter, batches
from vidrec.types import Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A segment is made anew when so many of its rows, and this share of all, are dead.
MIN_DEAD = 1024
DEAD_SHARE = 1 / 4
MOST_SMALL = 8  # segments of less than half the full size


class Changes:
    """One writer's changes to a collection; with ``anew`` a new one beside what is served."""

    def __init__(self, folder: Path, served: Manifest, anew: tuple[str, int] | None) -> None:
        self.folder, self.manifest, self._anew = folder, served, anew is not None
        self.fingerprint, self.dim = anew or (served.fingerprint, served.dim)
        self._parts: list[Part] = []  # finished, not served yet
        self._keys: set[str] = set() if anew else set(served.keys)
        self._writer: SegmentWriter | None = None
        self._broken = False
        there = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        self._last = max([served.last, *there])

    def upsert(self, points: Iterable[Point]) -> int:
        """See ``VectorStore.upsert``."""
        written = 0
        with writes_told(self.folder):
            try:
                for batch in batches(points, self.dim):
                    self._open().append(batch)
                    written += len(batch)
                    if self._open().rows >= SEGMENT_ROWS:
                        self._seal()
            except OSError:
                self._broken = True
                raise
            finally:
                if not self._anew and not self._broken:
                    self._commit()
        return written

    def delete(self, ids: Sequence[bytes]) -> int:
        """Let points of those ids count no longer; return how many there were."""
        snapshot = open_snapshot(self.folder, self.manifest)
        rows = snapshot.rows_of(ids)
        deleted = sum(map(len, rows))
        if deleted:
            self._serve(self._with_dead(snapshot, rows))
            self._merge()
        return deleted

    def replace(self) -> None:
        """Serve what was written in place of what was served."""
        if self._broken:
            raise StoreError(f"the new index in {self.folder} is incomplete: try again")
        self._commit()

    def tidy(self) -> None:
        """Remove what is not served: replaced, unfinished, or left by a writer that was killed."""
        if self._writer is not None:
            self._writer.drop()
        served = {part.name: part.dead for part in self.manifest.parts}
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in served:
                shutil.rmtree(path, ignore_errors=True)
        for name, dead in served.items():
            for path in (self.folder / name).glob("dead-*"):
                if path.name != dead:
                    path.unlink(missing_ok=True)

    def _open(self) -> SegmentWriter:
        if self._writer is None:
            self._last += 1
            self._writer = SegmentWriter(self.folder / f"{self._last:06}", self.dim)
        return self._writer

    def _seal(self) -> None:
        """Finish the segment in hand, if there is one."""
        if self._writer is not None:
            if self._writer.rows:
                self._parts.append(self._writer.finish())
                self._keys |= self._writer.keys
            else:
                self._writer.drop()
            self._writer = None

    def _commit(self) -> None:
        """Serve the finished segments: with what was served before, or in its place."""
        self._seal()
        old = [] if self._anew else list(self.manifest.parts)
        draft = replace(
            self.manifest, fingerprint=self.fingerprint, dim=self.dim,
            parts=[*old, *self._parts], keys=sorted(self._keys),
        )  # fmt: skip
        snapshot = open_snapshot(self.folder, draft)
        rows = replaced_rows(snapshot.segments, first_new=len(old))
        alive = [set(dead).difference(snapshot.dead[at].tolist()) for at, dead in enumerate(rows)]
        self._serve(self._with_dead(snapshot, [sorted(dead) for dead in alive]))
        self._parts = []
        self._merge()

    def _with_dead(self, snapshot: Snapshot, rows: Sequence[Sequence[int]]) -> Manifest:
        """Return the manifest in which those rows of each segment are dead, too."""
        parts = []
        for at, (part, new) in enumerate(zip(snapshot.manifest.parts, rows, strict=True)):
            if new:
                dead = np.concatenate([snapshot.dead[at], np.array(new, "<i4")]).tobytes()
                name = f"dead-{self.manifest.build + 1}.i4"
                with (self.folder / part.name / name).open("wb") as file:
                    file.write(dead)
                    file.flush()
                    os.fsync(file.fileno())
                part = replace(part, dead=name, n_dead=len(dead) // 4, dead_sum=zlib.crc32(dead))
            if part.live:
                parts.append(part)
        return replace(snapshot.manifest, parts=parts)

    def _serve(self, manifest: Manifest) -> None:
        manifest = replace(manifest, build=self.manifest.build + 1, last=self._last)
        write_manifest(self.folder, manifest)
        self.manifest = manifest

    def _merge(self) -> None:
        """Make one segment of many small ones, and anew those with many dead rows."""
        chosen = to_merge(self.manifest.parts)
        if not chosen:
            return
        snapshot = open_snapshot(self.folder, self.manifest)
        for at in chosen:
            self._open().copy(snapshot.segments[at], snapshot.live(at))
        self._seal()
        kept = [part for at, part in enumerate(self.manifest.parts) if at not in set(chosen)]
        self._serve(replace(self.manifest, parts=[*kept, *self._parts]))
        self._parts = []


def to_merge(parts: Sequence[Part]) -> list[int]:
    """Return the places of the segments that are to become one, in their order."""
    for at, part in enumerate(parts):
        if part.n_dead >= MIN_DEAD and part.n_dead >= DEAD_SHARE * part.rows:
            return [at]
    small = sorted(
        (at for at, part in enumerate(parts) if part.live < SEGMENT_ROWS // 2),
        key=lambda at: parts[at].live,
    )
    if len(small) <= MOST_SMALL:
        return []
    chosen: list[int] = []
    total = 0
    for at in small:  # ever larger ones, while that at most triples what is copied
        if len(chosen) > 1 and parts[at].live > 2 * total:
            break
        chosen.append(at)
        total += parts[at].live
    return sorted(chosen)


def replaced_rows(segments: Sequence[Segment], first_new: int) -> list[list[int]]:
    """Return the rows of each segment that a later one, or a later row of a new one, replaces."""
    found: list[list[int]] = []
    for at, segment in enumerate(segments):
        rows = set(_repeated(segment)) if at >= first_new else set()
        later = segments[max(at + 1, first_new) :]
        if later:
            keys = np.concatenate([other.id_keys for other in later])
            near = np.flatnonzero(np.isin(segment.id_keys, keys))
            ids = [raw.tobytes() for raw in segment.rows["id"][near]]
            there = set().union(*(rows_of(other, ids) for other in later)) if ids else set()
            rows |= {row for raw, row in zip(ids, near.tolist(), strict=True) if raw in there}
        found.append(sorted(rows))
    return found


def _repeated(segment: Segment) -> list[int]:
    """Return the rows whose id a later row of the segment has, too."""
    order: NDArray[np.intp] = np.argsort(segment.id_keys, kind="stable")
    keys = segment.id_keys[order]
    same = np.flatnonzero(keys[:-1] == keys[1:])
    if not same.size:
        return []
    near = np.unique(np.concatenate([order[same], order[same + 1]]))
    last = {segment.rows["id"][row].tobytes(): row for row in near.tolist()}
    return [row for row in near.tolist() if last[segment.rows["id"][row].tobytes()] != row]
