"""Browse: the videos of a library page by page, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Sequence

from vidrec.library.catalog import Catalog
from vidrec.library.videos import VIDEO_COLUMNS, video_of
from vidrec.records import dataclass
from vidrec.types import Scalar, Video


@dataclass(frozen=True, slots=True)
class Listed:
    """A video and when it was added (Unix seconds)."""

    video: Video
    added: float


class Browse(Catalog):
    """What a person looks through."""

    def count_videos(self) -> int:
        """Return how many videos there are."""
        return int(self.value("SELECT count(*) FROM videos"))

    def page_of_videos(
        self, offset: int, limit: int, *, label: str | None = None, text: str = ""
    ) -> tuple[int, list[Listed]]:
        """Return how many videos have a label, and a text in their name; and some by name, id."""
        where = (
            "(? IS NULL OR label = ?) AND (? = '' OR instr(lower(filename), lower(?)) > 0 "
            "OR instr(lower(label), lower(?)) > 0)"
        )
        values = (label, label, text, text, text)
        total = self.value(f"SELECT count(*) FROM videos WHERE {where}", *values)
        rows = self.read(
            f"SELECT {VIDEO_COLUMNS}, added_at FROM videos WHERE {where} "
            "ORDER BY filename, id LIMIT ? OFFSET ?", *values, limit, offset,
        )  # fmt: skip
        return int(total), [Listed(video_of(row), float(row[-1])) for row in rows]

    def listed(self, ids: Sequence[str]) -> dict[str, Listed]:
        """Return those of some videos that exist, by id."""
        rows = self.read_among(f"SELECT {VIDEO_COLUMNS}, added_at FROM videos WHERE id IN", ids)
        return {row[0]: Listed(video_of(row), float(row[-1])) for row in rows}

    def label_counts(self) -> list[tuple[str, int]]:
        """Return each label and how many videos have it, the commonest first."""
        return self.read(
            "SELECT label, count(*) FROM videos WHERE label IS NOT NULL GROUP BY label "
            "ORDER BY 2 DESC, 1"
        )

    def field_values(self, most: int) -> dict[str, list[Scalar]]:
        """Return up to so many values of each of the user's fields, in their order."""
        select = "SELECT DISTINCT value FROM fields WHERE key = ? ORDER BY value LIMIT ?"
        names = self.column("SELECT DISTINCT key FROM fields ORDER BY key")
        return {name: self.column(select, name, most) for name in names}
