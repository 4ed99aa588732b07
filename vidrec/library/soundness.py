"""Read a whole catalog and tell what in it is damaged."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrec.errors import LibraryError
from vidrec.files import parsed_json
from vidrec.library.catalog import CATALOG
from vidrec.vectors import UNIT_TOLERANCE
from vidrec.wording import count

if TYPE_CHECKING:
    from vidrec.library import Library
    from vidrec.progress import Progress

ROWS_AT_A_TIME = 2000
SHOWN = 10  # lines about one thing; of more it is said how many
# What SQLite says where only an index of a table is wrong, which it can make anew.
_OF_AN_INDEX = re.compile(r"(missing from|wrong # of entries in|non-unique entry in) index")


@dataclass(frozen=True, slots=True)
class Damage:
    """One finding: what is wrong, and the command or deed that mends it."""

    what: str
    mend: str


def damages(library: Library, progress: Progress) -> Iterator[Damage]:
    """Yield all that is wrong in a catalog: its pages, its vectors, what names what is not there.

    Raises:
        LibraryError: it cannot be read to its end.
    """
    pages = list(_pages(library, progress))
    yield from pages
    if all("REINDEX" in page.mend for page in pages):  # else the tables cannot be read for sure
        yield from _vectors(library, progress)
        yield from _texts(library)
        yield from _lost(library)


def copy_back(library: Library) -> str:
    return f"put a copy of {library.folder / CATALOG} back, or embed into another library"


def _pages(library: Library, progress: Progress) -> Iterator[Damage]:
    progress.start("checking the catalog", None, "page")
    with library.ticking(lambda: progress.step(0)):
        try:
            lines = library.column(f"PRAGMA integrity_check({10 * SHOWN})")
        except LibraryError as exc:
            lines = [str(exc)]
    progress.finish()
    path = library.folder / CATALOG
    again = f"python3 -c \"import sqlite3; sqlite3.connect({str(path)!r}).execute('REINDEX')\""
    for line in _some([line for line in lines if line != "ok"]):
        mend = again if _OF_AN_INDEX.search(line) else copy_back(library)
        yield Damage(f"{path}: {line}", mend)


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - SHOWN
    return lines if more <= 0 else [*lines[:SHOWN], f"{more} more like these, or above"]


def _vectors(library: Library, progress: Progress) -> Iterator[Damage]:
    """Every vector has its fingerprint's size, finite numbers and unit length."""
    total = library.value("SELECT count(*) FROM embeddings")
    progress.start("checking vectors", total, "vector")
    wrong: dict[tuple[str, int], list[str]] = {}
    dims = dict(library.read("SELECT id, dim FROM fingerprints"))
    after = 0
    while rows := library.read(
        "SELECT id, video_id, fingerprint_id, vector, extra FROM embeddings WHERE id > ? "
        f"ORDER BY id LIMIT {ROWS_AT_A_TIME}", after,
    ):  # fmt: skip
        after = rows[-1][0]
        for _, video_id, number, blob, extra in rows:
            if problem := _problem(blob, dims.get(number)) or _unreadable(extra):
                wrong.setdefault((video_id, number), []).append(problem)
        progress.step(len(rows))
    progress.finish()
    names = dict(library.read("SELECT id, embedder FROM fingerprints"))
    for (video_id, number), problems in list(wrong.items())[:SHOWN]:
        name = names.get(number, "an unknown embedder")
        which = f"{count(len(problems), 'vector')} of {name} of {_name(library, video_id)}"
        what = f"{which}: {problems[0]}"
        yield Damage(what, _embed_again(library, video_id, name))
    if len(wrong) > SHOWN:
        yield Damage(f"vectors of {count(len(wrong) - SHOWN, 'more video')}", copy_back(library))


def _problem(blob: object, dim: int | None) -> str:
    """Return what is wrong with a stored vector, or nothing."""
    import numpy as np

    if dim is None:
        return "nothing says what made it"
    if not isinstance(blob, bytes) or len(blob) != 4 * dim:
        there = f"{len(blob)} bytes" if isinstance(blob, bytes) else "no bytes"
        return f"{there} where {dim} numbers belong"
    vector = np.frombuffer(blob, "<f4")
    if not np.isfinite(vector).all():
        return "a number is not finite"
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return "" if abs(length - 1) <= 2 * UNIT_TOLERANCE else f"its length is {length:.6g}, not 1"


def _unreadable(text: object) -> str:
    """Return what is wrong with a stored JSON object, or nothing."""
    if text is None:
        return ""
    with contextlib.suppress(ValueError, TypeError):
        if isinstance(parsed_json(text), dict):  # type: ignore[arg-type]
            return ""
    return "its metadata is no JSON object"


def _texts(library: Library) -> Iterator[Damage]:
    """What was asked before, what made the vectors, what a provider answered."""
    dims = dict(library.read("SELECT fingerprint, dim FROM fingerprints"))
    bad = [
        text
        for text, fingerprint, blob in library.read("SELECT text, fingerprint, vector FROM queries")
        if _problem(blob, dims.get(fingerprint, len(blob) // 4 if blob else None))
    ]
    if bad:
        what = f"the kept vectors of {count(len(bad), 'text')}, {bad[0]!r} among them, are damaged"
        yield Damage(what, copy_back(library))
    for fingerprint, options in library.read("SELECT fingerprint, options FROM fingerprints"):
        if problem := _unreadable(options):
            yield Damage(f"{fingerprint}: {problem}", copy_back(library))
    for video_id, result in library.read(
        "SELECT video_id, result FROM jobs WHERE result IS NOT NULL"
    ):
        try:
            zlib.decompress(result)
        except (zlib.error, TypeError):
            what = f"a paid answer for {_name(library, video_id)} is damaged"
            yield Damage(what, copy_back(library))


def _lost(library: Library) -> Iterator[Damage]:
    """Rows that name what is not there."""
    for what, select in (
        ("vectors of videos that it does not know",
         "SELECT count(*) FROM embeddings WHERE video_id NOT IN (SELECT id FROM videos)"),
        ("videos that are called embedded and have no vectors",
         "SELECT count(*) FROM embedded d WHERE NOT EXISTS (SELECT 1 FROM embeddings e WHERE "
         "e.video_id = d.video_id AND e.fingerprint_id = d.fingerprint_id)"),
        ("vectors of videos that are not called embedded",
         "SELECT count(*) FROM embeddings e WHERE NOT EXISTS (SELECT 1 FROM embedded d WHERE "
         "e.video_id = d.video_id AND e.fingerprint_id = d.fingerprint_id)"),
    ):  # fmt: skip
        if rows := library.value(select):
            yield Damage(f"{library.folder} holds {what}: {rows}", copy_back(library))


def _name(library: Library, video_id: str) -> str:
    video = library.video_rows([video_id]).get(video_id)
    return f"{video[1]} ({video_id[:8]})" if video else video_id[:8]


def _embed_again(library: Library, video_id: str, embedder: str) -> str:
    from shlex import quote

    video = library.video_rows([video_id]).get(video_id)
    where = (video[2] or video[3]) if video else None
    if where is None:
        return copy_back(library)
    name = "" if embedder == "conse" else f" --embedder {embedder}"
    return f"vidrec embed --force{name} {quote(str(where))}, or {copy_back(library)}"
