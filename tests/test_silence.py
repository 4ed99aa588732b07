"""Nothing phones home: offline work looks nothing up, connects to nothing, and writes only where
it is told to."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips import plain, write_clip

ROOT = Path(__file__).parents[1]
# What an observer inside the interpreter sees; libraries in C are seen by strace alone.
HOOK = """
import sys
LOG = open({log!r}, "a", buffering=1)
def hook(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        print(event, *map(repr, arguments), file=LOG)
sys.addaudithook(hook)
"""
NETWORK = re.compile(
    r"(connect|sendto|sendmsg|sendmmsg)\(.*AF_INET|resolv\.conf|nscd/socket|/etc/hosts"
)
HARMLESS = re.compile(r"socket\.bind")  # whether there is IPv6: of the machine itself


def can_trace() -> bool:
    """Whether strace is here and may look at processes."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode == 0


TRACED = can_trace()


def observe(
    command: list[str], folder: Path, log: Path, **environment: str
) -> tuple[str, list[str], set[str]]:
    """Run a command; return its output, what it did on the network, and the files it left."""
    (folder / "sitecustomize.py").write_text(HOOK.format(log=str(log)))
    home = folder / "home"
    home.mkdir(exist_ok=True)
    env = {k: v for k, v in os.environ.items() if not re.match(r"CI$|VIDREC_|XDG_|ORT_|HF_", k)}
    env |= {
        "HOME": str(home), "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1", **environment,
    }  # fmt: skip
    (folder / "tmp").mkdir(exist_ok=True)
    trace = ["strace", "-f", "-qq", "-e", "trace=network,openat", "-o", str(log) + ".strace"]
    done = subprocess.run(
        [*(trace if TRACED else []), *command],
        capture_output=True, text=True, env=env, cwd=folder, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = log.read_text().splitlines() if log.exists() else []
    if TRACED:
        lines = Path(f"{log}.strace").read_text(errors="replace").splitlines()
        seen += [line for line in lines if NETWORK.search(line)]
    left = {str(path.relative_to(folder)) for path in home.rglob("*")}
    left |= {str(path.relative_to(folder)) for path in (folder / "tmp").rglob("*")}
    return done.stdout, [line for line in seen if not HARMLESS.search(line)], left


def test_the_observer_sees_a_look_up(tmp_path: Path) -> None:
    program = (
        "import socket, pathlib, contextlib\n"
        "pathlib.Path('~/left').expanduser().touch()\n"
        "with contextlib.suppress(OSError): socket.getaddrinfo('example.invalid', 80)\n"
    )
    _, seen, left = observe([sys.executable, "-c", program], tmp_path, tmp_path / "log")
    assert any("getaddrinfo" in line for line in seen)
    assert not TRACED or any("openat" in line or "AF_INET" in line for line in seen)
    assert left == {"home/left"}


def test_offline_work_is_silent(tmp_path: Path, prepared_models: Path) -> None:
    clips, library = tmp_path / "clips", tmp_path / "library"
    for name in ("red", "blue"):
        for number in (1, 2):
            write_clip(clips / name / f"{name}{number}.mp4", plain(name), seconds=number)
    captions = "".join(f"{n}/{n}{i}.mp4,a {n} wall\n" for n in ("red", "blue") for i in (1, 2))
    (clips / "captions.csv").write_text("file,caption\n" + captions)
    where = {"VIDREC_LIBRARY": str(library), "VIDREC_CACHE": str(prepared_models)}
    loose = ("--min-confidence", "0", "--format", "json")
    for number, words in enumerate(
        (
            ("embed", str(clips)),
            ("index",),
            ("recommend", "a red wall", *loose),
            ("recommend", str(clips / "blue" / "blue1.mp4"), *loose),
            ("evaluate", "--captions", str(clips / "captions.csv"), "--format", "json"),
            ("status",),
        )
    ):
        command = [sys.executable, "-m", "vidrec", *words]
        out, seen, left = observe(command, tmp_path, tmp_path / f"log{number}", **where)
        assert seen == [], words
        assert left == set(), words
        if words[0] == "recommend":
            assert json.loads(out)["results"]


def test_the_embedder_clip_is_silent_where_its_networks_are_here(tmp_path: Path) -> None:
    pytest.importorskip("fastembed")
    from tests.tower_pairs import siglip_pair

    write_clip(tmp_path / "clips" / "red.mp4", plain("red"))
    where = {
        "VIDREC_LIBRARY": str(tmp_path / "library"), "VIDREC_CACHE": str(tmp_path / "cache"),
        "VIDREC_EMBEDDER_NAME": "clip", "VIDREC_CLIP_PATH": str(siglip_pair(tmp_path / "pair")),
    }  # fmt: skip
    for number, words in enumerate(
        (("embed", str(tmp_path / "clips")), ("index",), ("recommend", "red", "--format", "json"))
    ):
        command = [sys.executable, "-m", "vidrec", *words]
        _, seen, left = observe(command, tmp_path, tmp_path / f"log{number}", **where)
        assert (seen, left) == ([], set()), words


@pytest.mark.parametrize("first", ["import vidrec", "from vidrec.embedders.base import Embedder"])
def test_switches_are_set_before_any_library_can_look(first: str, tmp_path: Path) -> None:
    """Also for a plug-in, in a worker of Ray and in a notebook; what a user has set stands."""
    program = f"{first}\nimport json, os\nprint(json.dumps(dict(os.environ)))"
    out, _, _ = observe([sys.executable, "-c", program], tmp_path, tmp_path / "log")
    found = json.loads(out)
    assert found["ORT_DISABLE_TELEMETRY"] == found["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert found["RAY_USAGE_STATS_ENABLED"] == "0"
    out, _, _ = observe(
        [sys.executable, "-c", program], tmp_path, tmp_path / "log", HF_HUB_DISABLE_TELEMETRY="0"
    )
    assert json.loads(out)["HF_HUB_DISABLE_TELEMETRY"] == "0"
