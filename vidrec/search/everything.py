"""Everything: for each video of the library those most like it, the "more like this" table.

Each row is what `recommend id:…` answers: the video's whole vector against all clips (or whole
vectors), every other video once by its best point, without copies. Scores are found tile by tile in
float32, as one matrix product each; the few that may be among the first are ranked as ``rank`` and
``variety`` have it. What is not certain then is ranked from all scores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vidrec.errors import LibraryError, UsageError
from vidrec.point_ids import point_id
from vidrec.progress import Progress
from vidrec.search.rank import SPARE, first_places
from vidrec.search.variety import same_length
from vidrec.stores.knn.shortlist import shortlist
from vidrec.vectors import exact_scores, margin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.library import Library

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

ROWS, COLUMNS = 1024, 8192  # of a tile of scores: 32 MiB
IN_MEMORY = 256 << 20  # bytes of vectors; more lie in a temporary file

# A video's id and file name, its score, and where its best clip starts and ends in seconds.
Result: TypeAlias = "tuple[str, str, float, float, float]"
# A video's id and file name, and those most like it, the best first.
Neighbours: TypeAlias = "tuple[str, str, Sequence[Result]]"


class Table:
    """An embedder's vectors, ready to be compared with each other."""

    def __init__(self, library: Library, fingerprint: str, dim: int, scope: str) -> None:
        """Read them, in bounded memory.

        Args:
            library: holds the vectors.
            fingerprint: the embedder's.
            dim: numbers of a vector.
            scope: compare with ``clip`` or ``video`` vectors.

        Raises:
            UsageError: it is another scope.
            LibraryError: there is nothing to compare.
        """
        if scope not in ("clip", "video"):
            raise UsageError(f"--all-videos compares by clip or video. Received: {scope}")
        self.fingerprint, self.scope = fingerprint, scope
        self._files = ExitStack()
        videos, total = library.count_embeddings(fingerprint)
        self.whole = self._room(videos, dim)
        points = self.whole if scope == "video" else self._room(total, dim)
        self.ids: list[str] = []
        spans: list[tuple[str, float, float]] = []
        for rows in library.embedding_rows(fingerprint):
            for _, video_id, kind, start, end, vector, _ in rows:
                if kind == "video" and len(self.ids) < videos:
                    self.whole[len(self.ids)] = vector
                    self.ids.append(video_id)
                if kind == scope and len(spans) < len(points):
                    points[len(spans)] = vector
                    spans.append((video_id, start, end))
        if not spans or not self.ids:
            raise LibraryError(f"{library.folder} holds no embeddings of {fingerprint}")
        self._arrange(points, spans)
        known = library.video_rows(self.ids)
        self.names = [known[i][1] if i in known else "" for i in self.ids]
        self.lengths = np.array([known[i][6] if i in known else None for i in self.ids], np.float64)

    def close(self) -> None:
        self._files.close()

    def points_of(self, videos: Ints) -> Ints:
        spans = zip(self.first[videos].tolist(), self.first[videos + 1].tolist(), strict=True)
        return np.array([point for start, end in spans for point in range(start, end)], np.int64)

    def point_id(self, point: int) -> str:
        span = float(self.start[point]), float(self.end[point])
        return point_id(self.ids[self.owner[point]], self.fingerprint, self.scope, *span)

    def _room(self, count: int, dim: int) -> Floats:
        if count * dim * 4 <= IN_MEMORY:
            return np.empty((count, dim), np.float32)
        file = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        return np.memmap(file, np.float32, "w+", shape=(count, dim))

    def _arrange(self, points: Floats, spans: Sequence[tuple[str, float, float]]) -> None:
        """Let a video's points follow each other, in the order of videos."""
        number = {video_id: at for at, video_id in enumerate(self.ids)}
        owners = np.array([number.get(span[0], -1) for span in spans], np.int64)
        order = np.argsort(owners, kind="stable")
        order = order[owners[order] >= 0]
        self.points = points
        if not np.array_equal(order, np.arange(len(points))):
            self.points = self._room(len(order), points.shape[1])
            for start in range(0, len(order), COLUMNS):
                self.points[start : start + COLUMNS] = points[order[start : start + COLUMNS]]
        self.start = np.array([spans[at][1] for at in order])
        self.end = np.array([spans[at][2] for at in order])
        self.owner = owners[order]
        self.first = np.searchsorted(self.owner, np.arange(len(self.ids) + 1))  # point of a video


