"""The catalog: identity, transactions, locks, damage."""

import multiprocessing
import shutil
import sqlite3
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidrec.calibration import Calibration
from vidrec.errors import LibraryError, LockedError, UsageError
from vidrec.library import FileStamp, Library
from vidrec.library.schema import VERSION
from vidrec.types import Embedding, Fingerprint, Video, VideoInfo

FINGERPRINT = Fingerprint("test", "model", 3, {"frames": 8})


def a_video(number: int = 1, **changes: object) -> Video:
    values: dict[str, object] = {
        "id": f"{number:064x}",
        "filename": f"{number}.mp4",
        "path": Path(f"/videos/{number}.mp4"),
        "size": 10,
        "label": "Cats",
        "info": VideoInfo(12.5, 640, 360, 25.0),
    }
    return Video(**{**values, **changes})  # type: ignore[arg-type]


def embeddings_of(video: Video, clips: int = 2, value: float = 1.0) -> list[Embedding]:
    vector = np.array([value, 0, 0], np.float32)
    key = str(FINGERPRINT)
    rows = [
        Embedding(video.id, key, "clip", 10.0 * i, 10.0 * (i + 1), vector) for i in range(clips)
    ]
    return [*rows, Embedding(video.id, key, "video", 0.0, 10.0 * clips, vector)]


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.add_video(a_video(), FileStamp(10, 99))
        library.register(FINGERPRINT)
        library.save_embeddings(a_video().id, embeddings_of(a_video()), 10.0)
    with Library(tmp_path) as library:
        assert library.video(a_video().id) == a_video()
        assert library.known_id(Path("/videos/1.mp4"), FileStamp(10, 99)) == a_video().id
        assert library.known_id(Path("/videos/1.mp4"), FileStamp(10, 98)) is None
        stored = [embedding for _, embedding in library.embeddings(str(FINGERPRINT))]
        assert [e.scope for e in stored] == ["clip", "clip", "video"]
        assert stored[0].vector.tolist() == [1, 0, 0]
        assert library.fingerprints() == [FINGERPRINT]
        assert library.is_embedded(a_video().id, str(FINGERPRINT), 10.0)
        assert not library.is_embedded(a_video().id, str(FINGERPRINT), 5.0)


