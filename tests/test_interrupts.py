"""Ctrl-C and SIGTERM are answered soon, and leave nothing half-written."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vidrec.config import load_settings
from vidrec.files import writing

SECONDS = 20.0  # far less than what is in work takes: one at rest, more on a busy machine

# The main thread is in a library that lets nothing through, as while a model is prepared.
STUCK = """
import hashlib, sys
from pathlib import Path
from vidrec.interrupts import watch
from vidrec.files import writing
watch()
with writing(Path(sys.argv[1])) as draft:
    draft.touch()
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def end_of(process: "subprocess.Popen[str]", number: int) -> tuple[float, str]:
    """Send a signal; return how long the process took to end, and its stderr."""
    started = time.monotonic()
    process.send_signal(number)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()  # one that does not end would compute for ever
    return time.monotonic() - started, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_lets_no_interrupt_through_is_ended(tmp_path: Path, number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, str(tmp_path / "file")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.5)  # until it is stuck
    took, errors = end_of(process, number)
    assert process.returncode == 130
    assert errors == "interrupted\n"
    assert took < SECONDS
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def slow_site() -> Iterator[tuple[str, threading.Event]]:
    """A server that sends a video in drops, and an event for when it has begun."""
    begun = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.send_header("ETag", '"a"')
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            try:
                while True:
                    self.wfile.write(b"x" * 2000)
                    begun.set()
                    time.sleep(0.1)
            except OSError:
                return

        def log_message(self, *words: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/a.mp4", begun
    server.shutdown()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_download_that_drips_is_left_at_once(
    slow_site: tuple[str, threading.Event], number: int
) -> None:
    url, begun = slow_site
    process = subprocess.Popen(
        [sys.executable, "-m", "vidrec", "embed", url, "-f", "table"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert begun.wait(60)
    took, errors = end_of(process, number)
    assert process.returncode == 130, errors
    assert "interrupted; embedded 0 videos" in errors
    assert took < SECONDS
    cache = load_settings().cache / "remote"
    assert [path for path in cache.rglob("*") if "partial" in path.name] == []


def test_a_draft_takes_the_place_of_what_a_link_points_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to("there/file.txt")
    with writing(link) as draft:
        draft.write_text("new")
    assert link.is_symlink() and (tmp_path / "there" / "file.txt").read_text() == "new"
    with pytest.raises(RuntimeError), writing(link) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert link.read_text() == "new"
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file.txt"]