class AllNearest:
    """The k nearest of each video of a table."""

    def __init__(self, table: Table, k: int, copies_from: float) -> None:
        self.table = table
        self.k = k
        self.copies_from = copies_from
        dim = table.points.shape[1]
        self.margin = margin(dim)
        self.width = min(k + 1 + SPARE, len(table.ids))
        # One point a video, in the order of videos.
        self.single = np.array_equal(table.owner, np.arange(len(table.ids)))

    def rows(self, progress: Progress) -> Iterator[Neighbours]:
        """Yield each video's neighbours, in the order of the table."""
        ids = self.table.ids
        progress.start("comparing", len(ids), "video")
        for start in range(0, len(ids), ROWS):
            limits, videos = self._top(self.table.whole[start : start + ROWS])
            videos[videos == np.arange(start, start + len(videos))[:, None]] = -1  # itself
            for number, (some, limit) in enumerate(zip(videos, limits, strict=True), start):
                results = self._ranked(number, some[some >= 0], limit) or self._from_all(number)
                yield ids[number], self.table.names[number], results
            progress.step(len(videos))
        progress.finish()

    def _tiles(self) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of points; a tile ends where a video ends.

        The first are small: they show cheaply what may be among the best of the others.
        """
        owner, start, columns = self.table.owner, 0, max(1, COLUMNS // 64)
        while start < len(owner):
            end = min(len(owner), start + columns)
            columns = min(COLUMNS, 4 * columns)
            if not self.single and end < len(owner):
                end = int(np.searchsorted(owner, owner[end - 1], "right"))
            yield start, end
            start = end

    def _top(self, asked: Floats) -> tuple[Floats, Ints]:
        """Return what float32 scores no other video exceeds, ``(n,)``, and which are the best.

        Those are the numbers of videos, ``(n, width)``, in no order; -1 is none.
        """
        table, n, width = self.table, len(asked), self.width
        best = np.full((n, width), -np.inf, np.float32)
        videos = np.full((n, width), -1, np.int64)
        least = best[:, 0].copy()
        room = np.empty((n, COLUMNS), np.float32)  # fresh memory for each tile costs a tenth
        for start, end in self._tiles():
            out = room if end - start == COLUMNS else None
            scores = np.matmul(asked, table.points[start:end].T, out=out)
            if self.single:
                owners = table.owner[start:end]
            else:
                owners, first = np.unique(table.owner[start:end], return_index=True)
                scores = np.maximum.reduceat(scores, first, axis=1)
            flat = np.flatnonzero(scores > least[:, None])  # faster than nonzero
            if len(flat):
                at, column = np.divmod(flat, scores.shape[1])
                best, videos = _merged(best, videos, at, scores[at, column], owners[column])
                least = best.min(axis=1)
        return (least if width < len(table.ids) else np.full(n, -np.inf)), videos

    def _ranked(self, number: int, videos: Ints, limit: float) -> list[Result] | None:
        """Rank a video's candidates exactly; None where another may be among the first ``k``.

        Those score at most ``limit`` in float32.
        """
        table, asked = self.table, self.table.whole[number]
        copies = same_length(table.lengths[videos], table.lengths[number])
        copies[copies] = exact_scores(table.whole[videos[copies]], asked) >= self.copies_from
        videos = videos[~copies]
        points = videos if self.single else table.points_of(videos)
        scores = exact_scores(table.points[points], asked)
        places = first_places(
            scores.tolist(), self.k, lambda at: table.point_id(points[at]),
            None if self.single else table.owner[points].tolist(),
        )  # fmt: skip
        clear = limit + self.margin
        if limit > -np.inf and (len(places) < self.k or scores[places[-1]] <= clear):
            return None
        best = points[places]
        columns = table.owner[best], scores[places], table.start[best], table.end[best]
        found = zip(*(column.tolist() for column in columns), strict=True)
        return [(table.ids[owner], table.names[owner], *rest) for owner, *rest in found]

    def _from_all(self, number: int) -> list[Result]:
        """Rank a video's neighbours from all scores, where too many are equal or copies."""
        table, n, found = self.table, self.width, None
        asked = table.whole[number]
        scores = np.concatenate([table.points[a:b] @ asked for a, b in self._tiles()])
        while found is None:
            n *= 4
            near, limit = shortlist(scores, n, len(asked), table.owner.view(np.uint64))
            found = self._ranked(number, np.setdiff1d(table.owner[near], number), limit)
        return found


def _merged(
    best: Floats, videos: Ints, at: Ints, scores: Floats, owners: Any
) -> tuple[Floats, Ints]:
    """Return the best of each row, of what it had and of what came.

    ``at`` are the rows that ``scores`` belong to, in order.
    """
    n, width = best.shape
    counts = np.bincount(at, minlength=n)
    room = width + int(counts.max())
    place = np.arange(len(at)) - (np.cumsum(counts) - counts)[at] + width
    every = np.full((n, room), -np.inf, np.float32)
    names = np.full((n, room), -1, np.int64)
    every[:, :width], names[:, :width] = best, videos
    every[at, place], names[at, place] = scores, owners
    part = np.argpartition(every, room - width, axis=1)[:, -width:]
    return np.take_along_axis(every, part, axis=1), np.take_along_axis(names, part, axis=1)
