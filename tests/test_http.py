"""Files behind http: servers that say little, break off, drip, ask to wait or lead elsewhere."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from vidrec.errors import Cancelled, StorageError
from vidrec.storage import connections, resume
from vidrec.storage.http import look, read
from vidrec.storage.resume import Patience


class Odd(BaseHTTPRequestHandler):
    """Answers as ``answer`` does; ``content`` is the file. ``asked`` notes method and range."""

    protocol_version = "HTTP/1.1"
    content: ClassVar[bytes] = b""
    answer: ClassVar[Callable[[Odd], None]]
    asked: ClassVar[list[tuple[str, str | None]]]

    def do_GET(self) -> None:
        self.asked.append((self.command, self.headers.get("Range")))
        type(self).answer(self)

    do_HEAD = do_GET

    def send(
        self, code: int = 200, body: bytes | None = None, cut: int | None = None, **headers: str
    ) -> None:
        """Send a whole answer, or hang up after ``cut`` bytes of it."""
        body = self.content if body is None else body
        self.send_response(code)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True

    def send_range(self, cut: int | None = None, **headers: str) -> None:
        """Send what was asked for, as a server that knows ranges does."""
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        if not start:
            return self.send(cut=cut, **headers)
        whole = len(self.content)
        places = f"bytes {start}-{whole - 1}/{whole}"
        self.send(206, self.content[start:], cut, Content_Range=places, **headers)

    def log_message(self, *arguments: object) -> None:
        return None


@pytest.fixture
def serve() -> Iterator[Callable[[bytes, Callable[[Odd], None]], tuple[str, type[Odd]]]]:
    """Start servers: content and behaviour in, URL and the handler's class out."""
    servers = []

    def start(content: bytes, answer: Callable[[Odd], None]) -> tuple[str, type[Odd]]:
        kind = type("Kind", (Odd,), {"content": content, "answer": answer, "asked": []})
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        servers.append(server)
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/a.mp4", kind

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


Serve = Callable[[bytes, Callable[[Odd], None]], tuple[str, type[Odd]]]


def fetched(url: str, tmp_path: Path, patience: Patience | None = None) -> bytes:
    with (tmp_path / "copy").open("wb") as file:
        read(url, file, lambda got: None, patience)
    return (tmp_path / "copy").read_bytes()


def test_a_server_that_tells_nothing_is_looked_into(serve: Serve) -> None:
    url, kind = serve(os.urandom(300_000), Odd.send_range)
    first = look(url)
    assert first == look(url) and first[0] == 300_000
    kind.content = kind.content[:-10] + b"0123456789"
    second = look(url)
    assert second != first and second[0] == 300_000
    kind.content = b"0123456789" + kind.content[10:]
    assert look(url) not in (first, second)


def test_without_even_a_size_nothing_counts_as_unchanged(serve: Serve) -> None:
    def chunked(handler: Odd) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(b"5\r\nabcde\r\n0\r\n\r\n")

    url, _ = serve(b"", chunked)
    assert look(url)[0] == -1 and look(url) != look(url)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 500, 501, 503])
def test_head_may_be_refused(serve: Serve, code: int) -> None:
    def answer(handler: Odd) -> None:
        if handler.command == "HEAD":
            return handler.send(code, b"")
        return handler.send(ETag='"1"')

    assert look(serve(b"12345", answer)[0]) == (5, '"1"')


def test_a_server_that_hangs_up_before_it_answers_is_asked_again(
    serve: Serve, tmp_path: Path
) -> None:
    def hangs_up(handler: Odd) -> None:
        if handler.command == "HEAD" or len(handler.asked) < 4:
            handler.close_connection = True
            return None
        return handler.send(ETag='"1"')

    url, kind = serve(b"12345", hangs_up)
    assert look(url) == (5, '"1"')
    kind.asked.clear()
    assert fetched(url, tmp_path) == b"12345"


def test_head_that_says_nothing_is_there_is_not_believed(serve: Serve) -> None:
    def answer(handler: Odd) -> None:
        handler.send(body=b"" if handler.command == "HEAD" else b"12345", ETag='"1"')

    assert look(serve(b"", answer)[0]) == (5, '"1"')


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_what_passes_is_waited_for_and_said(serve: Serve, tmp_path: Path, code: int) -> None:
    def busy_twice(handler: Odd) -> None:
        if len(handler.asked) <= 2:
            return handler.send(code, b"", Retry_After="2" if len(handler.asked) == 1 else "0")
        return handler.send()

    url, _ = serve(b"12345", busy_twice)
    said: list[str] = []
    started = time.monotonic()
    assert fetched(url, tmp_path, Patience(said.append)) == b"12345"
    assert time.monotonic() - started >= 2
    assert f"HTTP {code}" in said[0] and "trying again in 2 s" in said[0]


def test_who_asks_to_wait_too_long_is_not_waited_for(serve: Serve, tmp_path: Path) -> None:
    url, kind = serve(b"", lambda handler: handler.send(429, Retry_After="86400"))
    with pytest.raises(StorageError, match="asks to wait 1440 minutes"):
        fetched(url, tmp_path)
    assert len(kind.asked) == 1


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 501])
def test_a_permanent_answer_is_not_tried_again(serve: Serve, tmp_path: Path, code: int) -> None:
    url, kind = serve(b"", lambda handler: handler.send(code))
    with pytest.raises(StorageError, match=f"HTTP {code}"):
        fetched(url, tmp_path)
    assert len(kind.asked) == 1


