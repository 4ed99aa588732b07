"""A session: opened once, asked often, from several threads, over an index that changes."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.asking import ask
from tests.clips import write_clips
from tests.word_library import FINGERPRINT, put, shown, word_settings
from vidrec.config import Settings
from vidrec.errors import LibraryError, NoIndexError, UsageError
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.search.query import Part, Query
from vidrec.search.session import Answer, Session

ROOT = Path(__file__).parents[1]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = word_settings(tmp_path, monkeypatch)
    with Library(settings.library) as library:
        put(library, "cat.mp4", ["red cat", "cat"])
        put(library, "dog.mp4", ["dog", "dog green"])
        put(library, "wall.mp4", ["red"])
    index(settings)
    return settings


def text(value: str, weight: float = 1.0) -> Part:
    return Part("text", value, weight)


def names(answer: Answer) -> list[str]:
    return [row.filename for row in answer.results]


def test_one_session_answers_threads_alike(words: Settings) -> None:
    asked = ["cat", "dog", "red", "green dog", "red cat"] * 8
    expected = {word: ask(words, [word]) for word in set(asked)}
    with Session(words) as session, ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda word: session.recommend(Query((text(word),))), asked)
        for word, answer in zip(asked, answers, strict=True):
            assert answer == expected[word]


def test_a_session_sees_a_new_index_by_itself(words: Settings) -> None:
    with Session(words) as session:
        query = Query((text("blue"),))
        assert "sky.mp4" not in names(session.recommend(query))
        stop = threading.Event()
        failures: list[BaseException] = []

        def asking() -> None:
            while not stop.is_set():
                try:
                    session.recommend(query)
                except BaseException as exc:
                    failures.append(exc)

        threads = [threading.Thread(target=asking) for _ in range(3)]
        for thread in threads:
            thread.start()
        with Library(words.library) as library:
            put(library, "sky.mp4", ["blue"])
        index(words)
        index(words, recreate=True)
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        answer = session.recommend(query)
        assert names(answer)[0] == "sky.mp4" and not answer.unindexed


def test_a_session_may_be_opened_before_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = word_settings(tmp_path, monkeypatch)
    with pytest.raises(LibraryError):
        Session(settings)
    with Library(settings.library) as library:
        put(library, "cat.mp4", ["cat"])
    with Session(settings) as session:
        with pytest.raises(NoIndexError):
            session.recommend(Query((text("cat"),)))
        index(settings)
        assert names(session.recommend(Query((text("cat"),)))) == ["cat.mp4"]


def test_a_locked_catalog_is_not_waited_for(words: Settings) -> None:
    other = sqlite3.connect(words.library / "catalog.sqlite3", isolation_level=None)
    with Session(words) as session:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        assert names(session.recommend(Query((text("red dog"),))))
        assert time.monotonic() - started < 10  # a writer waits for 30 s
        other.execute("ROLLBACK")
        assert session.library.cached_queries(["red dog"], str(FINGERPRINT)) == {}
    other.close()


def test_other_moments_are_those_of_the_library(words: Settings) -> None:
    def told(session: Session) -> dict[str, list[tuple[float, float, float]]]:
        answer, moments = session.recommend_with_moments(Query((text("green cat"),)), 8)
        return {
            row.filename: [(one.start_sec, one.score, one.confidence or 0.0) for one in some]
            for row, some in zip(answer.results, moments, strict=True)
        }

    with Session(words) as session:
        assert session.store.clips_of([]) == {}  # the store has them at hand
        indexed = told(session)
        assert [len(indexed[name]) for name in ("cat.mp4", "dog.mp4", "wall.mp4")] == [1, 1, 0]
        with Library(words.library) as library:
            put(library, "late.mp4", ["blue"])  # the library knows more than the store now
        assert told(session) == indexed


def test_confidence_is_a_value(words: Settings) -> None:
    low = ask(words, ["dog"], min_score=1.5)
    assert not low.confident and "below 1.5" in low.reason and low.results == []
    none = ask(words, ["dog"], where=["filename=absent"])
    assert not none.confident and "nothing that is indexed" in none.reason


def test_parts_may_be_names_ids_and_vectors(words: Settings) -> None:
    with Session(words) as session:
        by_name = session.recommend(Query((Part("name", "cat.mp4"),)))
        by_id = session.recommend(Query((Part("id", by_name.results[0].video_id),)))
        assert "cat.mp4" not in names(by_name) and names(by_name)[0] not in names(by_id)
        vector = session.recommend(Query((Part("vector", 3 * shown("dog")),)))
        assert names(vector)[0] == "dog.mp4"
        for wrong in (np.ones(3), np.zeros(5)):
            with pytest.raises(Exception, match=r"numbers|direction"):
                session.recommend(Query((Part("vector", wrong),)))
        with pytest.raises(UsageError, match="in the library"):
            session.recommend(Query((Part("name", "absent.mp4"),)))
        with Library(words.library) as library:
            put(library, "cat.mp4", ["green cat"])
        with pytest.raises(UsageError, match=r"2 videos of the library are named cat.mp4: .*id:"):
            session.recommend(Query((Part("name", "cat.mp4"),)))


def test_the_only_embedder_is_asked_if_none_was_named(
    words: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidrec.config import load_settings

    answer = ask(load_settings(overrides={"library": words.library}), ["cat"])
    assert names(answer)[0] == "cat.mp4"
    assert answer.notes == ("the library has embeddings of words only: it was asked",)
    assert ask(words, ["cat"]).notes == ()


def test_the_readmes_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [
        b.split("```")[0]
        for b in (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
        if "vidrec.open" in b
    ]
    write_clips(tmp_path / "Videos", ["red", "blue"])
    write_clips(tmp_path, ["green"])
    (tmp_path / "green.mp4").rename(tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    seen: list[object] = []
    exec(block, {"print": lambda *values: seen.append(values)})
    assert seen
