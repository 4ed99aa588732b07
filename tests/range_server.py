"""A real HTTP server for one file, with byte ranges and faults to order.

`python tests/range_server.py FILE [PORT]` serves a file by hand.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[["Handler", int, int], bool]
"""Called with (handler, start, end) before a range is answered; True: it has answered itself."""


class RangeServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, path: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.path = path
        self.fault: Fault = lambda handler, start, end: False
        self.ranges = True
        self.head = True
        self.body_bytes = 0  # sent so far
        self.requests: list[tuple[str, str | None]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{self.path.name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeServer

    def do_HEAD(self) -> None:
        if not self.server.head:
            return self.refuse(403)
        self.answer(0, self.server.path.stat().st_size, body=False)

    def do_GET(self) -> None:
        size = self.server.path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        with self.server.lock:
            self.server.requests.append((self.path, self.headers.get("Range")))
        start, end = 0, size
        if asked and self.server.ranges:
            start, end = int(asked[1]), min(size, int(asked[2] or size) + 1)
        if not self.server.fault(self, start, end):
            self.answer(start, end)

    def answer(self, start: int, end: int, *, body: bool = True, cut: int | None = None) -> None:
        """Sends bytes `start` to `end`; with `cut`, hangs up after so many of them."""
        ranged = body and bool(self.headers.get("Range")) and self.server.ranges
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(end - start))
        if ranged:
            size = self.server.path.stat().st_size
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if not body:
            return
        with self.server.path.open("rb") as file:
            file.seek(start)
            self.send_body(file.read(end - start)[:cut])
        if cut is not None:
            self.close_connection = True

    def send_body(self, data: bytes) -> None:
        try:
            self.wfile.write(data)
        except OSError:
            self.close_connection = True
        with self.server.lock:
            self.server.body_bytes += len(data)

    def refuse(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(path: Path) -> Iterator[RangeServer]:
    """A server for `path` while the block runs."""
    server = RangeServer(path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    by_hand = RangeServer(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8765)
    print(by_hand.url, flush=True)
    by_hand.serve_forever()
