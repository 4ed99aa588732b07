"""The embedder marengo against a stand-in of its service, through the real SDK."""

# ruff: noqa: F811

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from tests.marengo_bench import CREATE, POLL, TEXT, Bench, FastClock, bench, forest, service  # noqa: F401
from tests.standin_twelvelabs import TwelveLabsStandIn
from tests.tiny_video import write_video
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.marengo.answers import Answers
from vidrec.embedders.marengo.client import Service
from vidrec.embedders.marengo.pace import Clock
from vidrec.embedders.marengo.profiles import Requests
from vidrec.errors import ConfigError, EmbedderError, MediaError, TransientError
from vidrec.ingest.scan import hash_file
from vidrec.types import Video, VideoInfo


def test_all_vectors_come_each_under_its_own_fingerprint(bench: Bench) -> None:
    embedder = bench.embedder()
    outcome = bench.embed()
    assert outcome.error is None
    visual, audio = (str(fingerprint) for fingerprint in embedder.fingerprints)
    assert visual == str(embedder.fingerprint) != audio
    for fingerprint in (visual, audio):
        mine = [e for e in outcome.embeddings if e.fingerprint == fingerprint]
        spans = sorted((e.start_sec, e.end_sec) for e in mine if e.scope == "clip")
        assert spans == [(0, 6), (6, 12), (12, 14)]
        assert [(e.start_sec, e.end_sec) for e in mine if e.scope == "video"] == [(0, 14)]
    for embedding in outcome.embeddings:
        assert embedding.vector.dtype == np.float32
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-6)


def test_rows_are_told_apart_by_option_and_scope_not_by_place(bench: Bench) -> None:
    outcome = bench.embed()
    (task,) = bench.service.tasks.values()
    for row in bench.service.rows(task):
        scope = "video" if row["embedding_scope"] == "asset" else "clip"
        (mine,) = [
            e
            for e in outcome.embeddings
            if e.scope == scope
            and e.start_sec == row["start_sec"]
            and e.fingerprint == str(bench.embedder(option=row["embedding_option"]).fingerprint)
        ]
        expected = np.array(row["embedding"]) / np.linalg.norm(row["embedding"])
        assert mine.vector == pytest.approx(expected, abs=1e-6)


def test_the_request_is_what_each_model_takes(bench: Bench) -> None:
    assert bench.embed().error is None
    assert bench.embed(model="marengo3.0", option="fused").error is None
    new, old = (entry.fields for entry in bench.service.calls("POST", "^/embed-v2/tasks$", 202))
    assert new["embedding_dimension"] == 512 and "embedding_dimension" not in old
    assert "temporal" in new["video"]["segmentation"]
    assert "temporal" not in old["video"]["segmentation"]
    assert old["video"]["embedding_type"] == ["separate_embedding", "fused_embedding"]


@pytest.mark.parametrize("dim", [128, 256, 512])
def test_the_dimension_can_be_chosen(bench: Bench, dim: int) -> None:
    outcome = bench.embed(dim=dim)
    assert {e.vector.shape for e in outcome.embeddings} == {(dim,)}
    assert bench.embedder(dim=dim).embed_texts(["dark"])[0].shape == (dim,)


def test_a_text_finds_its_like(bench: Bench) -> None:
    outcome = bench.embed()
    fingerprint = str(bench.embedder().fingerprint)
    (whole,) = [
        e for e in outcome.embeddings if e.scope == "video" and e.fingerprint == fingerprint
    ]
    near, far = bench.embedder().embed_texts(["a dark forest", "a bright kitchen"])
    assert whole.vector @ near > whole.vector @ far + 0.2


@pytest.mark.parametrize("model", ["marengo3.5", "marengo3.0"])
def test_texts_and_images_cost_one_call_each(bench: Bench, tmp_path: Path, model: str) -> None:
    embedder = bench.embedder(model=model)
    assert embedder.embed_texts(["one", "two"]).shape == (2, 512)
    image = tmp_path / "a.webp"
    Image.new("RGB", (16, 16), "red").save(image)
    assert embedder.embed_image(image).shape == (512,)
    assert len(bench.service.log) == 3
    broken = tmp_path / "b.png"
    broken.write_bytes(b"no image")
    with pytest.raises(MediaError, match="no readable image"):
        embedder.embed_image(broken)
    assert len(bench.service.log) == 3


