"""Who may ask the server: each rule of the guard by itself."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.serving import films, id_of, serving
from vidrec.config import Settings, load_settings
from vidrec.errors import LibraryError, UsageError
from vidrec.sections import ServeSettings
from vidrec.serve.run import check_token, serve

__all__ = ["films"]
TOKEN = "a-token-of-twenty-let"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def kind(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["kind"]


def test_elsewhere_than_on_this_machine_only_with_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "videos.example.com", ""):
        with pytest.raises(UsageError, match="--token new"):
            check_token(ServeSettings(host=host))
        check_token(ServeSettings(host=host, token=TOKEN))
    with pytest.raises(UsageError, match="16 letters"):
        check_token(ServeSettings(host="127.0.0.1", token="short"))
    check_token(ServeSettings(host="localhost"))


def test_only_its_own_names_are_answered(films: Settings) -> None:
    films.serve.allowed_hosts = ("videos.example.com",)
    with serving(films) as client:
        port = client.base_url.port
        good = ("localhost", f"LOCALHOST:{port}", f"127.0.0.1:{port}", "videos.example.com:443",
                "[::1]:99")  # fmt: skip
        for host in good:
            assert client.get("/healthz", headers={"Host": host}).status_code == 200, host
        bad = ("evil.example", "127.0.0.1.evil.example", "10.0.0.7", "localhost@evil.example",
               "localhost/x", "localhost:x", "videos.example.com.evil.example", "")  # fmt: skip
        for host in bad:
            for path in ("/healthz", "/api/status", "/"):
                assert kind(client.get(path, headers={"Host": host})) == (421, "usage"), host
        two = raw(client, b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n")
        assert two.startswith(b"HTTP/1.1 400")


def test_no_other_site_may_ask(films: Settings) -> None:
    with serving(films) as client:
        own = str(client.base_url).rstrip("/")
        question = {"q": "cat"}
        post = {"url": "/api/recommend", "json": question}
        assert client.post(**post, headers={"Origin": own}).status_code == 200
        assert client.post(**post).status_code == 200  # no browser: those tell
        for origin in ("https://evil.example", "null", own.replace("127.0.0.1", "localhost"),
                       f"{own}.evil.example", "file://"):  # fmt: skip
            assert kind(client.post(**post, headers={"Origin": origin})) == (403, "auth"), origin
            assert kind(client.get("/api/status", headers={"Origin": origin})) == (403, "auth")
        for site in ("cross-site", "same-site"):
            asked = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
            assert kind(client.get("/api/recommend?q=cat", headers=asked)) == (403, "auth")
            link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
            assert client.get("/", headers=link).status_code == 200
            assert kind(client.get("/api/status", headers=link)) == (403, "auth")
        answer = client.get("/api/status")
        assert "access-control-allow-origin" not in answer.headers
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        assert client.options("/api/recommend", headers=preflight).status_code == 403


def test_a_site_that_is_named_may_ask(films: Settings) -> None:
    films.serve.cors_origins = ("https://friend.example",)
    with serving(films) as client:
        friend = {"Origin": "https://friend.example", "Sec-Fetch-Site": "cross-site"}
        answer = client.get("/api/status", headers=friend)
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        preflight = client.options(
            "/api/recommend", headers={**friend, "Access-Control-Request-Method": "POST"}
        )
        assert preflight.status_code == 204
        assert "POST" in preflight.headers["access-control-allow-methods"]
        other = client.get("/api/status", headers={"Origin": "https://friend.example.evil"})
        assert other.status_code == 403
        assert "access-control-allow-origin" not in other.headers


def test_the_token_lets_in_by_header_or_by_a_cookie_of_one_link(films: Settings) -> None:
    with serving(films, token=TOKEN) as client:
        assert client.get("/healthz").status_code == 200
        for path in ("/api/status", "/metrics", "/openapi.json", "/media/x", "/page"):
            assert kind(client.get(path)) == (401, "auth"), path
        # The page itself tells no secrets; what only looks like a part of it is none.
        for path, status in (("/", 200), ("/page/main.js", 200), ("/page/%2e%2e/app.py", 404)):
            assert client.get(path).status_code == status, path
        for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", "Bearer ü"):
            headers = {"Authorization": wrong.encode()}
            assert client.get("/api/status", headers=headers).status_code == 401
        assert client.get("/api/status", headers=BEARER).status_code == 200
        assert client.post("/api/recommend", json={"q": "cat"}, headers=BEARER).status_code == 200

        assert kind(client.get("/", params={"token": "wrong"})) == (401, "auth")
        link = client.get("/", params={"q": "a cat", "token": TOKEN})
        assert link.status_code == 303 and link.headers["location"] == "/?q=a+cat"
        cookie = link.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and TOKEN not in cookie
        assert client.get("/api/status").status_code == 200  # the client keeps cookies
        own = str(client.base_url).rstrip("/")
        post = {"url": "/api/recommend", "json": {"q": "cat"}}
        assert kind(client.post(**post)) == (403, "auth")  # a cookie alone proves nothing
        assert client.post(**post, headers={"Origin": own}).status_code == 200
        client.cookies.clear()
        assert client.get("/api/status", headers={"Cookie": "x; =;\"'"}).status_code == 401


def test_every_answer_keeps_browsers_on_the_path(films: Settings) -> None:
    with serving(films) as client:
        for path in ("/", "/api/status", "/api/nothing", "/page/none.js", "/healthz"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "server" not in headers


def test_a_client_asks_only_so_often(films: Settings) -> None:
    films.serve.rate = 5
    with serving(films) as client:
        answers = [client.get("/api/suggest") for _ in range(8)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        assert kind(answers[-1]) == (429, "rate")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert client.get("/api/videos").status_code == 200  # looking is cheaper than asking


def test_a_body_has_a_size_and_a_time(films: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidrec.serve.guard.PAUSE_SECONDS", 0.3)
    with serving(films) as client:
        large = b'{"q": "' + b"x" * 100_000 + b'"}'
        headers = {"Content-Type": "application/json"}
        told = client.post("/api/recommend", content=large, headers=headers)
        assert kind(told) == (413, "too_large")
        untold = client.post("/api/recommend", content=iter([large]), headers=headers)
        assert kind(untold) == (413, "too_large")
        slow = raw(
            client,
            b"POST /api/recommend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"
            b'Content-Type: application/json\r\n\r\n{"q"',
        )
        assert slow.startswith(b"HTTP/1.1 408") and b"too slowly" in slow
        assert client.get("/api/status").status_code == 200


def test_who_is_slow_to_ask_is_cut_and_stops_nobody(
    films: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidrec.serve.run.HEADER_SECONDS", 0.5)
    with serving(films) as client:
        slow = [connected(client) for _ in range(50)]
        for number, connection in enumerate(slow):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: lo" if number % 2 else b"")
        assert client.get("/api/recommend", params={"q": "cat"}).status_code == 200
        for connection in slow:
            connection.settimeout(10)
            assert is_cut(connection)
            connection.close()


def test_who_takes_nothing_of_an_answer_is_cut(
    films: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidrec.serve.run.STALL_SECONDS", 0.5)
    with serving(films) as client:
        path = films.library.parent / "films" / "cat.mp4"
        cat = id_of(client, "cat.mp4")
        grow(films, path, cat)
        with connected(client, receive_buffer=4096) as reader:
            reader.sendall(f"GET /media/{cat} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            reader.settimeout(20)
            assert reader.recv(100).startswith(b"HTTP/1.1 200")
            time.sleep(2)
            assert read_to_the_end(reader) < path.stat().st_size


def read_to_the_end(connection: socket.socket) -> int:
    """Return how many bytes come before a connection is closed or cut."""
    count = 0
    try:
        while chunk := connection.recv(1 << 20):
            count += len(chunk)
    except ConnectionResetError:
        pass
    return count


def grow(films: Settings, path: Path, video_id: str) -> None:
    """Make a file longer than any buffer between a server and a client, as the library knows."""
    with path.open("ab") as file:
        file.write((32 << 20).to_bytes(4, "big") + b"free" + bytes((32 << 20) - 8))
    db = sqlite3.connect(films.library / "catalog.sqlite3")
    with db:
        db.execute("UPDATE videos SET size = ? WHERE id = ?", (path.stat().st_size, video_id))
    db.close()


def test_a_server_that_cannot_begin_says_why(films: Settings, tmp_path: Path) -> None:
    nowhere = load_settings(
        overrides={"library": tmp_path / "none", "cache": tmp_path / "cache", "serve.port": 0}
    )
    with pytest.raises(LibraryError, match="no library"):
        serve(nowhere, lambda address: None)


def raw(client: httpx.Client, sent: bytes) -> bytes:
    """Send bytes as they are; return the beginning of the answer."""
    with connected(client) as connection:
        connection.sendall(sent)
        connection.settimeout(10)
        got = b""
        while chunk := connection.recv(4096):
            got += chunk
            if b"\r\n\r\n" in got and (b"}}" in got or b"Invalid" in got):
                break
        return got


def connected(client: httpx.Client, receive_buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((client.base_url.host, client.base_url.port))
    return connection


def is_cut(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_threads_that_ask_do_not_wait_for_each_other(films: Settings) -> None:
    with serving(films) as client:
        answers: list[int] = []

        def one(word: str) -> None:
            for _ in range(10):
                answers.append(client.get("/api/recommend", params={"q": word}).status_code)

        threads = [threading.Thread(target=one, args=(word,)) for word in ("cat", "dog", "red")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 30
