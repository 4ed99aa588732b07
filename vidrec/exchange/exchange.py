"""Export: embeddings leave the library, with what is known of their videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidrec.conditions import Condition
from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import NoIndexError, VidrecError
from vidrec.library import Library
from vidrec.progress import Progress, Silent, finishing
from vidrec.types import Embedding, Fingerprint, Video

if TYPE_CHECKING:
    from vidrec.exchange.rows import Row


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written where."""

    path: Path
    fingerprint: str
    rows: int
    others: tuple[str, ...] = ()  # of the same embedder, not written


def export(
    settings: Settings,
    path: Path,
    *,
    kind: str | None = None,
    fingerprint: str | None = None,
    force: bool = False,
    conditions: Sequence[Condition] = (),
    progress: Progress | None = None,
) -> ExportReport:
    """Write an embedder's embeddings, with what is known of their videos, to a file.

    ``fingerprint`` chooses among several of the embedder's; by default the one is taken that is
    searched under the settings, or else the latest. A pipe or a device is written into, ``-`` is
    stdout; a file that is there is replaced if it is an earlier export, another one only with
    ``force``. Only videos that meet all ``conditions`` are written.

    Raises:
        NoIndexError: the library holds no such embeddings.
        UsageError: the format is not known, or a file is there that vidrec did not write.
        StorageError: the file cannot be written.
    """
    from vidrec.exchange.vector_files import kind_of, write_rows
    from vidrec.search.told import videos_where

    wished = kind_of(path, kind)
    progress = progress or Silent()
    with Library(settings.library, create=False) as library, library.snapshot():
        chosen, others = _choose(library, settings, fingerprint)
        met = videos_where(settings, library, conditions)
        total = library.count_embeddings(str(chosen), met)[1]
        progress.start("exporting", total, "row")
        with finishing(progress):
            rows = _rows(library, chosen, met, progress)
            written = write_rows(path, wished, rows, chosen.dim, force=force)
    return ExportReport(path, str(chosen), written, others)


def _choose(
    library: Library, settings: Settings, wished: str | None
) -> tuple[Fingerprint, tuple[str, ...]]:
    """Return what is to be written, and what else there is of the same embedder."""
    filled = [f for f in library.fingerprints() if library.count_embeddings(str(f))[1]]
    embedder = settings.embedder.name
    searched = wished or _searched(settings)
    exact = [f for f in filled if str(f) == searched]
    mine = [f for f in filled if f.embedder == embedder]
    latest = [] if wished else mine[-1:]
    if not (found := exact or latest):
        held = ", ".join(str(f) for f in filled) or "none"
        raise NoIndexError(
            f"{library.folder} holds no embeddings of {wished or embedder} (it holds: {held})"
        )
    return found[0], tuple(str(f) for f in mine if f != found[0])


def _searched(settings: Settings) -> str:
    """The fingerprint that a query asks for under the settings; nothing of what is not here."""
    try:
        with closing(load_embedder(settings)) as embedder:
            return str(embedder.fingerprint)
    except (VidrecError, ModuleNotFoundError):
        return ""


def _rows(
    library: Library, fingerprint: Fingerprint, met: set[str] | None, progress: Progress
) -> Iterator[Row]:
    """Yield an embedder's rows, video by video."""
    lengths = library.clip_seconds(str(fingerprint))
    for video in library.videos():
        if video.id not in lengths or (met is not None and video.id not in met):
            continue
        for embedding in library.video_embeddings(video.id, str(fingerprint)):
            yield _row(video, embedding, fingerprint, lengths[video.id])
            progress.step(1)


def _row(video: Video, embedding: Embedding, of: Fingerprint, clip_seconds: float) -> Row:
    info = video.info
    return {
        "embedder": of.embedder, "model": of.model, "dim": of.dim, "options": dict(of.options),
        "video_id": video.id, "filename": video.filename,
        "path": str(video.path) if video.path else None, "url": video.url, "size": video.size,
        "label": video.label, "group": video.group,
        "duration_sec": info.duration_sec if info else None,
        "width": info.width if info else None, "height": info.height if info else None,
        "fps": info.fps if info else None, "codec": info.codec if info else None,
        "rotation": info.rotation if info else None,
        "scope": embedding.scope, "start_sec": embedding.start_sec,
        "end_sec": embedding.end_sec, "clip_seconds": clip_seconds,
        "extra": dict(embedding.extra), "vector": embedding.vector,
    }  # fmt: skip