@pytest.mark.parametrize("mark", [{"ETag": '"1"'}, {"Last_Modified": "Sun, 29 Nov 2026 01:00:00"}])
def test_a_broken_download_goes_on(serve: Serve, tmp_path: Path, mark: dict[str, str]) -> None:
    content = os.urandom(3_000_000)
    url, kind = serve(content, lambda handler: handler.send_range(cut=1_200_000, **mark))
    assert fetched(url, tmp_path) == content
    starts = [int(asked[6:-1]) for _, asked in kind.asked if asked]
    assert starts == [1_200_000, 2_400_000]


@pytest.mark.parametrize("mark", [{}, {"ETag": 'W/"1"'}])
def test_without_proof_that_it_is_the_same_file_it_begins_anew(
    serve: Serve, tmp_path: Path, mark: dict[str, str]
) -> None:
    def once_cut(handler: Odd) -> None:
        handler.send_range(cut=None if len(handler.asked) > 1 else 1_000_000, **mark)

    content = os.urandom(2_000_000)
    url, kind = serve(content, once_cut)
    assert fetched(url, tmp_path) == content
    assert kind.asked == [("GET", None)] * 2


def test_a_file_that_changed_meanwhile_is_whole(serve: Serve, tmp_path: Path) -> None:
    new = os.urandom(1_500_000)

    def changing(handler: Odd) -> None:
        if len(handler.asked) == 1:
            return handler.send(cut=1_000_000, ETag='"1"')
        return handler.send(body=new, ETag='"2"')  # If-Range does not hold: all of the new one

    url, _ = serve(os.urandom(2_000_000), changing)
    assert fetched(url, tmp_path) == new


def test_a_server_that_always_breaks_off_is_given_up(serve: Serve, tmp_path: Path) -> None:
    url, kind = serve(b"x" * 1000, lambda handler: handler.send_range(cut=10, ETag='"1"'))
    with pytest.raises(StorageError, match=r"broke off after \d+ of 1000 bytes"):
        fetched(url, tmp_path)
    assert len(kind.asked) == resume.TRIES


def test_a_server_that_drips_is_given_up(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SLOW_SECONDS", 1.0)

    def drip(handler: Odd) -> None:
        handler.send(body=b"x", Content_Length="1000000")
        try:
            for _ in range(200):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            handler.close_connection = True

    with pytest.raises(StorageError, match="sends no more than"):
        fetched(serve(b"", drip)[0], tmp_path)


def test_headers_that_drip_are_not_waited_for(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ANSWER_SEC", 0.5)

    def drip(handler: Odd) -> None:
        try:
            for number in range(100):
                handler.wfile.write(b"HTTP/1.1 200 OK\r\n" if not number else b"x")
                time.sleep(0.1)
        except OSError:
            handler.close_connection = True

    with pytest.raises(StorageError, match="cannot be read"):
        fetched(serve(b"", drip)[0], tmp_path)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,x"])
def test_a_redirect_leads_to_no_other_kind(serve: Serve, code: int, target: str) -> None:
    url, _ = serve(b"", lambda handler: handler.send(code, Location=target))
    with pytest.raises(StorageError, match="URL of another kind"):
        look(url)


def test_a_redirect_within_http_is_followed(serve: Serve, tmp_path: Path) -> None:
    there, _ = serve(b"12345", lambda handler: handler.send(ETag='"1"'))
    url, _ = serve(b"", lambda handler: handler.send(302, Location=there))
    assert look(url) == (5, '"1"')
    assert fetched(url, tmp_path) == b"12345"


def test_a_run_that_ends_does_not_wait(serve: Serve, tmp_path: Path) -> None:
    url, _ = serve(b"", lambda handler: handler.send(429, Retry_After="60"))
    started = time.monotonic()
    ends = Patience(cancelled=lambda: time.monotonic() - started > 0.3)
    with pytest.raises(Cancelled):
        fetched(url, tmp_path, ends)
    assert time.monotonic() - started < 30


def test_a_dead_address_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be reached"):
        fetched("http://127.0.0.1:9/a.mp4", tmp_path)


def test_a_full_disk_is_not_the_servers_fault(serve: Serve) -> None:
    url, _ = serve(b"x" * 100_000, lambda handler: handler.send())
    with pytest.raises(OSError, match="No space"), Path("/dev/full").open("wb", 0) as full:
        read(url, full, lambda got: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "bits"), [("gzip", 31), ("x-gzip", 31), ("deflate", 15)])
def test_what_is_packed_unasked_comes_as_it_was(
    serve: Serve, tmp_path: Path, name: str, bits: int
) -> None:
    def answer(handler: Odd) -> None:
        tries = len(handler.asked)
        whole = handler.content
        cut = 20_000 if tries == 2 else None  # the first download breaks off
        packer = zlib.compressobj(wbits=bits)
        packed = packer.compress(whole) + packer.flush()
        handler.send(200, packed, cut, ETag='"1"', Content_Encoding=name)

    content = os.urandom(100_000) + bytes(100_000)
    url, kind = serve(content, answer)
    assert look(url) == (-1, '"1"')  # HEAD and a look into it
    kind.asked[:] = kind.asked[:1]
    assert fetched(url, tmp_path) == content
    assert kind.asked[1:] == [("GET", None)] * 2
    plain, _ = serve(content, lambda handler: handler.send(ETag='"1"', Content_Encoding=name))
    assert fetched(plain, tmp_path) == content  # only said to be packed


@pytest.mark.parametrize("url", ["http://a b/c.mp4", "http://127.0.0.1:x/c.mp4"])
def test_what_is_no_url_is_not_tried_again(url: str) -> None:
    with pytest.raises(StorageError, match=r"is no URL|nonnumeric"):
        look(url, Patience(lambda line: pytest.fail(line)))
