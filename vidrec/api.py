"""The Python interface: embed, index and recommend from a notebook or a program of one's own.

import vidrec

with vidrec.open("my-library") as videos:
    videos.embed("~/Videos")
    for row in videos.recommend("a dog on the beach", k=3).results:
        print(row.score, row.path, row.start_sec)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vidrec.config import Settings, load_settings
from vidrec.errors import UsageError
from vidrec.media.extensions import IMAGE_EXTENSIONS
from vidrec.search.query import Part, Query
from vidrec.search.session import Answer, Session

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from vidrec.ingest.embed import EmbedReport
    from vidrec.ingest.index import IndexReport
    from vidrec.options import Asking, Embedding
    from vidrec.progress import Progress

# A text (or "id:…"), a file, or a part with a weight.
Wish: TypeAlias = "str | Path | Part"


class Videos:
    """A library with its embedder and store. Use as a context manager, or ``close`` it."""

    def __init__(self, settings: Settings) -> None:
        """Remember the settings; nothing is opened yet."""
        self.settings = settings
        self._session: Session | None = None
        self._mutex = threading.Lock()

    def __enter__(self) -> Videos:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release files, connections and models; the next question opens them again."""
        with self._mutex:
            if self._session is not None:
                self._session.close()
                self._session = None

    def embed(
        self,
        *sources: str | Path,
        index: bool = True,
        progress: Progress | None = None,
        told: Callable[[Mapping[str, Any]], None] = lambda row: None,
        **options: Unpack[Embedding],
    ) -> EmbedReport:
        """Embed videos, folders or URLs, what is new of them, and bring the index up to date.

        Args:
            sources: files, folders, ``s3://`` or ``https://`` URLs; none with
                ``retry_failed=True`` means what failed before.
            index: whether to index afterwards, where there is something to.
            progress: listens; ``vidrec.display.Bar()`` is that of the command line.
            told: is called with what became of each video; why it failed, too.
            options: of ``vidrec.ingest.embed.EmbedOptions``.

        Raises:
            UsageError: a source is none, or an option cannot be meant.
            VidrecError: what ends a run; one video's failure is counted in the report.
        """
        from vidrec.ingest.embed import EmbedOptions, embed

        wished = EmbedOptions(**options)
        named = [_place(source) for source in sources] or (None if wished.retry_failed else [])
        report = embed(self.settings, named, wished, progress, told)
        if index and not (wished.dry_run or report.interrupted) and report.videos + report.skipped:
            self.index()
        return report

    def index(self, *, recreate: bool = False, prune: bool = False) -> IndexReport:
        """Bring the store up to date with the library.

        Raises:
            NoIndexError: nothing is embedded yet.
        """
        from vidrec.ingest.index import index

        return index(self.settings, recreate=recreate, prune=prune)

    def recommend(
        self,
        *wishes: Wish,
        unlike: Wish | Iterable[Wish] = (),
        k: int = 10,
        **options: Unpack[Asking],
    ) -> Answer:
        """Return the best videos for what is wished: texts, ``Path`` of videos and images.

        Args:
            wishes: what is liked; a ``Part`` has a weight.
            unlike: what is disliked, one or several.
            k: how many results at most.
            options: of ``vidrec.search.query.Query``.

        Raises:
            UsageError: the question cannot be meant.
            NoIndexError: nothing is indexed yet.
        """
        disliked = (
            unlike if isinstance(unlike, Iterable) and not isinstance(unlike, str) else [unlike]
        )
        parts = [_part(wish, 1.0) for wish in wishes] + [_part(wish, -1.0) for wish in disliked]
        return self.session().recommend(Query(tuple(parts), k=k, **options))

    def session(self) -> Session:
        """Return the session that answers, opened on first use; it may be asked by threads."""
        with self._mutex:
            if self._session is None:
                self._session = Session(self.settings)
            return self._session


def open_videos(
    library: str | Path | None = None,
    *,
    embedder: str | None = None,
    store: str | None = None,
    config: str | Path | None = None,
    **settings: Any,
) -> Videos:
    """Open a library, which need not exist yet; what is None is as the command line has it.

    Args:
        library: its folder.
        embedder: its name.
        store: its name.
        config: a config file.
        settings: any other setting, as ``qdrant__url="http://localhost:6333"``.

    Raises:
        ConfigError: there is no such setting, or it is wrong.
    """
    flags = {
        "library": library, "embedder.name": embedder, "store.name": store,
        **{name.replace("__", "."): value for name, value in settings.items()},
    }  # fmt: skip
    return Videos(load_settings(Path(config) if config else None, flags))


def _place(source: str | Path) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    raise UsageError(
        f"a source is a str or a Path, several are embed(*sources). Received: {source!r}"
    )


def _part(wish: Wish, sign: float) -> Part:
    if isinstance(wish, Part):
        return Part(wish.kind, wish.value, sign * wish.weight)
    if isinstance(wish, Path):
        image = wish.suffix.lower() in IMAGE_EXTENSIONS
        return Part("image" if image else "video", str(wish), sign)
    if not isinstance(wish, str):
        raise UsageError(f"a wish is a text, a Path or a Part. Received: {type(wish).__name__}")
    if wish.startswith("id:"):
        return Part("id", wish.removeprefix("id:"), sign)
    return Part("text", wish, sign)
