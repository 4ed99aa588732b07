"""An address at which nothing answers is told before a client has tried for minutes."""

import socket
import threading

import pytest

from vidrec import reach as module
from vidrec.reach import reach, waiting


def test_what_answers_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        reach(f"http://127.0.0.1:{port}/path")
        reach(f"https://127.0.0.1:{port}")


def test_what_does_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        reach(f"http://127.0.0.1:{port}")
    monkeypatch.setattr(module, "REACH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        held = []
        with pytest.raises(OSError):
            for _ in range(20):  # until its queue is full: then nobody answers
                one = socket.socket()
                one.settimeout(0.2)
                held.append(one)
                one.connect(full.getsockname())
        with pytest.raises(TimeoutError):
            reach(f"http://127.0.0.1:{full.getsockname()[1]}")
        for one in held:
            one.close()


def test_behind_a_proxy_nobody_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    reach("http://nowhere.invalid")
    with pytest.raises(OSError):
        reach("http://127.0.0.1:1")


def test_what_takes_long_is_said_while_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.05)
    said = threading.Event()
    with waiting(lambda line: said.set(), "a service"):
        assert said.wait(30)
    said.clear()
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.5)
    with waiting(lambda line: said.set(), "a service"):
        pass
    assert not said.wait(1)  # it had answered
