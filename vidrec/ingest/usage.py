"""Usage: what was paid for, by the library's own record; no service is asked."""

from __future__ import annotations

import time
from dataclasses import dataclass

from vidrec.config import Settings
from vidrec.embedders import PAID, load_embedder
from vidrec.embedders.base import Embedder
from vidrec.errors import VidrecError
from vidrec.library import Library
from vidrec.library.jobs import Spending, month_minutes, spendings


@dataclass(frozen=True, slots=True)
class Spent:
    """What one model was paid for. Costs are in US dollars, None where no price is set.

    Of ``unclear`` jobs no answer said whether they exist; their minutes are counted.
    """

    embedder: str
    model: str
    jobs: int
    minutes: float
    unclear: int
    texts: int
    first: float | None
    last: float | None
    video_cost: float | None
    text_cost: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What the library knows of spending, and of what lies in object storage.

    ``month_minutes`` were asked for in this calendar month (UTC); ``month_limit`` is the most that
    the settings allow, None where they set none.
    """

    spent: list[Spent]
    month_minutes: float
    month_limit: float | None
    uploads: int
    uploaded_bytes: int


def usage(settings: Settings) -> Usage:
    """Sum up paid jobs, texts asked, and uploads.

    Raises:
        LibraryError: there is no library.
    """
    with Library(settings.library, create=False) as library:
        rows = library.read("SELECT count(*), coalesce(sum(size), 0) FROM uploads")
        spent = [_priced(settings, row) for row in spendings(library, PAID)]
        month = month_minutes(library, time.time())
    limit = settings.paid.month_minutes
    return Usage(spent, month, limit, int(rows[0][0]), int(rows[0][1]))


def _priced(settings: Settings, row: Spending) -> Spent:
    embedder = _embedder(settings, row.embedder)
    return Spent(
        row.embedder, row.model, row.jobs, row.minutes, row.unclear, row.texts, row.first,
        row.last,
        video_cost=None if embedder is None else embedder.price(row.minutes),
        text_cost=None if embedder is None else embedder.price_of_texts(row.texts),
    )  # fmt: skip


def _embedder(settings: Settings, name: str) -> Embedder | None:
    """Return an embedder, that it may say what it costs; None where it is not here any more."""
    try:
        return load_embedder(settings, name)
    except VidrecError:
        return None
