"""`vidrec doctor --deep`: what is damaged is one line with how to mend it, and that mends."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.word_library import FINGERPRINT, put, word_settings
from vidrec.cli import app
from vidrec.config import Settings
from vidrec.ingest.index import index
from vidrec.library import Library

STORES = ["knn", "qdrant"]


@pytest.fixture(params=STORES)
def words(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """An indexed library; everything that a command needs to open it is in the environment."""
    flags = {"store.name": request.param}
    if request.param == "qdrant":
        pytest.importorskip("qdrant_edge")
        flags["qdrant.path"] = str(tmp_path / "edge")
        monkeypatch.setenv("VIDREC_QDRANT_PATH", flags["qdrant.path"])
    settings = word_settings(tmp_path, monkeypatch, **flags)
    monkeypatch.setenv("VIDREC_LIBRARY", str(settings.library))
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "words")
    monkeypatch.setenv("VIDREC_STORE_NAME", request.param)
    with Library(settings.library) as library:
        put(library, "cat.mp4", ["red cat", "cat"])
        put(library, "dog.mp4", ["dog", "dog green"], about={"label": "dogs"})
    index(settings)
    return settings


def doctor(*options: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--deep", "--format", "jsonl", *options])


def deep(code: int = 0) -> list[dict[str, str]]:
    """The findings of a deep check, without the rest of the doctor's lines."""
    result = doctor()
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return [row for row in rows if row["name"] == "catalog" or "index of" in row["name"]]


def change(settings: Settings, sql: str, *values: object) -> None:
    db = sqlite3.connect(settings.library / "catalog.sqlite3")
    with db:
        db.execute(sql, values)
    db.close()


def test_all_is_well(words: Settings) -> None:
    found = deep()
    assert [row["state"] for row in found] == ["ok", "ok"]
    assert "6 points, as in the library" in found[1]["detail"]


def test_without_a_library_it_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_LIBRARY", str(tmp_path / "none"))
    assert deep() == []


VECTORS = {
    "not finite": np.array([np.nan, 0, 0, 0, 1], "<f4"),
    "its length is 2": np.array([2, 0, 0, 0, 0], "<f4"),
    "16 bytes where 5 numbers belong": np.zeros(4, "<f4"),
    "7 bytes": np.zeros(7, "u1"),
}


@pytest.mark.parametrize("words", ["knn"], indirect=True)
@pytest.mark.parametrize("problem", VECTORS)
def test_a_damaged_vector_is_named_with_its_video(words: Settings, problem: str) -> None:
    blob = VECTORS[problem].tobytes()
    change(words, "UPDATE embeddings SET vector = ? WHERE id = 2", blob)
    wrong = [row for row in deep(code=1) if row["state"] == "failure"]
    assert len(wrong) == 1
    assert problem in wrong[0]["detail"] and "cat.mp4" in wrong[0]["detail"]
    assert wrong[0]["mend"].startswith("vidrec embed --force --embedder words /films/cat.mp4")


def test_a_flipped_bit_in_the_catalog_is_found_by_comparing(words: Settings) -> None:
    with Library(words.library) as library:
        blob = bytearray(library.read("SELECT vector FROM embeddings WHERE id = 1")[0][0])
    blob[0] ^= 0x20  # the length stays as good as 1
    change(words, "UPDATE embeddings SET vector = ? WHERE id = 1", bytes(blob))
    wrong = deep(code=1)[-1]
    assert wrong["state"] == "failure" and "1 point " in wrong["detail"]
    assert wrong["mend"].endswith("--recreate")


DISAGREE: dict[str, tuple[str, str]] = {
    "DELETE FROM embeddings WHERE id = 1": ("1 point ", "--prune"),
    "UPDATE videos SET label = 'cats' WHERE filename = 'dog.mp4'": ("3 points", "--recreate"),
    "UPDATE embeddings SET end_sec = 9 WHERE id = 4": ("1 vector ", "--recreate"),
}


