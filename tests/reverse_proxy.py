"""A small reverse proxy: a server has a path of another one, whose requests it is handed."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


@contextmanager
def proxied(port: int, root: str, *, strips: bool, scheme: str = "https") -> Iterator[str]:
    """Hand what comes below ``root`` to a server's port; give the address of ``root``.

    Args:
        port: of the server on this machine.
        root: the path, "/vidrec".
        strips: whether the server is asked for the path without ``root``.
        scheme: what clients speak to the proxy, as it tells the server.
    """

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path != root and not self.path.startswith((f"{root}/", f"{root}?")):
                self.send_error(404)
                return
            if strips and self.path == root:  # as nginx does for `location /vidrec/`
                self.send_response(301)
                self.send_header("Location", f"{root}/")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path = (self.path.removeprefix(root) or "/") if strips else self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
            headers["X-Forwarded-For"] = self.client_address[0]
            headers["X-Forwarded-Proto"] = scheme
            server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            server.request(self.command, path, body or None, headers)
            answer = server.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {*HOP, "date", "content-length"}:
                    self.send_header(name, value)
            if answer.status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            server.close()

        do_POST = do_HEAD = do_GET

        def log_message(self, format: str, *values: Any) -> None:
            return None

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}{root}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join(10)
