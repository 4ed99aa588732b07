"""What a command says: how loud, into which log, and what becomes of a closed stdout."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips import plain, write_clip
from tests.test_pipeline import vidrec

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} "


def run(command: str) -> "subprocess.CompletedProcess[str]":
    command = command.replace("vidrec", f"{sys.executable} -m vidrec")
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=100,
    )


def test_the_log_has_what_was_said_with_time_stamps(tmp_path: Path) -> None:
    name = "no\x1b[31m\nvideo.mp4"
    (tmp_path / name).write_text("text")
    log = tmp_path / "vidrec.log"
    vidrec("embed", tmp_path, "-f", "table", "--log-file", log, code=4)
    lines = log.read_text().splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    assert "\x1b" not in log.read_text()
    assert "WARNING skipping" in lines[0] and "1 failed" in lines[-1] and len(lines) == 2
    vidrec("embed", "--log-file", log, code=2)
    assert "ERROR nothing to embed" in log.read_text().splitlines()[-1]
    assert "cannot write the log" in vidrec("status", "--log-file", tmp_path, code=1).stderr


def test_a_surprise_leaves_a_trace_in_the_log(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def surprise(*arguments: object) -> None:
        raise ValueError("16 is not a valid Type")

    monkeypatch.setattr("vidrec.ingest.work.hash_file", surprise)
    write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)
    log = tmp_path / "vidrec.log"
    result = vidrec("embed", tmp_path / "a.mp4", "--log-file", log, code=4)
    assert "Traceback" not in result.output
    assert "Traceback" in log.read_text() and "in surprise" in log.read_text()
    failed = json.loads(result.stdout.splitlines()[0])
    assert (failed["kind"], failed["permanent"]) == ("UnexpectedError", False)


def test_quiet_says_only_what_went_wrong(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)
    assert vidrec("embed", tmp_path / "a.mp4", "-q", "-f", "table").output == ""
    (tmp_path / "b.mp4").write_text("text")
    said = vidrec("embed", tmp_path, "-q", "-f", "table", code=4).output
    assert said.splitlines() == [
        f"skipping {tmp_path}/b.mp4: not a video, or damaged beyond reading"
    ]


def test_names_may_be_apart_by_nul_and_need_not_be_utf8(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)
    write_clip(tmp_path / "b\nc.mp4", plain("blue"), seconds=0.3)
    for option in ("-0", ""):
        done = run(f"find {tmp_path} -name '*.mp4' -print0 | vidrec embed - {option} -f table")
        assert done.returncode == 0, done.stderr
    assert "2 skipped" in done.stderr
    done = run(r"vidrec embed $'gone\xe9.mp4' -f table")
    assert done.returncode == 4 and "Traceback" not in done.stderr
    assert run("vidrec embed - </dev/null").returncode == 0  # a list of nothing


def test_a_stdout_that_takes_nothing_is_one_line(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)
    assert run(f"vidrec embed {tmp_path} -f table >&-").returncode == 0  # writes no results
    closed = run("vidrec list >&-")
    assert closed.returncode == 1
    assert closed.stderr == "error: stdout is closed: there is nowhere to write the results\n"
    if Path("/dev/full").exists():
        for command in ("list", "--help", "--version"):
            full = run(f"vidrec {command} >/dev/full")
            assert (full.returncode, full.stderr.count("\n")) == (1, 1)
            assert "No space left" in full.stderr
    for _ in range(3):
        assert run("vidrec list --format json | head -c 1").stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_takes_no_messages_and_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)
    embedded = run(f"vidrec embed {tmp_path} -f table 2>/dev/full")
    assert embedded.returncode == 0
    assert len(vidrec("list", "--format", "paths").stdout.splitlines()) == 1
    assert run(f"vidrec embed {tmp_path}/no.mp4 2>/dev/full").returncode == 4
    assert run("vidrec list --nope 2>/dev/full").returncode == 2
    full = run("vidrec list >/dev/full")
    assert full.stderr == "error: cannot write to stdout: No space left on device\n"
    logged = run(f"vidrec embed {tmp_path} {tmp_path}/no.mp4 -f table --log-file /dev/full")
    assert logged.returncode == 4
    assert logged.stderr.splitlines()[0] == (
        "cannot write the log /dev/full: No space left on device; going on"
    )
    assert len(logged.stderr.splitlines()) == 3
