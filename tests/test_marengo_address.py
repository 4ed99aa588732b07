"""A wrong address of Twelve Labs is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.test_marengo import FastClock, service
from vidrec.config import load_settings
from vidrec.embedders.marengo.embedder import MarengoEmbedder
from vidrec.errors import ConfigError, TransientError

__all__ = ["service"]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_MARENGO_API_KEY", "tlk_x")
    monkeypatch.delenv("TWELVELABS_BASE_URL", raising=False)


def embedder(fast: FastClock, url: str | None = None) -> MarengoEmbedder:
    return MarengoEmbedder(load_settings(overrides={"marengo.base_url": url}), fast.clock())


@pytest.mark.parametrize(
    "url", ["api.twelvelabs.example/v1.3", "htp://x", "https:///v1.3", "https://x:0", "http://x y"]
)
def test_what_is_no_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"marengo.base_url: .* Received"):
        embedder(FastClock(), url)
    monkeypatch.setenv("TWELVELABS_BASE_URL", url)
    with pytest.raises(ConfigError, match=r"TWELVELABS_BASE_URL: .* Received"):
        embedder(FastClock()).embed_texts(["a dog"])


def test_a_dead_address_is_given_up_soon() -> None:
    fast = FastClock()
    with pytest.raises(TransientError, match=r"cannot reach Twelve Labs at http://127.0.0.1:1/v1"):
        embedder(fast, "http://127.0.0.1:1/v1").embed_texts(["a dog"])
    assert sum(fast.slept) < 5


class Page(BaseHTTPRequestHandler):
    """A web site that is something else."""

    code = 404

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<html>hello</html>"
        self.send_response(self.code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        return None


@pytest.fixture(params=[200, 301, 404, 405])
def page(request: pytest.FixtureRequest) -> Iterator[str]:
    kind = type("Kind", (Page,), {"code": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://u:PASS@127.0.0.1:{server.server_port}/v1.3"
    server.shutdown()
    server.server_close()


def test_something_else_that_answers_is_told(page: str) -> None:
    fast = FastClock()
    with pytest.raises(ConfigError, match=r"what answers at http://127.0.0.1:\d+/v1.3 is not") as e:
        embedder(fast, page).embed_texts(["a dog"])
    assert sum(fast.slept) < 5 and "PASS" not in str(e.value)
