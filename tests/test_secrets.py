"""Keys and passwords never come out again, wherever an address or a service puts them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vidrec.cli import app
from vidrec.config import load_settings
from vidrec.urls import shown_url, without_secrets

KEY = "tlk_SECRET"


@contextmanager
def echoing(status: int) -> Iterator[str]:
    """A server whose answers repeat the key that they were asked with; its address."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = self.headers.get("x-api-key") or self.headers.get("api-key") or ""
            body = b'{"code": "wrong", "message": "no such key: %s"}' % said.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_POST = do_PUT = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open http://u:p@h/a.mp4: no", "cannot open http://h/a.mp4: no"),
        ("`http://h/v1?api_key=p` is wrong", "`http://h/v1` is wrong"),
        ("see https://h/a?page=2 and C:\\a", "see https://h/a?page=2 and C:\\a"),
        ("http://u:p@[::1/a is no URL", "[::1/a is no URL"),
        ("ftp://u:p@h/a, s3://b/a?b", "ftp://h/a, s3://b/a?b"),
        ("me@home: a/b?c", "me@home: a/b?c"),
    ],
)
def test_a_url_in_a_text_is_shown_without_what_lets_in(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_an_address_without_its_scheme_is_one_too() -> None:
    assert shown_url("u:p@h:80") == "h:80"


@pytest.mark.parametrize("address", ["http://u:SECRET@{}", "http://{}/v1?api_key=SECRET"])
@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize(
    ("variables", "command"),
    [
        (["VIDREC_MARENGO_BASE_URL"], ["recommend", "a dog", "-e", "marengo"]),
        (["VIDREC_MARENGO_BASE_URL", "VIDREC_S3_ENDPOINT_URL"], ["doctor", "-f", "table"]),
        (["VIDREC_QDRANT_HOST"], ["index", "--store", "qdrant"]),
        (["VIDREC_QDRANT_URL"], ["index", "--store", "qdrant"]),
        (["AWS_ENDPOINT_URL_S3"], ["upload", "a.mp4", "--bucket", "bucket"]),
        ([], ["embed", "{}/a.mp4", "http://u:SECRET@[::1/a.mp4"]),
        ([], ["recommend", "{}/a.mp4"]),
        ([], ["status", "-f", "table"]),
    ],
)
def test_no_service_says_a_key_or_the_password_of_its_address(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    status: int,
    variables: list[str],
    command: list[str],
) -> None:
    for name, value in {
        "VIDREC_EMBEDDER_NAME": "marengo" if command[0] == "doctor" else "conse",
        "VIDREC_MARENGO_API_KEY": KEY, "VIDREC_QDRANT_API_KEY": KEY, "VIDREC_S3_BUCKET": "bucket",
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": KEY, "VIDREC_S3_ATTEMPTS": "1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    log = tmp_path / "log"
    with echoing(status) as host:
        url = address.format(host)
        for name in variables:
            monkeypatch.setenv(name, url)
        words = [word.replace("{}", url) for word in command]
        result = CliRunner().invoke(app, [*words, "-v", "--log-file", str(log)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert "SECRET" not in result.output + (log.read_text() if log.exists() else "")
    for file in load_settings().library.rglob("*"):
        assert file.is_dir() or b"SECRET" not in file.read_bytes()
