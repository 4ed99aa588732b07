"""A third party's code inside a command: what it prints, where it exits, what it lacks."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests import word_embedder
from tests.clips import plain, write_clip
from tests.test_pipeline import vidrec
from tests.word_library import FINGERPRINT, put, word_settings
from vidrec.library import Library

PLUG_IN = """
import sys
from vidrec.embedders.frames import FrameEmbedder
from vidrec.sections import Section

class Needy(Section):
    url: str

class Loud(FrameEmbedder):
    name, model, dim = "loud", "m", 3
    modalities = frozenset({"video", "text"})

    def _encode_frames(self, frames):
        print("loading my weights")
        return frames.mean(axis=(1, 2)) + 1

    def _encode_texts(self, texts):
        print("reading", texts)
        if texts == ["go away"]:
            sys.exit(3)
        return [[1, 1, 1] for text in texts]
"""
LACKS = "    def _encode_frames(self, frames):\n        import a_package_that_lacks\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the plug-in lies, as installed."""
    (tmp_path / "loud_plug_in.py").write_text(PLUG_IN)
    word_embedder.install(tmp_path, monkeypatch, "loud", "loud_plug_in:Loud")
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "loud")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    write_clip(tmp_path / "v" / "red.mp4", plain("red"), seconds=0.5)
    monkeypatch.setitem(sys.modules, "loud_plug_in", None)
    monkeypatch.delitem(sys.modules, "loud_plug_in")
    return tmp_path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "vidrec", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_what_it_prints_is_no_result(site: Path) -> None:
    done = run("embed", site / "v")
    assert done.returncode == 0 and "loading my weights" in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["event"] for row in rows] == ["video", "summary"]
    done = run("recommend", "red", "--format", "paths")
    assert "reading ['red']" in done.stderr
    assert [Path(line).name for line in done.stdout.splitlines()] == ["red.mp4"]


def test_where_it_exits_the_command_says_so(site: Path) -> None:
    """Its exit code 3 would read as "no confident match"."""
    run("embed", site / "v")
    done = run("recommend", "go away")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: loud called exit(3)" in done.stderr


def test_what_it_lacks_is_one_line(site: Path) -> None:
    path = site / "loud_plug_in.py"
    path.write_text(PLUG_IN + LACKS)
    done = run("embed", site / "v")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the module a_package_that_lacks is not installed" in done.stderr


def test_a_setting_that_it_needs_is_said_with_its_names(site: Path) -> None:
    with (site / "loud_plug_in.py").open("a") as file:
        file.write("    section = Needy\n")
    said = vidrec("embed", site / "v", code=2).stderr
    assert "setting loud.url is needed: set VIDREC_LOUD_URL, or it in [loud]" in said


def test_a_size_that_it_forgets_is_said_once(site: Path) -> None:
    with (site / "loud_plug_in.py").open("a") as file:
        file.write("    dim = 0\n")
    assert "must say its dim. Received: 0" in vidrec("embed", site / "v", code=1).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of that kind")
@pytest.mark.parametrize("columns", [0, 80])
def test_the_bar_shows_on_a_terminal_that_does_not_know_its_width(site: Path, columns: int) -> None:
    """As of `docker run -t` and `ssh -tt` from a job."""
    import fcntl
    import pty
    import termios

    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", columns // 4, columns, 0, 0))
    words = [sys.executable, "-m", "vidrec", "embed", site / "v"]
    with subprocess.Popen(words, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # the end of a terminal
            pass
    os.close(ours)
    assert process.returncode == 0
    assert b"embedding:   0%" in said


STORE = """
import sys
from tests.plain_store import PlainStore
from vidrec.stores.base import Found

SHELF = {}

class Shelf(PlainStore):
    name = "shelf"

    def __init__(self, settings):
        super().__init__(SHELF, "shelf")
        with self.rebuild(FINGERPRINT, 5):
            pass

    def candidates(self, vectors, n, where, **more):
        BODY
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "raise ValueError('in two\\nlines')",
            "the plug-in shelf_plug_in: ValueError: in two lines",
        ),
        ("sys.exit(3)", "the plug-in shelf_plug_in: SystemExit: 3"),
        ("return []", "the store shelf gave 0 of 1 answers"),
        ("return [Found((), 1.0)]", "the store shelf has better points and does not give them"),
    ],
)
def test_a_store_that_fails_is_one_line(
    body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = word_settings(tmp_path, monkeypatch)
    with Library(settings.library) as library:
        put(library, "cat.mp4", ["cat"])
    text = STORE.replace("FINGERPRINT", repr(str(FINGERPRINT))).replace("BODY", body)
    (tmp_path / "shelf_plug_in.py").write_text(text)
    word_embedder.install(tmp_path, monkeypatch, "shelf", "shelf_plug_in:Shelf", "store")
    path = os.pathsep.join([str(tmp_path), str(tmp_path / "site"), str(Path(__file__).parents[1])])
    monkeypatch.setenv("PYTHONPATH", path)
    asked = ("--store", "shelf", "--embedder", "words", "--library", settings.library)
    done = run("recommend", "cat", *asked)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == f"error: {said}"
