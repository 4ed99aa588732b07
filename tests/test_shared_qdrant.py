"""Several libraries, and people, on one Qdrant: nobody's points are in another's way."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.standin_qdrant import StandinQdrant
from tests.word_library import FINGERPRINT, put, word_settings
from vidrec.conditions import Condition
from vidrec.config import Settings
from vidrec.errors import StoreError, UsageError
from vidrec.ingest.index import index
from vidrec.ingest.remove import remove
from vidrec.library import Library
from vidrec.search.query import Part, Query
from vidrec.search.session import Answer, Session

FILMS = {"a": {"ant.mp4": "red"}, "b": {"bee.mp4": "green", "bug.mp4": "blue"}}


@pytest.fixture
def server() -> Iterator[StandinQdrant]:
    with StandinQdrant() as standin:
        yield standin
        assert standin.problems == []


@pytest.fixture
def people(
    server: StandinQdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Settings]:
    """Two libraries that are indexed in one collection, and that have one video both."""
    base = word_settings(tmp_path, monkeypatch)
    base.store.name, base.qdrant.url = "qdrant", server.url
    found = {}
    for name, films in FILMS.items():
        found[name] = base.model_copy(update={"library": tmp_path / name}, deep=True)
        with Library(found[name].library) as library:
            put(library, "common.mp4", ["cat"])
            if name == "b":  # so that the ids of its films differ
                spare = put(library, "spare.mp4", ["dog"])
            for film, words in films.items():
                put(library, film, [words])
            if name == "b":
                library.remove_video(spare)
        index(found[name])
    return found


def ask(settings: Settings, text: str = "red green blue cat dog", **options: object) -> Answer:
    with Session(settings) as session:
        query = Query((Part("text", text),), k=99, min_confidence=0, **options)  # type: ignore
        return session.recommend(query)


def found(settings: Settings, **options: object) -> list[str]:
    return sorted(row.filename for row in ask(settings, **options).results)


def test_everybody_finds_all_and_each_video_once(people: dict[str, Settings]) -> None:
    every = ["ant.mp4", "bee.mp4", "bug.mp4", "common.mp4"]
    assert found(people["a"]) == found(people["b"]) == every
    assert found(people["a"], clips=True) == every


def test_nothing_of_another_s_is_removed(
    people: dict[str, Settings], server: StandinQdrant
) -> None:
    for run in (
        lambda: index(people["a"], prune=True),
        lambda: index(people["a"], recreate=True),
        lambda: remove(people["a"], ["common.mp4", "ant.mp4"]),
        lambda: index(people["a"]),
    ):
        run()
        assert found(people["b"])[-3:] == ["bee.mp4", "bug.mp4", "common.mp4"]
        assert index(people["b"]).written == 0
    assert server.points_in("vidrec-words") == 6
    assert "ant.mp4" not in found(people["b"])


def test_another_kind_of_vectors_does_not_replace_theirs(
    people: dict[str, Settings], server: StandinQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.word_embedder.WORDS", ("red", "green"))
    with Library(people["a"].library) as library:
        from tests.word_embedder import WordEmbedder
        from vidrec.types import Embedding
        from vidrec.vectors import unit

        other = WordEmbedder().fingerprint
        library.register(other)
        video = next(iter(library.videos()))
        row = Embedding(video.id, str(other), "video", 0, 1, unit([1.0, 0.0]))
        library.save_embeddings(video.id, [row], 10.0)
    with pytest.raises(StoreError, match="6 points of other libraries"):
        index(people["a"], recreate=True)
    assert server.points_in("vidrec-words") == 10


def test_pruning_and_recreating_ask_before_they_delete(
    people: dict[str, Settings], server: StandinQdrant
) -> None:
    """As when the catalog was put back from an older copy: it knows nothing of the video."""
    with Library(people["b"].library) as library, library.transaction() as db:
        for table in ("embeddings", "embedded"):
            db.execute(
                f"DELETE FROM {table} WHERE video_id IN "
                "(SELECT id FROM videos WHERE filename = 'bug.mp4')"
            )
    for option in ("prune", "recreate"):
        with pytest.raises(UsageError, match=r"6 points, 2 of them .* --yes"):
            index(people["b"], **{option: True})
    asked: list[str] = []

    def agree(question: str) -> bool:
        asked.append(question)
        return True

    assert index(people["b"]).stale == 2
    assert index(people["b"], prune=True, agree=agree).deleted == 2
    assert server.points_in("vidrec-words") == 8
    assert "6 points, 2 of them" in asked[0] and "delete them?" in asked[0]


def test_a_reader_needs_no_library_and_writes_nothing(
    people: dict[str, Settings], server: StandinQdrant, tmp_path: Path
) -> None:
    server.api_key, server.read_only_key = "all", "read"
    reader = people["a"].model_copy(update={"library": tmp_path / "nowhere"}, deep=True)
    reader.qdrant.api_key = SecretStr("read")
    with server.counting() as requests:
        answer = ask(reader)
    assert len(answer.results) == 4
    assert len(requests) == 1 and requests[0].endswith("/points/query/groups")
    assert not any(row.gone for row in answer.results)
    assert answer.results[0].path is None
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(StoreError, match="refused the API key"):
        index(people["a"].model_copy(update={"qdrant": reader.qdrant}), recreate=True)


def test_no_path_of_this_machine_is_told(
    people: dict[str, Settings], server: StandinQdrant
) -> None:
    def told() -> set[str | None]:
        return {
            (point.payload or {}).get("path")
            for point in server.engine.scroll("vidrec-words", limit=99)[0]
        }

    assert told() == {None}
    rows = {row.filename: row.path for row in ask(people["a"]).results}
    assert rows["ant.mp4"] == "/films/ant.mp4", "one's own library knows"
    assert rows["bee.mp4"] is None
    here = Condition("path", "=", "/films/ant.mp4")
    assert found(people["a"], conditions=(here,)) == ["ant.mp4"]
    people["a"].qdrant.local_paths = True
    index(people["a"], recreate=True)
    assert told() == {None, "/films/ant.mp4", "/films/common.mp4"}


def test_tenants_see_their_own(people: dict[str, Settings], server: StandinQdrant) -> None:
    for name in people:
        people[name].qdrant.tenant = name
        people[name].qdrant.collection = "tenants"
        index(people[name])
    assert found(people["a"]) == ["ant.mp4", "common.mp4"]
    assert len(found(people["b"])) == 3
    assert "vidrec_tenant" in server.tenants
    index(people["a"], recreate=True)
    remove(people["a"], ["common.mp4"])
    assert found(people["a"]) == ["ant.mp4"]
    assert len(found(people["b"])) == 3
    of_another = Condition("vidrec_tenant", "=", "b")
    assert not ask(people["a"], conditions=(of_another,)).results


def test_a_copy_of_the_library_that_indexed_since_is_noticed(
    people: dict[str, Settings], tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(people["a"].library, tmp_path / "copy")
    copy = people["a"].model_copy(update={"library": tmp_path / "copy"})
    assert index(copy).written == 0
    remove(copy, ["ant.mp4"])
    assert "ant.mp4" not in found(people["a"])
    assert index(people["a"]).written == 4, "its own library has it still"
    assert "ant.mp4" in found(people["a"])


def test_metadata_name_each_library_s_last_change(
    people: dict[str, Settings], server: StandinQdrant
) -> None:
    metadata = server.engine.get_collection("vidrec-words").config.metadata or {}
    with Library(people["b"].library) as library:
        assert library.id in json.dumps(metadata)
    assert metadata["fingerprint"] == str(FINGERPRINT)
