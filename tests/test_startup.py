"""What a command does not need, it does not import."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from tests.clips import write_clips
from vidrec.conditions import Filter
from vidrec.config import load_settings
from vidrec.errors import NoIndexError
from vidrec.stores import begin, open_store
from vidrec.stores.knn.store import KnnStore
from vidrec.types import Payload, Point

ROOT = Path(__file__).parents[1]
HEAVY = {
    "tensorflow", "keras", "av", "cv2", "onnx", "onnxruntime", "tokenizers", "boto3", "botocore",
    "twelvelabs", "qdrant_client", "remotezip", "matplotlib", "skimage", "PIL", "einops",
}  # fmt: skip


def imported_by(*arguments: str) -> set[str]:
    """Run a command in a fresh interpreter and return the top-level modules it imported."""
    program = (
        "import json, sys\n"
        "from vidrec.cli import app\n"
        f"try: app({list(arguments)!r})\n"
        "except SystemExit as end:\n"
        "    names = {n for n in sys.modules if n == 'numpy.ma' or '.' not in n}\n"
        "    print(json.dumps(sorted(names)), file=sys.stderr)\n"
        "    sys.exit(end.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("command", [[], ["embed"], ["index"], ["recommend"], ["status"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    modules = imported_by(*command, "--help")
    assert not modules & (HEAVY | {"numpy", "sqlite3", "pydantic_settings", "rich"})


def test_a_text_query_imports_only_what_it_needs(tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", ["red", "blue"])
    imported_by("embed", str(tmp_path / "clips"))
    imported_by("index")
    first = imported_by("recommend", "a red wall", "--min-confidence", "0")
    assert not first & (HEAVY - {"onnxruntime", "tokenizers"})
    again = imported_by("recommend", "a red wall", "--min-confidence", "0")
    assert not again & (HEAVY | {"numpy.ma"})


def test_the_end_is_quick_and_leaves_nothing_undone() -> None:
    """What is registered for the end is called, threads are waited for, the code is kept."""
    program = """
import atexit, sys, threading, time
from vidrec.__main__ import main
atexit.register(print, "registered")
if sys.argv[1] == "slow":
    threading.Thread(target=lambda: (time.sleep(0.3), print("waited for"))).start()
del sys.argv[1]
main()
"""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for kind, arguments, code in (("", ["--version"], 0), ("slow", ["recommend", "--x"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", program, kind, *arguments],
            capture_output=True, text=True, env=buffered,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert ("waited for" in done.stdout) is bool(kind)
        assert done.stdout.endswith("registered\n")


def test_what_others_print_is_not_lost() -> None:
    """Before it began, and by whoever held the stream from then."""
    program = """
import atexit, sys
from vidrec.__main__ import main
print("before")
atexit.register(sys.stdout.write, "at the end")
main()
"""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", program, "--version"], capture_output=True, text=True, env=buffered
    )
    assert done.stdout.startswith("before\n") and "vidrec" in done.stdout
    assert "at the end" in done.stdout


def test_an_interrupt_while_importing_is_no_traceback(tmp_path: Path) -> None:
    """A module that interrupts stands in the way of the first import."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, "-m", "vidrec", "--help"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_store_that_was_begun_answers_as_any_other(tmp_path: Path) -> None:
    """It is handed out once, damaged or not, and sees what was indexed since."""
    settings = load_settings(overrides={"library": tmp_path})
    begin(settings)  # nothing is there yet
    with pytest.raises(NoIndexError):
        open_store(settings).candidates(np.eye(1, 4, dtype=np.float32), 1, Filter())
    store = KnnStore(tmp_path / "knn", "conse")
    for row in range(2):
        begin(settings)
        vector = np.eye(2, 4, dtype=np.float32)[row]
        with store.rebuild("f", 4) as writer:
            writer.upsert([Point(str(uuid.UUID(int=1)), vector, Payload("v", "v", "clip", 0, 1))])
        begun, other = open_store(settings), open_store(settings)
        assert begun is not other
        for one in (begun, other):
            assert one.candidates(vector[None], 1, Filter())[0].candidates[0].score == 1.0
