"""Session: library, embedder and store opened once, and asked often.

A session answers from several threads at once and sees a new index by itself. Whether anything
fits is a value of the answer; what becomes of it (an exit code, a line on a page) is the asker's
affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from vidrec.conditions import Filter
from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import RUN_ENDS, FingerprintError, NoIndexError, UsageError, VidrecError
from vidrec.library import Library
from vidrec.library.catalog import has_catalog
from vidrec.search.answers import Answer
from vidrec.search.blend import open_searched
from vidrec.search.gather import Gatherer, gather_together
from vidrec.search.moments import Moment, other_moments
from vidrec.search.query import Query
from vidrec.search.recommend import Recommender
from vidrec.search.told import with_embedder

__all__ = ["Answer", "Session"]


class Session:
    """An open library with its embedder and store. Use as a context manager."""

    def __init__(
        self,
        settings: Settings,
        may_pay: Callable[[str], bool] = lambda words: False,
        say: Callable[[str], None] = lambda words: None,
    ) -> None:
        """Open what is needed, cheaply: no model is loaded before something asks for it.

        ``may_pay`` is told what a clip would cost to ask with, and says whether to; ``say`` what
        is waited for, in one line.

        If the settings name no embedder and the library holds only another one's vectors, that
        one is used, and every answer says so.

        Raises:
            LibraryError: there is no library.
            ConfigError: no embedder or store has that name.
        """
        with ExitStack() as opened:
            self.library = _opened_library(settings, opened)
            self.settings, notes = with_embedder(settings, self.library)
            self.embedder = opened.enter_context(closing(load_embedder(self.settings)))
            self.embedder.say = say
            self.store = open_searched(self.settings, self.library, self.embedder)
            opened.callback(self.store.close)
            self._opened = opened.pop_all()
        self.fingerprint = str(self.embedder.fingerprint)
        self._recommender = Recommender(
            self.settings, self.library, self.embedder, self.store, may_pay, notes
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release files, connections and models."""
        self._opened.close()

    def recommend(self, query: Query) -> Answer:
        """Return the best videos (or moments) for a query.

        Several liked parts are mixed; a video that is asked with is never among the results. A
        query of one part has a confidence, where the embedder or the library knows what its
        scores mean.

        Raises:
            UsageError: the query or a condition is wrong.
            NoIndexError: nothing is indexed yet.
            FingerprintError: the index holds vectors of another embedder.
        """
        return self.recommend_with_moments(query, 0)[0]

    def recommend_with_moments(self, query: Query, most: int) -> tuple[Answer, list[list[Moment]]]:
        """Answer as ``recommend`` does; also return up to so many other moments of each result.

        They are clips of the result's video that the library knows, the best first.
        """
        asked = self._recommender.ask(query)
        with self._naming_fields(asked.filter):
            found = asked.gather()
        answer = self._recommender.answer(asked, found)
        return answer, other_moments(asked, answer, most) if most else []

    def recommend_each(self, queries: Sequence[Query]) -> list[Answer | VidrecError]:
        """Answer many queries, each as ``recommend`` does; a query's failure is its answer.

        All texts are embedded together, and queries that only look for the nearest are compared
        together.

        Raises:
            VidrecError: what no other query would be spared: nothing is indexed, say.
        """
        one = self._recommender
        texts = [part.value for query in queries for part in query.parts if part.kind == "text"]
        known = one.asker.texts(texts)
        answers: list[Answer | VidrecError | None] = [None] * len(queries)
        plain: dict[tuple[Filter, int], list[tuple[int, Gatherer]]] = {}
        for at, query in enumerate(queries):
            with _noted(answers, [at]):
                asked = one.ask(query, known)
                if asked.is_plain:
                    plain.setdefault((asked.filter, query.k), []).append((at, asked))
                else:
                    answers[at] = one.answer(asked, asked.gather())
        for (chosen, _), group in plain.items():
            with _noted(answers, [at for at, _ in group]), self._naming_fields(chosen):
                found = gather_together([asked for _, asked in group])
                for (at, asked), gathered in zip(group, found, strict=True):
                    answers[at] = one.answer(asked, gathered)
        return [answer for answer in answers if answer is not None]

    @contextmanager
    def _naming_fields(self, chosen: Filter) -> Iterator[None]:
        try:
            yield
        except UsageError as exc:
            raise self._recommender.with_fields(exc, chosen) from exc


@contextmanager
def _noted(answers: list[Answer | VidrecError | None], places: Sequence[int]) -> Iterator[None]:
    """What goes wrong inside is the answer at those places, unless it ends all."""
    try:
        yield
    except (NoIndexError, FingerprintError, *RUN_ENDS):
        raise
    except VidrecError as exc:
        for at in places:
            answers[at] = exc


def _opened_library(settings: Settings, opened: ExitStack) -> Library:
    """Open the library; for a store elsewhere an empty one will do, which is thrown away.

    Raises:
        LibraryError: there is none, and the store lies in it.
    """
    if settings.store.name == "knn" or has_catalog(settings.library):
        return opened.enter_context(closing(Library(settings.library, create=False)))
    passing = opened.enter_context(TemporaryDirectory(prefix="vidrec-"))
    return opened.enter_context(closing(Library(Path(passing))))
