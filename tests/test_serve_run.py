"""The server as it runs: begun and ended by the command, asked while the library changes."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.serving import films, serving
from tests.word_library import put
from vidrec.config import Settings
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.serve.run import listen

__all__ = ["films"]


def test_a_new_index_is_seen_by_who_asks_meanwhile(films: Settings) -> None:
    with serving(films) as client:
        stop, wrong = threading.Event(), []

        def asking(word: str) -> None:
            with httpx.Client(base_url=client.base_url, timeout=60) as own:
                while not stop.is_set():
                    answer = own.get("/api/recommend", params={"q": word})
                    if answer.status_code != 200 or not answer.json()["results"]:
                        wrong.append(answer.text)

        threads = [threading.Thread(target=asking, args=(w,)) for w in ("cat", "dog", "red dog")]
        for thread in threads:
            thread.start()
        try:
            for number in range(3):
                with Library(films.library) as library:
                    put(library, f"sky {number}.mp4", ["blue"])
                index(films, recreate=number == 1)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert wrong == []
        found = client.get("/api/recommend", params={"q": "blue"}).json()
        assert {row["name"] for row in found["results"][:3]} == {f"sky {n}.mp4" for n in range(3)}
        assert found["results"][0]["media"] is None and not found["notes"]
        with Library(films.library) as library:
            put(library, "late.mp4", ["blue"])
        (note,) = client.get("/api/recommend", params={"q": "blue"}).json()["notes"]
        assert "since it was indexed" in note


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "vidrec", "serve", *map(str, words)]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_whoever_is_connected(films: Settings, number: int) -> None:
    words = ("--port", 0, "--library", films.library, "--token", "new")
    server = subprocess.Popen(
        command(*words), stderr=subprocess.PIPE, text=True,
        env={**os.environ, "VIDREC_EMBEDDER_NAME": "conse"},
    )  # fmt: skip
    try:
        assert server.stderr is not None
        line = server.stderr.readline()
        assert "token" not in line
        line = server.stderr.readline()
        found = re.search(r"http://localhost:(\d+)/\?token=([\w-]{20,})", line)
        assert found, line + server.stderr.read()
        port, token = int(found[1]), found[2]
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"GET / HTTP")
            answer = httpx.get(
                f"http://127.0.0.1:{port}/api/status", headers={"Authorization": f"Bearer {token}"}
            )
            assert answer.json()["videos"] == 3
            server.send_signal(number)
            assert server.wait(20) == 130
        assert "Traceback" not in server.stderr.read()
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--host", "0.0.0.0"], 2, "needs|give a token"),
        (["--host", "0.0.0.0", "--token", "short"], 2, "16 letters"),
        (["--host", "192.0.2.1", "--token", "new"], 1, "cannot listen on 192.0.2.1"),
        (["--library", "/nowhere/at/all"], 1, "no library"),
    ],
)
def test_what_cannot_be_served_is_one_line(words: list[str], code: int, said: str) -> None:
    done = subprocess.run(
        command("--port", "0", *words), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert re.search(said, done.stderr) and "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said(films: Settings, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            command("--port", port, "--library", films.library),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1 and f"127.0.0.1:{port}" in done.stderr


def test_an_answer_is_sent_at_once() -> None:
    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def seen(reader: object, writer: asyncio.StreamWriter) -> None:
            heard = writer.get_extra_info("socket")
            found.set_result(heard.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(seen, sock=listen("127.0.0.1", 0)) as server:
            address = server.sockets[0].getsockname()
            with socket.create_connection(address):
                return await found

    assert asyncio.run(accepted())


HOLDS = """
import re, sys, threading
from pathlib import Path
import numpy as np
from vidrec.serve.thrift import keep_little

def held():
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\\s+(\\d+)", text)[1]) / 1000

def scan(meet):
    for megabytes in (8, 6, 4):
        array = np.ones(megabytes << 18, np.float32)
        meet.wait()  # all have theirs
        kept.append(bytes(5000))  # beyond it
        del array

if sys.argv[1] == "little":
    keep_little()
kept, before = [], held()
meet = threading.Barrier(8)
threads = [threading.Thread(target=scan, args=(meet,)) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc keeps what is freed")
def test_large_arrays_of_many_threads_are_given_back() -> None:
    grown = {
        how: float(subprocess.check_output([sys.executable, "-c", HOLDS, how], text=True))
        for how in ("much", "little")
    }
    assert grown["little"] < 15 < grown["much"], grown


def test_the_products_threads_are_told_to_rest_before_numpy_comes() -> None:
    code = (
        "import os, sys\nfrom vidrec.cli import app\nimport vidrec.commands.serve\n"
        "from vidrec.serve import thrift\nassert 'numpy' not in sys.modules\n"
        "assert app(['serve', '--host', '0.0.0.0'], standalone_mode=False)\n"
        "print(os.environ['OPENBLAS_THREAD_TIMEOUT'], 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("4 True\n"), done.stdout
