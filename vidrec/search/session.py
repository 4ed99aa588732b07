"""Session: library, embedder and store opened once, and asked often.

A session answers from several threads at once and sees a new index by itself. Whether anything
fits is a value of the answer; what becomes of it (an exit code, a line on a page) is the asker's
affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from vidrec.conditions import Filter
from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import RUN_ENDS, FingerprintError, NoIndexError, UsageError, VidrecError
from vidrec.library import Library
from vidrec.library.catalog import has_catalog
from vidrec.records import dataclass
from vidrec.search.answers import Answer, confidence_of, judged, row_of
from vidrec.search.asked import Asker
from vidrec.search.blend import open_searched
from vidrec.search.filters import filter_of
from vidrec.search.gather import Gathered, Gatherer, gather_together
from vidrec.search.moments import Moment, best_outside
from vidrec.search.query import Part, Query, check_query
from vidrec.search.texts import AskedText
from vidrec.search.told import Told, with_embedder
from vidrec.types import PAYLOAD_FIELDS

__all__ = ["Answer", "Session", "open_session"]

LATEST = 50  # videos of a history that are liked


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query whose parts have vectors, and what these have cost."""

    gatherer: Gatherer
    paid_minutes: float


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
        self.library, self._passing = _opened_library(settings)
        try:
            self.settings, self._notes = with_embedder(settings, self.library)
            self.embedder = load_embedder(self.settings)
            self.store = open_searched(self.settings, self.library, self.embedder)
        except BaseException:
            self.library.close()
            if self._passing is not None:
                self._passing.cleanup()
            raise
        self.embedder.say = say
        self.fingerprint = str(self.embedder.fingerprint)
        self.told = Told(self.library, self.embedder)
        self._asker = Asker(self.library, self.embedder, self.settings, may_pay)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release files, connections and models."""
        self.store.close()
        self.embedder.close()
        self.library.close()
        if self._passing is not None:
            self._passing.cleanup()

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
        asked = self._asked(query, {})
        gatherer = asked.gatherer
        try:
            found = gatherer.gather()
        except UsageError as exc:
            raise self._with_fields(exc, gatherer.filter) from exc
        answer = self._answered(asked, found)
        return answer, self._moments(gatherer, answer, most) if most else []

    def _moments(self, gatherer: Gatherer, answer: Answer, most: int) -> list[list[Moment]]:
        ids = list({row.video_id for row in answer.results})
        # A store that has followed the library has its clips at hand: a film has hundreds.
        known = None if answer.unindexed else self.store.clips_of(ids)
        if known is None:
            known = self.library.clips_of(ids, self.fingerprint)
        scored = {video_id: gatherer.scores(clips.vectors) for video_id, clips in known.items()}
        moments: list[list[Moment]] = []
        for row in answer.results:
            moments.append([])
            if row.video_id not in known:
                continue
            clips, scores = known[row.video_id], scored[row.video_id]
            for number in best_outside(clips, scores, row, most):
                score, vector = float(scores[number]), clips.vectors[number]
                sure = confidence_of(score, vector, gatherer.parts, gatherer.query.pool)
                span = float(clips.starts[number]), float(clips.ends[number])
                moments[-1].append(Moment(*span, score, sure))
        return moments

    def recommend_each(self, queries: Sequence[Query]) -> list[Answer | VidrecError]:
        """Answer many queries, each as ``recommend`` does; a query's failure is its answer.

        All texts are embedded together, and queries that only look for the nearest are compared
        together.

        Raises:
            VidrecError: what no other query would be spared: nothing is indexed, say.
        """
        texts = [part.value for query in queries for part in query.parts if part.kind == "text"]
        known = self._asker.texts(texts)
        answers: list[Answer | VidrecError | None] = [None] * len(queries)
        plain: dict[tuple[Filter, int], list[tuple[int, _Asked]]] = {}
        for at, query in enumerate(queries):
            with _noted(answers, [at]):
                asked = self._asked(query, known)
                if asked.gatherer.is_plain:
                    alike = (asked.gatherer.filter, query.k)
                    plain.setdefault(alike, []).append((at, asked))
                else:
                    answers[at] = self._answered(asked, asked.gatherer.gather())
        for (chosen, _), group in plain.items():
            with _noted(answers, [at for at, _ in group]):
                try:
                    found = gather_together([asked.gatherer for _, asked in group])
                except UsageError as exc:
                    raise self._with_fields(exc, chosen) from exc
                for (at, asked), one in zip(group, found, strict=True):
                    answers[at] = self._answered(asked, one)
        return [answer for answer in answers if answer is not None]

    def _asked(self, query: Query, known: Mapping[str, AskedText]) -> _Asked:
        """Make vectors of a query's parts; ``known`` are texts that have one already."""
        check_query(query)
        paid_before = self._asker.paid_minutes
        seen = self._seen(query)
        parts = self._asker.ask(
            [*query.parts, *(self._liked_before(seen) if query.like_history else ())], known
        )
        if not any(part.part.weight > 0 for part in parts):
            raise UsageError("nothing of the history is in the library: there is nothing to like")
        seeds = {part.video_id for part in parts if part.video_id is not None}
        chosen = filter_of(
            self.library, self.told, query, frozenset(seeds.union(seen, self._removed()))
        )
        gatherer = Gatherer(
            self.library, self.store, self.fingerprint,
            self.embedder.copies_from, query, parts, chosen,
        )  # fmt: skip
        return _Asked(gatherer, self._asker.paid_minutes - paid_before)

    def _answered(self, asked: _Asked, found: Gathered) -> Answer:
        query, parts = asked.gatherer.query, asked.gatherer.parts
        meanings = parts if asked.gatherer.filter.scope == "clip" else []
        rows = []
        for rank, one in enumerate(found.candidates, 1):
            sure = confidence_of(one.score, one.vector, meanings, query.pool)
            rows.append(row_of(self.library, rank, one, sure))
        notes = [*self._notes, *found.notes]
        if len(parts) > 1 and rows and rows[0].confidence is not None:
            which = "largest" if query.pool == "max" else "mean"
            notes.append(f"the confidence of a mixture is the {which} of its liked parts' own")
        why = None
        if query.why:
            from vidrec.search.why import Explainer

            explainer = Explainer(self.library, self.embedder, parts, query.pool)
            why = explainer.of_parts()
            rows = [
                replace(row, why=explainer.of_result(candidate))
                for row, candidate in zip(rows, found.candidates, strict=True)
            ]
        answer = Answer(
            str(query), self.fingerprint, self.store.name, rows, notes=tuple(notes),
            unindexed=self._unindexed(), paid_minutes=asked.paid_minutes, why=why,
        )  # fmt: skip
        least = query.min_confidence
        if least is None:
            least = self.settings.embedder.min_confidence
        return judged(answer, query, parts, least, self.embedder.name)

    def _with_fields(self, refused: UsageError, chosen: Filter) -> UsageError:
        """A field that the store does not know: name those that the library does."""
        for key in {condition.key for condition in chosen.conditions}:
            if key not in PAYLOAD_FIELDS and f"{key!r} to filter on" in str(refused):
                return self.library.unknown_field(key, self.embedder.fields)
        return refused

    def _seen(self, query: Query) -> list[str]:
        """Return the ids of the videos of the history that the library knows, in its order."""
        if not query.history:
            return []
        known = self.library.ids_of(query.history)
        return list(dict.fromkeys(found for name in query.history for found in known.get(name, ())))

    def _liked_before(self, seen: Sequence[str]) -> list[Part]:
        embedded = self.library.whole_vectors(seen, self.fingerprint)
        latest = [video_id for video_id in seen if video_id in embedded][-LATEST:]
        return [Part("id", video_id) for video_id in latest]

    def _removed(self) -> set[str]:
        """Return the videos that the library removed and the store still has."""
        revision, _ = self.library.followed(self.store.place, self.fingerprint).position
        return self.library.removed_videos(revision) if revision else set()

    def _unindexed(self) -> bool:
        if not self.store.indexed:
            return False
        followed = self.library.followed(self.store.place, self.fingerprint).position
        return self.library.position(self.fingerprint) != followed


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


def _opened_library(settings: Settings) -> tuple[Library, TemporaryDirectory[str] | None]:
    """Open the library; for a store elsewhere an empty one will do, which is thrown away.

    Raises:
        LibraryError: there is none, and the store lies in it.
    """
    if settings.store.name == "knn" or has_catalog(settings.library):
        return Library(settings.library, create=False), None
    passing = TemporaryDirectory(prefix="vidrec-")
    return Library(Path(passing.name)), passing


def open_session(
    settings: Settings,
    may_pay: Callable[[str], bool] = lambda words: False,
    say: Callable[[str], None] = lambda words: None,
) -> Session:
    """Open a session; close it, or use it in a ``with`` block."""
    return Session(settings, may_pay, say)