def test_models_have_fingerprints_of_their_own(bench: Bench) -> None:
    changes: list[dict[str, object]] = [
        {}, {"model": "marengo3.0"}, {"dim": 256}, {"option": "audio"}, {"clip_sec": 2},
        {"clips": "fixed"},
    ]  # fmt: skip
    names = {str(bench.embedder(**change).fingerprint) for change in changes}
    assert len(names) == len(changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "Marengo-retrieval-2.7"}, "switched off .* marengo3.5"),
        ({"model": "marengo9"}, "unknown model marengo9"),
        ({"dim": 1024}, "128, 256, 512"),
        ({"option": "fused"}, "no fused"),
        ({"clip_sec": 8}, "2 to 5"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(
    bench: Bench, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        bench.embedder(**changes)
    assert not bench.service.log


def test_a_future_model_can_be_named(bench: Bench) -> None:
    embedder = bench.embedder(model="marengo4.0", like="marengo3.5", dim=768)
    assert embedder.dim == 768
    with pytest.raises(EmbedderError, match="unknown model"):
        embedder.embed_texts(["a"])[0]


def test_a_missing_or_odd_key_is_named_without_being_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_MARENGO_API_KEY", "tlk_with space")
    with pytest.raises(ConfigError, match="API key holds") as caught:
        bench.embedder().embed_texts(["a"])[0]
    assert "tlk_with" not in str(caught.value)
    monkeypatch.delenv("VIDREC_MARENGO_API_KEY")
    with pytest.raises(ConfigError, match="VIDREC_MARENGO_API_KEY"):
        bench.embedder().embed_texts(["a"])[0]
    monkeypatch.setenv("TWELVE_LABS_API_KEY", bench.service.key + "\n")
    assert bench.embedder().embed_texts(["a"])[0].shape == (512,)


# Answers that are no use


@pytest.mark.parametrize(
    ("kind", "message", "lasting"),
    [
        ("failed", "could not be processed", True),
        ("retry-later", "unstable", False),
        ("nan", "bad vector", True),
        ("zero", "bad vector", True),
        ("short", "511 numbers where 512", True),
        ("empty", "no visual embedding", True),
    ],
)
def test_a_useless_answer_is_named(bench: Bench, kind: str, message: str, lasting: bool) -> None:
    bench.service.fault(kind, CREATE)
    hits = [bench.embed()]
    error = hits[0].error
    if kind in ("nan", "zero", "short") and error is None:
        pytest.fail("a bad vector was let through")
    assert error is not None and message in str(error)
    assert isinstance(error, TransientError) != lasting
    assert not hits[0].embeddings


def test_a_useless_answer_is_fetched_again_not_paid_again(bench: Bench) -> None:
    bench.service.fault("nan", CREATE)
    assert bench.embed().error is not None
    (task,) = bench.service.tasks.values()
    task.fault = None
    assert bench.embed().error is None
    assert bench.created == 1


def test_what_the_sdk_cannot_parse_is_used_all_the_same(bench: Bench) -> None:
    bench.service.fault("no-duration", CREATE)
    assert bench.embed().error is None


def test_a_clip_that_is_told_twice_is_kept_once(service: TwelveLabsStandIn) -> None:
    row = {"embedding_option": "visual", "embedding_scope": "clip", "start_sec": 0.0,
           "end_sec": 4.0, "embedding": [1.0] * 512}  # fmt: skip
    video = Video("a" * 64, "a.mp4", info=VideoInfo(4.0, 640, 360))
    answers = Answers(Requests(load_settings().marengo))
    found = answers.embedded(video, {"data": [row, row]}).embeddings
    assert [embedding.scope for embedding in found] == ["clip", "video"]


def test_a_refusal_shows_the_services_words(bench: Bench, tmp_path: Path) -> None:
    path = write_video(tmp_path / "short.mp4", seconds=2)
    bench.video = Video(hash_file(path), path.name, path, size=path.stat().st_size)
    error = bench.embed().error
    assert error is not None and "video_duration_too_short" in str(error)
    assert not isinstance(error, TransientError)


def test_the_file_that_was_sent_is_deleted_when_done(bench: Bench) -> None:
    assert bench.embed().error is None
    assert bench.service.assets == {}
    (upload,) = bench.service.calls("POST", "^/assets$")
    assert upload.fields["filename"].startswith(f"{bench.video.id}-")


def test_no_secret_reaches_the_library(bench: Bench) -> None:
    bench.embed()
    for path in bench.library.folder.iterdir():
        assert bench.service.key.encode() not in path.read_bytes()


def test_the_key_follows_no_redirect_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str | None]] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.headers["Host"].split(":")[0], self.headers["x-api-key"]))
            elsewhere = f"http://localhost:{self.server.server_port}/"  # type: ignore[attr-defined]
            body = b'{"data": []}' if self.path == "/" else b""
            self.send_response(200 if body else 307)
            self.send_header("Location", elsewhere)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return None

    for name in ("TWELVELABS_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("VIDREC_MARENGO_API_KEY", "tlk_secret")
    monkeypatch.setenv("VIDREC_MARENGO_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    client = Service(load_settings().marengo, Clock())
    try:
        client.call("list its jobs", lambda sdk: sdk.embed.v_2.tasks.list(page_limit=1))
    finally:
        client.close()
        server.shutdown()
        server.server_close()
    assert seen == [("127.0.0.1", "tlk_secret"), ("localhost", None)]


def test_load_embedder_knows_it(service: TwelveLabsStandIn) -> None:
    assert load_embedder(load_settings()).name == "marengo"
