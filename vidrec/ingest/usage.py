"""Usage: what was paid for, by the library's own record; no service is asked."""

from __future__ import annotations

from dataclasses import dataclass

from vidrec.config import Settings
from vidrec.library import Library
from vidrec.library.jobs import Spending, spendings


@dataclass(frozen=True, slots=True)
class Spent:
    """What one model was paid for. Costs are in US dollars, None where no price is set."""

    embedder: str
    model: str
    jobs: int
    minutes: float
    texts: int
    first: float | None
    last: float | None
    video_cost: float | None
    text_cost: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What the library knows of spending, and of what lies in object storage."""

    spent: list[Spent]
    uploads: int
    uploaded_bytes: int


def usage(settings: Settings) -> Usage:
    """Sum up paid jobs, texts asked, and uploads.

    Raises:
        LibraryError: there is no library.
    """
    with Library(settings.library, create=False) as library:
        rows = library.read("SELECT count(*), coalesce(sum(size), 0) FROM uploads")
        spent = [_priced(settings, row) for row in spendings(library)]
    return Usage(spent, int(rows[0][0]), int(rows[0][1]))


def _priced(settings: Settings, row: Spending) -> Spent:
    minute, texts = settings.marengo.price_video_minute, settings.marengo.price_thousand_texts
    mine = row.embedder == "marengo"
    return Spent(
        row.embedder, row.model, row.jobs, row.minutes, row.texts, row.first, row.last,
        video_cost=row.minutes * minute if mine and minute is not None else None,
        text_cost=row.texts / 1000 * texts if mine and texts is not None else None,
    )  # fmt: skip