def test_embedding_again_replaces_and_is_seen_as_new(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.add_video(a_video())
        library.register(FINGERPRINT)
        library.save_embeddings(a_video().id, embeddings_of(a_video(), clips=3), 10.0)
        last = max(number for number, _ in library.embeddings(str(FINGERPRINT)))
        library.save_embeddings(a_video().id, embeddings_of(a_video(), clips=1), 30.0)
        new = list(library.embeddings(str(FINGERPRINT), after=last))
        assert len(new) == 2
        assert library.count_embeddings(str(FINGERPRINT)) == (1, 2)


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.add_video(a_video())
        library.register(FINGERPRINT)
        library.save_embeddings(a_video().id, embeddings_of(a_video()), 10.0)
        twice = embeddings_of(a_video(), clips=1)[:1] * 2
        with pytest.raises(LibraryError):
            library.save_embeddings(a_video().id, twice, 10.0)
        assert library.count_embeddings(str(FINGERPRINT)) == (1, 3)


def test_what_is_not_known_keeps_its_old_value(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.add_video(a_video())
        library.add_video(a_video(label=None, info=None, path=None, filename="renamed.mp4"))
        stored = library.video(a_video().id)
        assert stored is not None
        assert stored.filename == "renamed.mp4"
        assert stored.label == "Cats"
        assert stored.duration_sec == 12.5


def test_find_by_prefix(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.add_video(a_video(0xABC))
        library.add_video(a_video(0xABD))
        assert library.find_video(f"{0xABC:064x}") == a_video(0xABC)
        for prefix in ("000", "ffff", "", "x", "*"):
            with pytest.raises(UsageError):
                library.find_video(prefix)


def test_remove_forgets_everything(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.add_video(a_video(), FileStamp(10, 99))
        library.register(FINGERPRINT)
        library.save_embeddings(a_video().id, embeddings_of(a_video()), 10.0)
        library.remove_video(a_video().id)
        assert list(library.videos()) == []
        assert library.count_embeddings(str(FINGERPRINT)) == (0, 0)
        assert library.known_id(Path("/videos/1.mp4"), FileStamp(10, 99)) is None


def test_a_removal_is_a_revision(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.add_video(a_video())
        before, _ = library.position(str(FINGERPRINT))
        library.remove_video(a_video().id)
        after, _ = library.position(str(FINGERPRINT))
        assert after > before
        library.add_video(a_video())  # it comes back: what was indexed of it is gone all the same
        assert library.removed_videos(before) == {a_video().id}
        assert library.removed_videos(after) == set()


def test_a_library_keeps_its_own_id(tmp_path: Path) -> None:
    with Library(tmp_path / "a") as one, Library(tmp_path / "b") as other:
        assert uuid.UUID(one.id) != uuid.UUID(other.id)
        first = one.id
    (tmp_path / "a").rename(tmp_path / "moved")
    with Library(tmp_path / "moved", create=False) as moved:
        assert moved.id == first


@pytest.mark.parametrize("create", [True, False])
def test_an_empty_catalog_is_damage_and_no_new_library(tmp_path: Path, create: bool) -> None:
    Library(tmp_path).close()
    (tmp_path / "catalog.sqlite3").write_bytes(b"")
    with pytest.raises(LibraryError, match="is damaged"):
        Library(tmp_path, create=create)


@pytest.mark.parametrize("beside", ["knn", "catalog.sqlite3-wal"])
def test_no_new_catalog_is_made_beside_what_a_lost_one_left(tmp_path: Path, beside: str) -> None:
    (tmp_path / beside).mkdir()
    with pytest.raises(LibraryError, match=f"its {beside} is there"):
        Library(tmp_path)
    assert not (tmp_path / "catalog.sqlite3").exists()


def test_a_library_that_is_deleted_while_it_is_open_says_so(tmp_path: Path) -> None:
    with Library(tmp_path / "library") as library:
        library.add_video(a_video(1))
        shutil.rmtree(tmp_path / "library")
        Library(tmp_path / "library").close()
        with pytest.raises(LibraryError, match="deleted or replaced"):
            library.add_video(a_video(2))


def test_a_page_holds_several_vectors(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.register(replace(FINGERPRINT, dim=512))
        name = str(replace(FINGERPRINT, dim=512))
        vector = np.ones(512, np.float32)
        with library.transaction():
            for number in range(200):
                video = a_video(number)
                clips = [Embedding(video.id, name, "clip", i, i + 1, vector) for i in range(10)]
                library.add_video(video)
                library.save_embeddings(video.id, clips, 1.0)
    assert (tmp_path / "catalog.sqlite3").stat().st_size < 1.35 * 2000 * vector.nbytes


def test_failures_are_kept_until_cleared(tmp_path: Path) -> None:
    stamp = FileStamp(1, 2)
    with Library(tmp_path) as library:
        library.record_failure("scan", "/a.mp4", "empty", stamp=stamp)
        assert library.failed_before("scan", "/a.mp4", stamp) == "empty"
        assert library.failed_before("scan", "/a.mp4", FileStamp(1, 3)) is None
        library.record_failure("scan", "/a.mp4", "no permission", permanent=False, stamp=stamp)
        assert library.failed_before("scan", "/a.mp4", stamp) is None
        assert [failure.reason for failure in library.failures()] == ["no permission"]
        library.clear_failure("scan", "/a.mp4")
        assert library.failures() == []


def test_texts_asked_before(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        assert library.cached_queries(["cats"], "f") == {}
        vector = np.array([0.6, 0.8], np.float32)
        library.cache_queries([("cats", vector, 1.0), ("dogs", vector, 0.5)], "f")
        cached = library.cached_queries(["cats", "birds", "cats"], "f")
        assert list(cached) == ["cats"]
        assert cached["cats"][0].tolist() == pytest.approx([0.6, 0.8]) and cached["cats"][1] == 1.0
        library.cache_queries([("cats", vector, 0.25)], "f")
        assert library.cached_queries(["cats"], "f")["cats"][1] == 0.25
        assert library.cached_queries(["cats"], "g") == {}
        many = [(f"text {n}", vector, 1.0) for n in range(1200)]
        library.cache_queries(many, "f")
        assert len(library.cached_queries([text for text, *_ in many], "f")) == 1200


def test_of_many_texts_the_oldest_go(tmp_path: Path) -> None:
    vector = np.array([0.6, 0.8], np.float32)
    with Library(tmp_path) as library:
        library.cache_queries([("paid", vector, 1.0)], "g")
        for n in range(12):
            library.cache_queries([(f"text {n}", vector, 1.0)], "f", most=5)
        kept = library.cached_queries([f"text {n}" for n in range(12)], "f")
        assert sorted(kept) == ["text 10", "text 11", "text 7", "text 8", "text 9"]
        library.cache_queries([("text 7", vector, 1.0)], "f", most=5)
        library.cache_queries([("text 12", vector, 1.0)], "f", most=5)
        kept = library.cached_queries([f"text {n}" for n in range(13)], "f")
        assert sorted(kept) == ["text 10", "text 11", "text 12", "text 7", "text 9"]
        assert library.cached_queries(["paid"], "g")


def test_a_text_does_not_wait_for_another_writer(tmp_path: Path) -> None:
    vector = np.array([0.6, 0.8], np.float32)
    with Library(tmp_path) as writer, Library(tmp_path, create=False) as library:
        with writer.transaction():
            started = time.monotonic()
            library.cache_queries([("cats", vector, 1.0)], "f")
            assert time.monotonic() - started < 10  # a writer waits for 30 s
        assert library.cached_queries(["cats"], "f") == {}
        library.cache_queries([("cats", vector, 1.0)], "f")
        assert list(library.cached_queries(["cats"], "f")) == ["cats"]


def test_what_scores_mean_is_kept_and_can_be_forgotten(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.set_calibration("f", "text", Calibration(9.5, -2.0))
        library.set_calibration("f", "text", Calibration(9.0, -2.0))
    with Library(tmp_path) as library:
        assert library.calibration("f", "text") == Calibration(9.0, -2.0)
        assert library.calibration("f", "video") is library.calibration("g", "text") is None
        library.set_calibration("f", "text", None)
        assert library.calibration("f", "text") is None


def test_a_newer_catalog_is_refused(tmp_path: Path) -> None:
    Library(tmp_path).close()
    db = sqlite3.connect(tmp_path / "catalog.sqlite3")
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(LibraryError, match="newer vidrec"):
        Library(tmp_path)


def test_a_file_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(LibraryError, match="cannot open the library"):
        Library(tmp_path)
    with pytest.raises(LibraryError, match="no library in"):
        Library(tmp_path / "absent", create=False)


def _hold(folder: Path, ready: object) -> None:
    with Library(folder) as library, library.lock("embed-x"):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_the_second_to_lock_is_told_who_holds_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    try:
        assert ready.wait(30)
        with Library(tmp_path) as library:
            with (
                pytest.raises(LockedError, match=f"`vidrec embed`.*{holder.pid}"),
                library.lock("embed-x"),
            ):
                pass
            holder.kill()
            holder.join()
            with library.lock("embed"):
                pass
    finally:
        holder.kill()
        holder.join()


@pytest.fixture
def may_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that another owns: root, who runs some tests, may write everywhere."""
    monkeypatch.setattr("vidrec.library.catalog.os.access", lambda path, mode: False)


@pytest.mark.usefixtures("may_not_write")
def test_a_library_that_may_not_be_written_is_read(tmp_path: Path) -> None:
    video = a_video()
    with Library(tmp_path) as library:
        library.register(FINGERPRINT)
        library.add_video(video)
        # while somebody else writes, and what they wrote is not yet in the main file
        with Library(tmp_path, create=False) as shared:
            assert shared.video(video.id) == video
    with Library(tmp_path, create=False) as shared:
        assert shared.read_only
        assert shared.video(video.id) == video
        vector = embeddings_of(video)[0].vector
        shared.cache_queries([("a dog", vector, 1.0)], str(FINGERPRINT))  # only spares asking again
        assert shared.cached_queries(["a dog"], str(FINGERPRINT)) == {}
        with pytest.raises(LibraryError, match="cannot write to the library"):
            shared.add_video(a_video(2))


@pytest.mark.usefixtures("may_not_write")
def test_an_older_catalog_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    Library(tmp_path).close()
    db = sqlite3.connect(tmp_path / "catalog.sqlite3")
    db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(LibraryError, match="older vidrec"):
        Library(tmp_path, create=False)


OLD_PAID = """
DROP INDEX queries_kept;
ALTER TABLE queries DROP COLUMN kept_at;
ALTER TABLE jobs DROP COLUMN source;
DROP TABLE claims; DROP TABLE sent; DROP TABLE paid;
CREATE TABLE paid (
    job_id TEXT PRIMARY KEY, video_id TEXT NOT NULL, embedder TEXT NOT NULL, model TEXT NOT NULL,
    minutes REAL NOT NULL, created_at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO jobs (video_id, fingerprint, state, job_id, created_at, minutes)
    VALUES ('a', 'marengo:marengo3.5:512', 'running', 'job-1', 5.0, 1.5);
INSERT INTO paid VALUES ('job-1', 'a', 'marengo', 'marengo3.5', 1.5, 5.0);
INSERT INTO paid VALUES ('job-0', 'b', 'marengo', 'marengo3.0', 2.5, 4.0);
PRAGMA user_version = 7;
"""


def older_library(folder: Path) -> None:
    with Library(folder) as library:
        library.add_video(a_video(1))
        library.cache_queries([("cats", np.ones(2, np.float32), 0.5)], "f")
    db = sqlite3.connect(folder / "catalog.sqlite3")
    db.executescript(OLD_PAID)
    db.close()


def test_an_older_library_is_brought_up_to_date_with_all_that_was_paid(tmp_path: Path) -> None:
    older_library(tmp_path)
    for _ in range(2):
        with Library(tmp_path) as library:
            assert library.video(a_video(1).id) is not None
            rows = library.read("SELECT job_id, video_id, fingerprint, minutes FROM paid")
            assert rows == [
                ("job-0", "b", "marengo:marengo3.0", 2.5),
                ("job-1", "a", "marengo:marengo3.5:512", 1.5),
            ]
            assert library.read("SELECT job_id, source FROM jobs") == [("job-1", "")]
            assert library.cached_queries(["cats"], "f")["cats"][1] == 0.5
            assert library.read("PRAGMA user_version") == [(VERSION,)]
    tables = "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
    with Library(tmp_path) as library, Library(tmp_path / "new") as new:
        names = [name for name, _ in new.read(tables)]
        assert [name for name, _ in library.read(tables)] == names


@pytest.mark.usefixtures("may_not_write")
def test_a_library_to_be_updated_by_its_owner_says_so(tmp_path: Path) -> None:
    older_library(tmp_path)
    with pytest.raises(LibraryError, match="run `vidrec status` once as a user who may write"):
        Library(tmp_path, create=False)


def test_a_library_is_closed_under_threads_that_ask(tmp_path: Path) -> None:
    """A run that fails closes it while workers look on: they are told, and nothing crashes."""
    with Library(tmp_path) as library:
        library.add_video(a_video(1))
    for _ in range(200):
        library, told = Library(tmp_path), []

        def ask(library: Library = library, told: list[str] = told) -> None:
            try:
                while True:
                    library.read("SELECT id FROM videos")
            except LibraryError as exc:
                told.append(str(exc))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        library.close()
        for thread in threads:
            thread.join()
        assert len(told) == 3 and "closed" in told[0]


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        (tmp_path / "embed-conse.lock").mkdir()
        with (
            pytest.raises(LibraryError, match="cannot write to the library"),
            library.lock("embed-conse"),
        ):
            pass


def _add_many(folder: Path, start: int) -> None:
    with Library(folder) as library:
        for number in range(start, start + 50):
            library.add_video(a_video(number))


def test_two_processes_open_and_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_many, args=(tmp_path, 1 + 50 * i)) for i in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    with Library(tmp_path) as library:
        assert len(list(library.videos())) == 100


def test_several_changes_are_one_transaction(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        library.register(FINGERPRINT)
        with pytest.raises(RuntimeError), library.transaction():
            library.add_video(a_video(1))
            library.save_embeddings(a_video(1).id, embeddings_of(a_video(1)), 10)
            raise RuntimeError
        assert list(library.videos()) == []
        with library.transaction():
            library.add_video(a_video(1))
            library.save_embeddings(a_video(1).id, embeddings_of(a_video(1)), 10)
        assert library.clip_seconds(str(FINGERPRINT)) == {a_video(1).id: 10.0}


def test_metadata_of_imported_vectors_is_kept(tmp_path: Path) -> None:
    extra = {"year": 1999, "ok": True, "place": "Åre", "none": None}
    with Library(tmp_path) as library:
        library.register(FINGERPRINT)
        library.add_video(a_video(1))
        one = replace(embeddings_of(a_video(1))[0], extra=extra)
        library.save_embeddings(a_video(1).id, [one], 10)
        assert library.video_embeddings(a_video(1).id, str(FINGERPRINT))[0].extra == extra
        assert next(library.embeddings(str(FINGERPRINT)))[1].extra == extra
