"""A store follows its library: what is removed is gone, what another changed is noticed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.word_library import FINGERPRINT, put, shown, word_settings
from vidrec.care.status import status
from vidrec.config import Settings
from vidrec.errors import NoIndexError, UsageError
from vidrec.ingest.index import index
from vidrec.ingest.remove import remove
from vidrec.library import Library
from vidrec.search.query import Part, Query
from vidrec.search.session import Session
from vidrec.stores import open_store
from vidrec.types import Embedding, Payload, Point


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    settings = word_settings(tmp_path, monkeypatch)
    with Library(settings.library) as library:
        for name, clips in {"a": ["red", "cat"], "b": ["green"], "c": ["blue dog"]}.items():
            put(library, f"{name}.mp4", clips)
    index(settings)
    yield settings


def beside(settings: Settings, folder: Path) -> Settings:
    """The same library with a second store, Qdrant's engine in a folder."""
    other = settings.model_copy(deep=True)
    pytest.importorskip("qdrant_edge")
    other.store.name, other.qdrant.path = "qdrant", folder / "qdrant"
    return other


def found(settings: Settings, text: str = "red green blue") -> set[str]:
    query = Query((Part("text", text),), k=99, min_confidence=0)
    with Session(settings) as session:
        return {row.filename for row in session.recommend(query).results}


def id_of(settings: Settings, name: str) -> str:
    with Library(settings.library) as library:
        return library.ids_of([name])[name][0]


def embed_anew(settings: Settings, name: str, clips: list[str], seconds: float) -> None:
    """Replace a video's embeddings by those of clips of another length."""
    key = (id_of(settings, name), str(FINGERPRINT))
    rows = [
        Embedding(*key, "clip", i * seconds, (i + 1) * seconds, shown(clip))
        for i, clip in enumerate(clips)
    ]
    rows.append(Embedding(*key, "video", 0.0, 10.0, shown(clips[0])))
    with Library(settings.library) as library:
        library.save_embeddings(key[0], rows, seconds)


def points(settings: Settings) -> set[str]:
    store = open_store(settings)
    with Library(settings.library) as library:
        store.owner = library.id
    try:
        return set(store.ids())
    finally:
        store.close()


def embedded(settings: Settings) -> set[str]:
    with Library(settings.library) as library:
        return {e.point_id for _, e in library.embeddings(str(FINGERPRINT))}


def is_stale(settings: Settings) -> bool:
    (words,) = status(settings).embedders
    return words.stale


@pytest.mark.parametrize("kind", ["knn", "qdrant"])
def test_what_was_embedded_anew_and_removed_is_gone(
    words: Settings, tmp_path: Path, kind: str
) -> None:
    settings = beside(words, tmp_path) if kind == "qdrant" else words
    index(settings)
    embed_anew(settings, "a.mp4", ["red", "red", "cat"], 3)  # not indexed yet
    assert remove(settings, ["a.mp4"]).points == 3
    assert found(settings) == {"b.mp4", "c.mp4"}
    assert points(settings) == embedded(settings)
    assert not is_stale(settings)
    assert index(settings).written == 0


def test_a_removal_that_was_cut_off_is_finished(words: Settings) -> None:
    with Library(words.library) as library:
        library.remove_video(library.ids_of(["a.mp4"])["a.mp4"][0])
    assert found(words) == {"b.mp4", "c.mp4"}, "found, though it is still in the store"
    assert len(points(words)) == 7
    assert remove(words, ["a.mp4"]).points == 3
    assert points(words) == embedded(words)


def test_every_other_store_follows(words: Settings, tmp_path: Path) -> None:
    other = beside(words, tmp_path)
    index(other)
    remove(words, ["b.mp4"])
    assert not is_stale(words)
    assert is_stale(other)
    assert found(other) == {"a.mp4", "c.mp4"}
    assert index(other).deleted == 2
    assert points(other) == embedded(other)


def test_a_store_that_is_out_of_reach_follows_later(words: Settings, tmp_path: Path) -> None:
    away = words.model_copy(deep=True)
    pytest.importorskip("qdrant_client")
    away.store.name, away.qdrant.url, away.qdrant.timeout = "qdrant", "no address", 1
    report = remove(away, ["b.mp4"])
    assert len(report.videos) == 1
    assert "no address" in report.behind[0]
    assert found(words) == {"a.mp4", "c.mp4"}
    assert index(words).deleted == 2