@pytest.mark.parametrize("sql", DISAGREE)
def test_index_and_catalog_that_do_not_agree(words: Settings, sql: str) -> None:
    """Done behind the library's back: nothing else would notice."""
    change(words, sql)
    wrong = [row for row in deep(code=1) if row["state"] == "failure"]
    words_, option = DISAGREE[sql]
    assert words_ in wrong[0]["detail"]
    assert wrong[0]["mend"].endswith(option)
    command = [*wrong[0]["mend"].split()[1:], "--yes"]
    assert CliRunner().invoke(app, command).exit_code == 0
    if len(wrong) == 1:
        assert [row["state"] for row in deep()] == ["ok", "ok"]


def test_a_library_that_went_on_is_no_damage(words: Settings) -> None:
    with Library(words.library) as library:
        put(library, "wall.mp4", ["red"])
    found = deep()
    assert [row["state"] for row in found] == ["ok", "warning"]
    assert "has changed since" in found[1]["detail"] and "2 vectors" in found[1]["detail"]
    assert "--recreate" not in found[1]["mend"]


LOST: dict[str, str] = {
    "DELETE FROM videos WHERE filename = 'cat.mp4'": "vectors of videos that it does not know: 3",
    "DELETE FROM embedded": "vectors of videos that are not called embedded: 6",
    "INSERT INTO embedded VALUES ('x', 1, 10, 0)": "called embedded and have no vectors: 1",
    "UPDATE fingerprints SET options = '[1'": "no JSON object",
    "UPDATE embeddings SET extra = '{' WHERE id = 1": "no JSON object",
}


@pytest.mark.parametrize("words", ["knn"], indirect=True)
@pytest.mark.parametrize("sql", LOST)
def test_rows_that_name_what_is_not_there(words: Settings, sql: str) -> None:
    change(words, sql)
    assert LOST[sql] in " ".join(row["detail"] for row in deep(code=1))


