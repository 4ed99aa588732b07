"""Libraries in hard places: no inodes left, deleted or moved on the way, not to be written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import marked_embedder
from tests.disks import mounted
from tests.marked_embedder import eight_films, let_go, mark
from tests.word_embedder import install
from vidrec.library import Library

# Root as everybody else: what permissions forbid is forbidden.
NO_ROOT = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The embedders `marked` and `words`, installed for processes, too."""
    for name, what in (("marked", "marked_embedder:MarkedEmbedder"),
                       ("words", "word_embedder:WordEmbedder")):  # fmt: skip
        folder = tmp_path / f"site-{name}"
        folder.mkdir()
        install(folder, monkeypatch, name, f"tests.{what}")
    folders = [str(path) for path in tmp_path.glob("site-*")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path.cwd()), *folders]))
    return tmp_path


def vidrec(*words: object, code: int = 0, before: list[str] | None = None) -> str:
    """Run a command in a process; return what it wrote to stdout, or its errors if it failed."""
    command = [*(before or []), sys.executable, "-m", "vidrec", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


def error_of(text: str) -> str:
    """The last line, which is the error."""
    last = text.strip().splitlines()[-1]
    assert last.startswith(("error: ", '{"error": ')), text
    return last


# No inodes


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    """A disk with much room for few files."""
    with mounted(tmp_path / "disk", "size=64m,nr_inodes=60") as folder:
        yield folder


def fill(folder: Path) -> Path:
    """Take every inode."""
    filling = folder / "filling"
    filling.mkdir()
    try:
        for number in range(1000):
            (filling / str(number)).touch()
    except OSError:
        return filling
    raise AssertionError("there is no end of inodes")


def test_a_disk_without_inodes(
    site: Path, few_inodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is found; what is new is refused in one line, and done once there is room."""
    monkeypatch.setenv("VIDREC_LIBRARY", str(few_inodes / "library"))
    films = eight_films(tmp_path / "films")
    vidrec("embed", films / "1.mp4", films / "2.mp4", "-e", "marked")
    filling = fill(few_inodes)
    found = vidrec("recommend", films / "1.mp4", "-e", "marked", "--format", "paths")
    assert found.splitlines() == [str(films / "2.mp4")]
    vidrec("list")
    for words in (
        ["embed", films / "3.mp4", "-e", "marked"],
        ["index", "-e", "marked", "--recreate"],
        ["export", few_inodes / "vectors.jsonl", "-e", "marked"],
        ["embed", films / "3.mp4", "-e", "marked", "--library", few_inodes / "new"],
    ):
        line = error_of(vidrec(*words, code=1))
        assert any(word in line for word in ("full", "space left", "inode")), line
    shutil.rmtree(filling)
    vidrec("embed", films / "3.mp4", "-e", "marked")
    again = vidrec("recommend", films / "1.mp4", "-e", "marked", "--format", "paths")
    assert len(again.splitlines()) == 2


# Deleted and moved


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_library_that_goes_away_during_a_run(site: Path, tmp_path: Path, how: str) -> None:
    films, library = eight_films(tmp_path / "films"), tmp_path / "library"
    for number in range(8):
        mark(films, f"{number}s.mp4", marked_embedder.HELD)
    command = [
        sys.executable,
        "-m",
        "vidrec",
        "embed",
        str(films),
        "-e",
        "marked",
        "--workers",
        "1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # one is done
    library.rename(tmp_path / "elsewhere")
    if how == "deleted":
        shutil.rmtree(tmp_path / "elsewhere")
    elif how == "replaced":
        shutil.copytree(tmp_path / "elsewhere", library)
    let_go(films)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert "was deleted or replaced while it was in use: run again" in error_of(said)
    if how == "moved":
        with Library(tmp_path / "elsewhere", create=False) as kept:
            assert list(kept.videos())
        vidrec("embed", films, "-e", "marked", "--library", tmp_path / "elsewhere")
        listed = vidrec("list", "--library", tmp_path / "elsewhere", "--format", "paths")
        assert len(listed.splitlines()) == 16
    else:
        vidrec("embed", films, "-e", "marked")
        assert len(vidrec("list", "--format", "paths").splitlines()) == 16


def test_a_library_that_moved_goes_on(site: Path, tmp_path: Path) -> None:
    films, there = eight_films(tmp_path / "films"), tmp_path / "else where" / "mine"
    vidrec("embed", films, "-e", "marked")
    there.parent.mkdir()
    (tmp_path / "library").rename(there)
    at = ("-e", "marked", "--library", there)
    assert len(vidrec("recommend", films / "1.mp4", *at, "--format", "paths").splitlines()) == 7
    assert "skip" in vidrec("embed", films, *at, "--format", "json")
    deep = vidrec("doctor", "--deep", *at, "--format", "table")
    assert "as in the library" in deep
    assert "run `vidrec embed`" in error_of(vidrec("list", code=1))


# Not to be written


@pytest.fixture
def forbidden(site: Path, tmp_path: Path) -> Path:
    """A library of words, indexed, that belongs to somebody else."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root, to be somebody else")
    from tests.word_library import put
    from vidrec.config import load_settings
    from vidrec.ingest.index import index

    folder = tmp_path / "library"
    with Library(folder) as library:
        put(library, "cat.mp4", ["red cat", "cat"])
        put(library, "dog.mp4", ["dog", "dog green"])
    index(load_settings(overrides={"library": folder, "embedder.name": "words"}))
    return folder


def forbid(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534)
        path.chmod(0o755 if path.is_dir() else 0o644)


def asked(code: int = 0) -> str:
    return first_of("cat", code=code, before=NO_ROOT)


def first_of(query: str, code: int = 0, before: list[str] | None = None) -> str:
    """The first result's file name, or the error."""
    words = ("recommend", query, "-e", "words", "--min-confidence", "0", "--format", "json")
    said = vidrec(*words, code=code, before=before)
    return said if code else str(json.loads(said)["results"][0]["filename"])


def cut_off(folder: Path, *, shm: bool = True) -> None:
    """Leave a log that belongs to the catalog, as a writer that was killed does."""
    program = (
        "import os, signal, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1])\n"
        "db.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "db.execute(\"UPDATE videos SET label = 'seen'\")\n"
        "db.commit()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = folder / "catalog.sqlite3"
    done = subprocess.run([sys.executable, "-c", program, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert path.with_name(f"{path.name}-wal").stat().st_size
    if not shm:
        path.with_name(f"{path.name}-shm").unlink()


def test_another_s_library_can_be_asked(forbidden: Path) -> None:
    forbid(forbidden)
    assert asked() == "cat.mp4"
    line = error_of(vidrec("tag", "cat.mp4", "year=1", code=1, before=NO_ROOT))
    assert "cannot" in line and str(forbidden) in line


@pytest.mark.parametrize("shm", [True, False])
def test_another_s_library_after_a_writer_was_killed(forbidden: Path, shm: bool) -> None:
    """With the shared memory it is read as it is; without, SQLite cannot, and it is said."""
    cut_off(forbidden, shm=shm)
    forbid(forbidden)
    if shm:
        assert asked() == "cat.mp4"
        return
    line = error_of(asked(code=1))
    assert "run `vidrec status` once as a user who may write there" in line
    vidrec("status", "--format", "json")
    forbid(forbidden)
    assert asked() == "cat.mp4"


def test_another_s_library_while_its_owner_writes(forbidden: Path) -> None:
    owner = sqlite3.connect(forbidden / "catalog.sqlite3", isolation_level=None)
    owner.execute("UPDATE videos SET label = 'one'")
    owner.execute("BEGIN IMMEDIATE")
    owner.execute("UPDATE videos SET label = 'two'")
    forbid(forbidden)
    began = time.monotonic()
    assert asked() == "cat.mp4"
    assert time.monotonic() - began < 20  # it waits 30 s for a lock
    owner.execute("ROLLBACK")
    owner.close()


def test_a_hot_journal_of_another_mode_is_said(forbidden: Path) -> None:
    """A catalog that some tool took out of WAL mode, and a writer that was killed at work."""
    program = (
        "import os, signal, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA journal_mode = DELETE')\n"
        "db.execute('PRAGMA cache_size = 1')\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "db.execute(\"UPDATE videos SET label = 'x'\")\n"
        "db.execute('UPDATE embeddings SET extra = hex(randomblob(9000))')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = forbidden / "catalog.sqlite3"
    subprocess.run([sys.executable, "-c", program, str(path)])
    assert path.with_name(f"{path.name}-journal").exists()
    forbid(forbidden)
    assert "run `vidrec status` once as a user who may write there" in error_of(asked(code=1))
    vidrec("status", "--format", "json")  # as root: it is rolled back
    forbid(forbidden)
    assert asked() == "cat.mp4"


def test_a_text_that_cannot_be_kept_now_is_answered_at_once(forbidden: Path) -> None:
    other = sqlite3.connect(forbidden / "catalog.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert first_of("dog") == "dog.mp4"
    assert time.monotonic() - began < 20
    other.close()
