"""Everything: for each video of the library those most like it, the "more like this" table.

Each row is what `recommend id:…` answers: the video's whole vector against all clips (or whole
vectors), every other video once by its best point, without copies. Scores are found tile by tile in
float32, as one matrix product each; the few that may be among the first are reckoned again in
float64, row by row, as every ranking here is. What is not certain then is ranked from all scores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.errors import LibraryError, UsageError
from vidrec.point_ids import point_id
from vidrec.progress import Progress
from vidrec.search.variety import A_FRAME, SAME_LENGTH
from vidrec.vectors import margin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.library import Library

    Floats = NDArray[np.float32]
    Wide = NDArray[np.float64]
    Ints = NDArray[np.int64]

ROWS, COLUMNS = 1024, 8192  # of a tile of scores: 32 MiB
SPARE = 8  # candidates beyond k
AT_ONCE = 64  # rows that are reckoned again together
IN_MEMORY = 256 << 20  # bytes of vectors; more lie in a temporary file


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A video and those most like it, best first: (id, score, start, end) in seconds."""

    video_id: str
    results: Sequence[tuple[str, float, float, float]]


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
        if np.array_equal(order, np.arange(len(points))):
            self.points = points
        else:
            self.points = self._room(len(order), points.shape[1])
            for start in range(0, len(order), COLUMNS):
                self.points[start : start + COLUMNS] = points[order[start : start + COLUMNS]]
        self.owner = owners[order]
        self.start = np.array([spans[at][1] for at in order])
        self.end = np.array([spans[at][2] for at in order])


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
        total = len(self.table.ids)
        progress.start("comparing", total, "video")
        for start in range(0, total, ROWS):
            asked = np.ascontiguousarray(self.table.whole[start : start + ROWS])
            best, videos = self._top(asked)
            yield from self._settled(start, asked, best, videos)
            progress.step(len(asked))
        progress.finish()

    def _tiles(self) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of points; a tile ends where a video ends.

        The first are small: they show cheaply what may be among the best of the others.
        """
        owner, start, columns = self.table.owner, 0, max(1, COLUMNS // 16)
        while start < len(owner):
            end = min(len(owner), start + columns)
            columns = min(COLUMNS, 4 * columns)
            if not self.single and end < len(owner):
                end = int(np.searchsorted(owner, owner[end - 1], "right"))
            yield start, end
            start = end

    def _top(self, asked: Floats) -> tuple[Floats, Ints]:
        """Return the best float32 scores of videos and their numbers, (n, width), in no order."""
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
            if start == 0 and scores.shape[1] > width:
                part = np.argpartition(scores, scores.shape[1] - width, axis=1)[:, -width:]
                best = np.take_along_axis(scores, part, axis=1)
                videos = owners[part]
            else:
                flat = np.flatnonzero(scores > least[:, None])  # faster than nonzero
                if not len(flat):
                    continue
                at, column = np.divmod(flat, scores.shape[1])
                best, videos = _merged(best, videos, at, scores[at, column], owners[column])
            least = best.min(axis=1)
        return best, videos

    def _settled(
        self, start: int, asked: Floats, best: Floats, videos: Ints
    ) -> Iterator[Neighbours]:
        """Rank the candidates of each row exactly."""
        for low in range(0, len(asked), AT_ONCE):
            high = min(low + AT_ONCE, len(asked))
            if self.single:
                scores, order, sure = self._exact(
                    start + low, asked[low:high], best[low:high], videos[low:high]
                )
            for row in range(low, high):
                number = start + row
                if self.single and sure[row - low]:
                    at = order[row - low]
                    chosen = videos[row][at].tolist()
                    ranked = list(zip(chosen, scores[row - low][at].tolist(), chosen, strict=True))
                else:
                    ranked = self._surely(number, best[row], videos[row])
                found = [(self.table.ids[v], s, *self._span(p)) for v, s, p in ranked[: self.k]]
                yield Neighbours(self.table.ids[number], found)

    def _exact(
        self, start: int, asked: Floats, best: Floats, videos: Ints
    ) -> tuple[Wide, Ints, NDArray[np.bool_]]:
        """Return exact scores, the places of the first k and whether these are sure, row by row.

        Only where each video has one point. Rows with equal scores among the first are not sure.
        """
        table, k = self.table, self.k
        wide = asked.astype(np.float64)[:, None, :]
        scores = np.add.reduce(table.points[videos] * wide, axis=2)
        whole = scores
        if table.points is not table.whole:
            whole = np.add.reduce(table.whole[videos] * wide, axis=2)
        mine = np.arange(start, start + len(asked))[:, None]
        lengths, own = table.lengths[videos], table.lengths[mine]
        alike = _same_lengths(lengths, own)
        scores[(videos == mine) | (videos < 0) | ((whole >= self.copies_from) & alike)] = -np.inf
        order = np.argsort(-scores, axis=1)
        ranked = np.take_along_axis(scores, order, axis=1)
        limit = best.min(axis=1) if self.width < len(table.ids) else np.full(len(asked), -np.inf)
        last = min(k, ranked.shape[1]) - 1
        sure = (ranked[:, last] > limit + self.margin) & (ranked[:, last] > -np.inf)
        sure &= (ranked[:, : last + 1][:, : ranked.shape[1] - 1] > ranked[:, 1 : last + 2]).all(
            axis=1
        )
        return scores, order[:, : last + 1], sure

    def _surely(self, number: int, best: Floats, videos: Ints) -> list[tuple[int, float, int]]:
        """Rank a row's candidates, or all videos where that is not certain to be the same."""
        limit = float(best.min()) if self.width < len(self.table.ids) else -np.inf
        ranked = self._ranked(number, videos)
        sure = len(ranked) >= self.k and ranked[self.k - 1][1] > limit + self.margin
        return ranked if sure or limit == -np.inf else self._from_all(number)

    def _span(self, point: int) -> tuple[float, float]:
        return float(self.table.start[point]), float(self.table.end[point])

    def _from_all(self, number: int) -> list[tuple[int, float, int]]:
        """Rank a row from all of its scores, where too many are equal or copies."""
        table = self.table
        asked = table.whole[number]
        scores = np.concatenate([table.points[a:b] @ asked for a, b in self._tiles()])
        ends = np.flatnonzero(np.diff(table.owner)) + 1
        of_videos = np.maximum.reduceat(scores, np.concatenate([[0], ends]))
        owners = table.owner[np.concatenate([[0], ends])]
        wanted = self.width
        while True:
            wanted = min(4 * wanted, len(owners))
            limit = -np.inf
            if wanted < len(owners):
                limit = float(np.partition(of_videos, len(owners) - wanted)[len(owners) - wanted])
            ranked = self._ranked(number, owners[of_videos >= limit])
            clear = len(ranked) >= self.k and ranked[self.k - 1][1] > limit + self.margin
            if clear or wanted == len(owners):
                return ranked

    def _ranked(self, number: int, videos: Ints) -> list[tuple[int, float, int]]:
        """Return (video, exact score, best point) of some videos that are no copies, best first."""
        table = self.table
        videos = videos[(videos >= 0) & (videos != number)]
        asked = table.whole[number].astype(np.float64)
        whole = np.add.reduce(table.whole[videos] * asked, axis=1)
        lengths, mine = table.lengths[videos], table.lengths[number]
        alike = _same_lengths(lengths, mine)
        videos = videos[~((whole >= self.copies_from) & alike)]
        left = np.searchsorted(table.owner, videos, "left")
        right = np.searchsorted(table.owner, videos, "right")
        spans = [np.arange(a, b) for a, b in zip(left, right, strict=True)]
        points = np.concatenate(spans) if spans else np.empty(0, np.int64)
        scores = np.add.reduce(table.points[points] * asked, axis=1)
        owners = table.owner[points]
        order = np.argsort(-scores, kind="stable")
        if len(np.unique(scores)) < len(scores):  # equal scores are in the order of point ids
            names = [self._point_id(int(point)) for point in points]
            order = np.array(sorted(range(len(points)), key=lambda at: (-scores[at], names[at])))
        ranked: list[tuple[int, float, int]] = []
        seen: set[int] = set()
        for at in order:
            video = int(owners[at])
            if video not in seen:
                seen.add(video)
                ranked.append((video, float(scores[at]), int(points[at])))
        return ranked

    def _point_id(self, point: int) -> str:
        table = self.table
        video = table.ids[int(table.owner[point])]
        return point_id(video, table.fingerprint, table.scope, *self._span(point))


def _same_lengths(one: Any, other: Any) -> NDArray[np.bool_]:
    """As ``variety`` has it; a length that is not known is like any."""
    bound = np.maximum(SAME_LENGTH * np.maximum(one, other), A_FRAME)
    same: NDArray[np.bool_] = ~(np.abs(one - other) > bound)
    return same


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
