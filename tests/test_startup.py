"""What a command does not need, it does not import."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips import write_clips

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
        "    print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})), file=sys.stderr)\n"
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
    assert not modules & (HEAVY | {"numpy", "sqlite3", "pydantic_settings"})


def test_a_text_query_imports_only_what_it_needs(tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", ["red", "blue"])
    imported_by("embed", str(tmp_path / "clips"))
    imported_by("index")
    first = imported_by("recommend", "a red wall", "--min-confidence", "0")
    assert not first & (HEAVY - {"onnxruntime", "tokenizers"})
    again = imported_by("recommend", "a red wall", "--min-confidence", "0")
    assert not again & HEAVY


def test_an_interrupt_while_importing_is_no_traceback(tmp_path: Path) -> None:
    """A module that interrupts stands in the way of the first import."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, "-m", "vidrec", "--help"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