@pytest.mark.parametrize("words", ["knn"], indirect=True)
def test_deeply_nested_metadata_are_damage_and_no_crash(words: Settings) -> None:
    change(words, "UPDATE embeddings SET extra = ? WHERE id = 1", "[" * 100_000)
    assert "no JSON object" in deep(code=1)[0]["detail"]
    for command in (["index", "--recreate"], ["export", "-"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1, result.output
        assert "error: the library is damaged" in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", ["knn"], indirect=True)
def test_answers_and_texts_are_read_too(words: Settings) -> None:
    columns = "text, fingerprint, vector"
    change(
        words, f"INSERT INTO queries ({columns}) VALUES ('cat', ?, ?)", str(FINGERPRINT), b"1234"
    )
    columns = "video_id, fingerprint, state, result, created_at"
    change(words, f"INSERT INTO jobs ({columns}) VALUES ('x', 'f', 'done', ?, 0)", b"no zlib")
    found = " ".join(row["detail"] for row in deep(code=1))
    assert "vectors of 1 text," in found and "a paid answer" in found


def pages_of(settings: Settings, of: str) -> tuple[Path, int, list[int]]:
    """Where the pages of a table or an index lie in the catalog's file."""
    path = settings.library / "catalog.sqlite3"
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = db.execute("PRAGMA page_size").fetchone()[0]
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (of,)).fetchone()[0]
    db.close()
    return path, size, [(root - 1) * size]


@pytest.mark.parametrize("words", ["knn"], indirect=True)
@pytest.mark.parametrize("table", ["embeddings", "videos", "fingerprints", "embedded", "about"])
def test_pages_that_are_garbage(words: Settings, table: str) -> None:
    path, size, starts = pages_of(words, table)
    with path.open("r+b") as file:
        for start in starts:
            file.seek(start)
            file.write(bytes(range(7, 256)) * (size // 249))
    found = [row for row in deep(code=1) if row["state"] == "failure"]
    assert found and all("\n" not in row["detail"] for row in found)
    assert any(str(words.library) in row["detail"] for row in found)
    assert any("put a copy" in row["mend"] or not row["mend"] for row in found)


@pytest.mark.parametrize("words", ["knn"], indirect=True)
def test_an_index_of_sqlite_is_mended_by_its_line(words: Settings) -> None:
    path = words.library / "catalog.sqlite3"
    db = sqlite3.connect(path)
    rows = "SELECT * FROM sqlite_schema WHERE name = 'videos_filename'"
    row = db.execute(rows).fetchone()
    for sql, values in (
        ("DELETE FROM sqlite_schema WHERE name = 'videos_filename'", ()),
        ("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row),
    ):  # the index knows nothing of what is written while it is hidden
        db.execute("PRAGMA writable_schema = ON")
        db.execute(sql, values)
        db.commit()
        db.close()
        db = sqlite3.connect(path)
        if not values:
            db.execute("UPDATE videos SET rowid = rowid + 10")
            db.commit()
    db.close()
    wrong = [row for row in deep(code=1) if row["state"] == "failure"]
    assert wrong and all("REINDEX" in row["mend"] for row in wrong)
    program = wrong[0]["mend"].removeprefix('python3 -c "').removesuffix('"')
    exec(program)
    assert [row["state"] for row in deep()] == ["ok", "ok"]


BROKEN: dict[str, Callable[[Path], object]] = {
    "a bit of a vector": lambda folder: flip(next(folder.glob("*/vectors.f32")), 22),
    "a bit of a row": lambda folder: flip(next(folder.glob("*/rows.bin")), 3),
    "a bit of a text": lambda folder: flip(next(folder.glob("*/payloads.bin")), 30),
    "the manifest": lambda folder: (folder / "manifest.json").write_text("{}"),
    "a deep manifest": lambda folder: (folder / "manifest.json").write_text("[" * 100_000),
    "a file that is gone": lambda folder: next(folder.glob("*/vectors.f32")).unlink(),
}


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("words", ["knn"], indirect=True)
@pytest.mark.parametrize("kind", BROKEN)
def test_damage_of_the_local_index_is_found_and_mended(words: Settings, kind: str) -> None:
    BROKEN[kind](words.library / "knn" / "words")
    wrong = [row for row in deep(code=1) if row["state"] == "failure"]
    assert wrong and len(wrong) <= 2
    assert "--recreate" in wrong[0]["mend"] + wrong[0]["detail"]
    assert CliRunner().invoke(app, ["index", "--recreate"]).exit_code == 0
    assert [row["state"] for row in deep()] == ["ok", "ok"]


@pytest.mark.parametrize("words", ["qdrant"], indirect=True)
def test_a_folder_of_qdrant_whose_notes_are_damaged(words: Settings, tmp_path: Path) -> None:
    for path in (tmp_path / "edge").rglob("vidrec.json"):
        path.write_text("[" * 100_000)
    wrong = [row for row in deep(code=1) if row["state"] == "failure"]
    assert wrong and "vidrec.json" in wrong[0]["detail"]


def test_a_table_says_what_to_do(words: Settings) -> None:
    change(words, "UPDATE embeddings SET end_sec = 9 WHERE id = 4")
    result = CliRunner().invoke(app, ["doctor", "--deep", "--format", "table"])
    assert result.exit_code == 1
    line = next(line for line in result.stdout.splitlines() if "1 vector " in line)
    assert line.startswith("failure  index of words") and "→ vidrec index" in line


RUINS: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "a text": lambda path: path.write_text("hello"),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a table less": lambda path: sqlite3.connect(path).execute("DROP TABLE embeddings"),
}


@pytest.mark.parametrize("words", ["knn"], indirect=True)
@pytest.mark.parametrize("kind", RUINS)
def test_a_catalog_in_ruins_is_never_a_new_library(words: Settings, kind: str) -> None:
    pages_of(words, "videos")  # nothing is left in the log
    RUINS[kind](words.library / "catalog.sqlite3")
    served = sorted((words.library / "knn").rglob("*"))
    for command in (["status"], ["recommend", "cat"], ["index"], ["index", "--prune", "--yes"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1, (command, result.output)
        line = result.stderr.strip().splitlines()[-1]
        assert "put a copy" in line and str(words.library) in line
        assert "Traceback" not in result.stderr
    assert sorted((words.library / "knn").rglob("*")) == served
    result = doctor()
    assert result.exit_code == 1 and '"failure"' in result.stdout
    assert isinstance(result.exception, SystemExit)
