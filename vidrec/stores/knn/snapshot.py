"""What the local index holds at one moment, and the scan over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrec.conditions import Filter, check_keys
from vidrec.progress import Progress
from vidrec.stores.base import Found
from vidrec.stores.knn.filter import allowed_rows
from vidrec.stores.knn.manifest import Manifest
from vidrec.stores.knn.segment import (
    SCOPES,
    Part,
    Segment,
    damaged,
    id_text,
    read_dead,
    rows_of,
)
from vidrec.stores.knn.shortlist import shortlist
from vidrec.types import Candidate, Clips, Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Below this share of points that may match, their rows are gathered instead of scanning all.
SELECTIVE = 1 / 4
ROWS_AT_A_TIME = 16_384
# A megabyte of vectors is gathered at a time: it stays in a processor's cache, and is too little
# for BLAS to wake other threads for, which would take longer than the product.
GATHERED = 1 << 18
SCORES_AT_A_TIME = 1 << 25  # of many queries: 128 MiB
# In numbers of 4 bytes: a system maps the pages around one that is touched, up to 64 kB; no more
# than a gigabyte is looked at ahead, which may not stay in memory.
TOUCH_EACH, TOUCHED = 1 << 14, 1 << 28
LARGEST = 1.001  # a cosine of unit vectors, with room for rounding


class Snapshot:
    """The segments of one manifest. Nothing in it changes: threads may share it."""

    def __init__(
        self, folder: Path, manifest: Manifest, segments: Sequence[Segment], mark: object
    ) -> None:
        self.folder, self.manifest, self.segments, self.mark = folder, manifest, segments, mark
        self.dead = [
            read_dead(folder / part.name, part)
            for part in manifest.parts
        ]  # fmt: skip
        ends = np.cumsum([0, *(part.rows for part in manifest.parts)])
        self._spans = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self._starts = ends[:-1]
        self.n_rows = int(ends[-1])

    @cached_property
    def version(self) -> str:
        """That of the manifest, which takes as long to tell as a filter does."""
        return self.manifest.version

    @cached_property
    def _videos(self) -> NDArray[np.uint64]:
        if len(self.segments) == 1:
            only: NDArray[np.uint64] = self.segments[0].rows["video"]
            return only
        return np.concatenate([segment.rows["video"] for segment in self.segments])

    def touch(self) -> None:
        """Touch the vectors' pages, so that they are mapped (and read, where they must be)."""
        for segment in self.segments:
            segment.vectors.reshape(-1).view(np.int32)[:TOUCHED:TOUCH_EACH].max(initial=0)

    @property
    def at_a_time(self) -> int:
        """How many queries' scores may be held together."""
        return max(1, SCORES_AT_A_TIME // max(1, self.n_rows))

    def found(self, scores: NDArray[np.float32], n: int, *, by_video: bool) -> Found:
        """Return the candidates of one query by its scores."""
        if not self.n_rows:
            return Found(())
        near, best_left = shortlist(
            scores, n, self.manifest.dim, self._videos if by_video else None
        )
        places = np.searchsorted(self._starts, near, "right") - 1
        candidates: list[Candidate] = []
        for place in sorted(set(places.tolist())):  # np.unique would import numpy.ma
            segment = self.segments[place]
            at = near[places == place]
            numbers = at - self._starts[place]
            segment.check(numbers)
            candidates += [
                Candidate(
                    id_text(segment.rows["id"][number].tobytes()), score,
                    segment.payload(number), segment.vectors[number],
                )
                for number, score in zip(numbers.tolist(), scores[at].tolist(), strict=True)
            ]  # fmt: skip
        return Found(candidates, best_left)

    def scores(self, vectors: NDArray[np.float32], where: Filter) -> NDArray[np.float32]:
        """Return ``(q, n_rows)`` float32 scores; -inf may not match."""
        check_keys(where, self.manifest.keys)
        masks = [allowed_rows(segment, where) for segment in self.segments]
        scores = np.empty((len(vectors), self.n_rows), np.float32)
        for segment, span, dead, mask in zip(
            self.segments, self._spans, self.dead, masks, strict=True
        ):
            part = scores[:, span]
            if mask is not None and np.count_nonzero(mask) < SELECTIVE * len(mask):
                rows = np.flatnonzero(mask)
                part[:] = -np.inf
                step = max(1, GATHERED // segment.vectors.shape[1])
                gathered = np.empty((step, segment.vectors.shape[1]), np.float32)
                for start in range(0, len(rows), step):
                    some = rows[start : start + step]
                    # Into the same memory again; ``clip``, as ``raise`` would make a copy first.
                    there = gathered[: len(some)]
                    np.take(segment.vectors, some, axis=0, out=there, mode="clip")
                    part[:, some] = self._sane(segment, vectors @ there.T)
            else:
                if len(vectors) == 1:
                    np.dot(segment.vectors, vectors[0], out=part[0])
                else:
                    part[:] = (segment.vectors @ vectors.T).T  # BLAS packs the smaller side
                self._sane(segment, part)
                if mask is not None:
                    np.copyto(part, -np.inf, where=~mask)
            part[:, dead] = -np.inf
        return scores

    @staticmethod
    def _sane(segment: Segment, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        if scores.size and not -LARGEST <= scores.min() <= scores.max() <= LARGEST:
            raise damaged(segment.folder, "a score is no cosine")
        return scores

    def clips_of(self, video_ids: Sequence[str]) -> dict[str, Clips]:
        """Return the clips of those of some videos that have any, by video.

        Damaged vectors are told by their scores alone: no checksum of each is made.
        """
        found: dict[str, Clips] = {}
        for video_id in video_ids:
            rows, vectors = [], []
            for segment, dead in zip(self.segments, self.dead, strict=True):
                numbers = segment.rows_of_video(video_id)
                alive = segment.rows["scope"][numbers] == SCOPES.index("clip")
                numbers = numbers[alive & ~np.isin(numbers, dead)]
                rows.append(segment.rows[numbers])
                vectors.append(segment.vectors[numbers])
            every = np.concatenate(rows)
            if len(every):
                order = np.lexsort((every["end"], every["start"]))
                found[video_id] = Clips(
                    every["start"][order], every["end"][order], np.concatenate(vectors)[order]
                )
        return found

    def points(self, wanted: Sequence[bytes]) -> list[Point]:
        """Return the points of those ids that are there, in that order."""
        found: dict[bytes, Point] = {}
        for segment, dead in zip(self.segments, self.dead, strict=True):
            gone = set(dead.tolist())
            for raw, row in rows_of(segment, wanted).items():
                if row not in gone:
                    segment.check(np.array([row]))
                    vector = segment.vectors[row].copy()
                    found[raw] = Point(id_text(raw), vector, segment.payload(row))
        return [found[raw] for raw in wanted if raw in found]

    def rows_of(self, wanted: Sequence[bytes]) -> list[list[int]]:
        """Return the rows of those ids that are there, of each segment."""
        return [
            sorted(set(rows_of(segment, wanted).values()).difference(dead.tolist()))
            for segment, dead in zip(self.segments, self.dead, strict=True)
        ]

    def live(self, at: int) -> NDArray[np.intp]:
        """Return the rows of a segment that count."""
        alive = np.ones(self.manifest.parts[at].rows, bool)
        alive[self.dead[at]] = False
        return np.flatnonzero(alive)

    def ids(self) -> Iterator[bytes]:
        for at, segment in enumerate(self.segments):
            numbers = self.live(at)
            for start in range(0, len(numbers), ROWS_AT_A_TIME):
                for raw in segment.rows["id"][numbers[start : start + ROWS_AT_A_TIME]]:
                    yield raw.tobytes()

    def verify(self, progress: Progress) -> Iterator[str]:
        for part, segment in zip(self.manifest.parts, self.segments, strict=True):
            yield from segment.verify(part, progress)


def open_snapshot(
    folder: Path, manifest: Manifest, mark: object = None, known: Snapshot | None = None
) -> Snapshot:
    """Map what a manifest names; segments that are open already are taken over.

    Raises:
        OSError, StoreError: a file is gone or not as it must be.
    """
    there = {} if known is None else dict(zip(map(_bare, known.manifest.parts), known.segments))  # noqa: B905
    segments = [
        there.get(_bare(part)) or Segment(folder / part.name, part, manifest.dim)
        for part in manifest.parts
    ]
    return Snapshot(folder, manifest, segments, mark)


def _bare(part: Part) -> str:
    """What a segment is, whichever of its rows are dead."""
    return repr(replace(part, dead="", n_dead=0, dead_sum=0))
