"""Usage: what was paid for, by the library's own record; no service is asked."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from vidrec.config import Settings
from vidrec.embedders import PAID, load_embedder
from vidrec.errors import VidrecError
from vidrec.library import Library
from vidrec.library.jobs import Spending, month_minutes, spendings


@dataclass(frozen=True, slots=True)
class Usage:
    """What the library knows of spending, and of what lies in object storage.

    ``month_minutes`` were asked for in this calendar month (UTC); ``month_limit`` is the most that
    the settings allow, None where they set none.
    """

    spent: list[Spending]
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


def _priced(settings: Settings, row: Spending) -> Spending:
    """Return what was spent with its costs, where its embedder is still here to say them."""
    try:
        embedder = load_embedder(settings, row.embedder)
    except VidrecError:
        return row
    video_cost, text_cost = embedder.price(row.minutes), embedder.price_of_texts(row.texts)
    return replace(row, video_cost=video_cost, text_cost=text_cost)
