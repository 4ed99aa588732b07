"""Hugging Face's hub on this machine: what its client asks for when it downloads a repository."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Serves folders as repositories; ``cut`` names files whose first answer breaks off."""

    repositories: dict[str, Path]
    cut: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Hub:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def log_message(self, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        self.hub.asked.append((self.command, self.path, self.headers.get("Range", "")))
        path = self.path.partition("?")[0]
        for name, folder in self.hub.repositories.items():
            files = sorted(p for p in folder.rglob("*") if p.is_file())
            if re.fullmatch(rf"/api/models/{name}(/revision/[^/]+)?", path):
                siblings = [{"rfilename": p.relative_to(folder).as_posix()} for p in files]
                return self._json({"id": name, "sha": REVISION, "siblings": siblings})
            if path.startswith(f"/api/models/{name}/tree/"):
                return self._json(
                    [
                        {"type": "file", "path": p.relative_to(folder).as_posix(),
                         "size": p.stat().st_size, "oid": _hash(p)}
                        for p in files
                    ]
                )  # fmt: skip
            found = re.fullmatch(rf"/{name}/resolve/[^/]+/(.+)", path)
            if found and (folder / found[1]).is_file():
                return self._file(folder / found[1])
        self._send(404, b"")

    def _json(self, body: Any) -> None:
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, path: Path) -> None:
        data = path.read_bytes()
        headers = {"ETag": f'"{_hash(path)}"', "X-Repo-Commit": REVISION, "Accept-Ranges": "bytes"}
        start = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range", ""))
        if start and self.command == "GET" and 0 < int(start[1]) < len(data):
            headers["Content-Range"] = f"bytes {start[1]}-{len(data) - 1}/{len(data)}"
            return self._send(206, data[int(start[1]) :], headers)
        if self.command == "GET" and path.name in self.hub.cut:
            self.hub.cut.remove(path.name)
            self.close_connection = True
            return self._send(200, data, headers, keep=len(data) // 2)
        self._send(200, data, headers)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None,
        keep: int | None = None,
    ) -> None:  # fmt: skip
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:keep])


def _hash(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