def test_the_last_video_leaves_the_index(words: Settings) -> None:
    with Library(words.library) as library:
        for video in list(library.videos()):
            library.remove_video(video.id)
    assert index(words).deleted == 7
    with pytest.raises(NoIndexError, match="holds no embeddings"):
        index(words, recreate=True)


def test_what_came_back_is_found(words: Settings) -> None:
    remove(words, ["c.mp4"])
    with Library(words.library) as library:
        put(library, "c.mp4", ["red"])
    index(words)
    assert found(words) == {"a.mp4", "b.mp4", "c.mp4"}


def test_embedding_anew_replaces_the_points(words: Settings) -> None:
    embed_anew(words, "a.mp4", ["dog", "dog"], 10)  # the same times, other vectors
    embed_anew(words, "b.mp4", ["green", "green"], 5)
    report = index(words)
    assert points(words) == embedded(words)
    assert found(words, "cat") >= {"a.mp4"}
    assert report.written >= 6


def test_equal_counts_prove_nothing(words: Settings) -> None:
    """Somebody else deleted a point and wrote one of its own."""
    store = open_store(words)
    store.delete([sorted(store.ids())[0]])
    store.upsert([Point("0" * 32, shown("dog"), Payload("f" * 64, "alien.mp4", "video", 0, 1))])
    store.close()
    assert is_stale(words)
    report = index(words)
    assert report.stale == 1
    assert embedded(words) < points(words)
    assert index(words, prune=True).deleted == 1
    assert points(words) == embedded(words)


def test_an_older_copy_of_the_index_is_noticed(words: Settings, tmp_path: Path) -> None:
    """It has a point of every id, but another vector and label."""
    shutil.copytree(words.library / "knn", tmp_path / "older")
    embed_anew(words, "b.mp4", ["dog"], 10)
    index(words)
    assert "b.mp4" in found(words, "dog")
    shutil.rmtree(words.library / "knn")
    shutil.copytree(tmp_path / "older", words.library / "knn")
    assert is_stale(words)
    index(words)
    store = open_store(words)
    at_b = [p for p in store.get(sorted(store.ids())) if p.payload.filename == "b.mp4"]
    assert {tuple(point.vector) for point in at_b} == {tuple(shown("dog"))}


def test_a_library_that_moved_is_up_to_date(words: Settings, tmp_path: Path) -> None:
    shutil.copytree(words.library, tmp_path / "elsewhere")
    moved = words.model_copy(update={"library": tmp_path / "elsewhere"})
    assert not is_stale(moved)
    with Session(moved) as session:
        assert not session.recommend(Query((Part("text", "red"),))).unindexed
    assert index(moved).written == 0


def test_pruning_does_not_empty_an_index_unasked(words: Settings, tmp_path: Path) -> None:
    """As of a library that lost its catalog, or of the wrong one."""
    shared = words.model_copy(deep=True)
    shared.knn.path = tmp_path / "shared"
    index(shared)
    wrong = shared.model_copy(update={"library": tmp_path / "wrong"})
    with Library(wrong.library) as library:
        library.register(FINGERPRINT)
    with pytest.raises(UsageError, match=r"7 points, 7 of them .* --yes deletes them"):
        index(wrong, prune=True)
    assert len(points(shared)) == 7
    asked: list[str] = []
    with pytest.raises(UsageError, match="--yes"):
        index(wrong, prune=True, agree=lambda question: bool(asked.append(question)))
    assert "delete them?" in asked[0]
    assert index(wrong, prune=True, agree=lambda question: True).deleted == 7


def test_a_run_that_was_cut_off_goes_on(words: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had written some of the new points, and had not yet said so."""
    other = words.model_copy(deep=True)
    with Library(other.library) as library:
        position = library.followed(str(other.library / "knn" / "words"), str(FINGERPRINT))
        put(library, "d.mp4", ["dog", "cat"])
    index(other)
    with Library(other.library) as library:  # as if the last step had been cut off
        place = str(other.library / "knn" / "words")
        library.set_followed(place, str(FINGERPRINT), position.position, position.version)
        library.set_writing(place, str(FINGERPRINT))
    assert is_stale(other)
    report = index(other)
    assert report.written == 3, "only what came since the last whole run"
    assert points(other) == embedded(other)
