"""A base install runs the offline main job; what else needs a package says how to install it."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips import plain, write_clip
from vidrec import extras
from vidrec.extras import EXTRA_OF, install_command, missing_package

ROOT = Path(__file__).resolve().parent.parent
# An interpreter that finds no package of an extra: what a base install is like.
BASE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
from vidrec.__main__ import main
main()
"""


def base(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    hidden = f"HIDDEN = {set(EXTRA_OF)}\n"
    return subprocess.run(
        [sys.executable, "-c", hidden + BASE, *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "VIDREC_LIBRARY": str(tmp_path / "l")},
    )  # fmt: skip


def test_the_main_job_needs_no_extra(tmp_path: Path) -> None:
    write_clip(tmp_path / "v" / "red.mp4", plain("red"))
    assert base(tmp_path, "embed", tmp_path / "v").returncode == 0
    assert base(tmp_path, "index").returncode == 0
    asked = base(tmp_path, "recommend", "a red wall", "--min-confidence", 0, "--format", "json")
    assert json.loads(asked.stdout)["results"][0]["filename"] == "red.mp4"
    for command in (["status"], ["list"], ["export", tmp_path / "e.jsonl"], ["usage"]):
        done = base(tmp_path, *command)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", ".", "--recipe", "reference"], "train"),
        (["fetch-ucf", "--url", "http://127.0.0.1:9/x.zip"], "ucf"),
        (["upload", ".", "--bucket", "b"], "cloud"),
        (["embed", "s3://bucket/x.mp4"], "cloud"),
        (["index", "--store", "qdrant"], "cloud"),
        (["export", "v.parquet"], "parquet"),
        (["demo"], "demo"),
    ],
)
def test_what_is_missing_is_one_line_with_the_command_that_installs_it(
    tmp_path: Path, arguments: list[str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label, group, split in [(c, g, s) for c in "AB" for g, s in enumerate(("train", "val"))]:
        name = f"{split}/{label}/v_{label}_g{group:02}_c01.mp4"
        write_clip(tmp_path / name, plain("red" if label == "A" else "blue"), seconds=0.3)
    base(tmp_path, "embed", tmp_path / "train")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDREC_QDRANT_URL", "http://127.0.0.1:9")
    done = base(tmp_path, *arguments)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert re.fullmatch(r"error: the package \w+ is not installed: run `(.*)`", last), last
    assert f"[{extra}]" in last
    assert "Traceback" not in done.stderr


def test_the_command_installs_into_this_very_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(install_command("train"))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    assert words[-1].endswith("[train]")
    monkeypatch.setattr("importlib.metadata.PathDistribution.read_text", lambda self, name: None)
    assert shlex.split(install_command("train"))[4:] == ["vidrec[train]"]


def test_each_extra_is_declared() -> None:
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = declared[declared.index("[project.optional-dependencies]") :]
    known = set(re.findall(r"^(\w+) = \[", section, re.MULTILINE))
    assert {"train", "ucf", "cloud", "demo", "edge", "parquet"} <= known
    assert missing_package(ModuleNotFoundError(name="vidrec.nothing")) is None
    assert extras.EXTRA_OF["tensorflow"] == "train"
