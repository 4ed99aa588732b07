"""Qdrant beyond what every store must do: requests, faults, strict mode, settings."""

from __future__ import annotations

import random
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from qdrant_client import models

from tests import word_embedder
from tests.asking import ask
from tests.qdrant_spec import SPEC
from tests.standin_qdrant import Fault, StandinQdrant, Strict
from tests.store_kinds import find, make, server_store
from tests.test_stores import FINGERPRINT, make_point, random_points, unit
from vidrec.care.status import status
from vidrec.conditions import Condition, Filter
from vidrec.config import Settings, load_settings
from vidrec.errors import ConfigError, FingerprintError, StoreError, UsageError
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.stores import open_store
from vidrec.stores.qdrant import failures, points
from vidrec.types import Embedding, Fingerprint, Point, Video, VideoInfo

DIM = 8
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def server() -> Iterator[StandinQdrant]:
    with StandinQdrant() as standin:
        yield standin
        assert standin.problems == []


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(failures, "LONGEST_PAUSE", 0.02)


def some(n: int, seed: int = 0) -> list[Point]:
    return random_points(random.Random(seed), n)


def filled(server: StandinQdrant, n: int = 30, **settings: object) -> list[Point]:
    store = server_store(server.url, **settings)
    make(store, FINGERPRINT, DIM)
    wanted = some(n)
    store.upsert(wanted)
    store.close()
    return wanted


def fill_library(folder: Path, n: int, start: int = 0) -> None:
    """Put videos with word vectors into a library, as `embed` would."""
    fingerprint = Fingerprint("words", "count", len(word_embedder.WORDS))
    noise = np.random.default_rng(start)
    with Library(folder) as library:
        library._db.execute("PRAGMA synchronous = OFF")  # what is tested is not this disk
        library.register(fingerprint)
        for number in range(start, start + n):
            video = Video(f"{number:064x}", f"{number}.mp4", Path(f"/films/{number}.mp4"), size=1,
                          label=f"label {number % 3}", info=VideoInfo(20.0, 640, 360))  # fmt: skip
            library.add_video(video)
            key = str(fingerprint)
            clips = [
                Embedding(video.id, key, "clip", 10.0 * i, 10.0 * i + 10,
                          unit(noise.random(len(word_embedder.WORDS))))
                for i in range(2)
            ]  # fmt: skip
            whole = Embedding(video.id, key, "video", 0.0, 20.0, clips[0].vector)
            library.save_embeddings(video.id, [*clips, whole], 10.0)


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: StandinQdrant) -> Settings:
    """Settings of a library of ten videos, the words embedder and the stand-in."""
    word_embedder.install(tmp_path, monkeypatch)
    monkeypatch.setenv("VIDREC_QDRANT_URL", server.url)
    settings = load_settings(overrides={"embedder.name": "words", "store.name": "qdrant"})
    fill_library(settings.library, 10)
    return settings


# Requests


def test_a_text_query_is_one_request(words: Settings, server: StandinQdrant) -> None:
    index(words)
    with server.counting() as made:
        answer = ask(words, ["red cat"])
    assert len(answer.results) == 10
    assert made == ["POST /collections/vidrec-words/points/query/groups"]
    with server.counting() as made:
        answer = ask(words, ["red cat"], clips=True, k=3, where=["label=label 1"])
    assert {row.label for row in answer.results} == {"label 1"}
    assert made == ["POST /collections/vidrec-words/points/query"]


def test_qdrant_and_knn_recommend_alike(words: Settings) -> None:
    knn = words.model_copy(deep=True)
    knn.store.name = "knn"
    index(words)
    index(knn)
    for text in ("red", "green dog", "blue blue cat"):
        for clips in (False, True):
            one = ask(words, [text], clips=clips).results
            other = ask(knn, [text], clips=clips).results
            assert [replace(row, score=0) for row in one] == [
                replace(row, score=0) for row in other
            ]
            assert [r.score for r in one] == pytest.approx([r.score for r in other], abs=1e-6)


def test_every_exchange_is_checked_by_the_openapi_file(words: Settings, tmp_path: Path) -> None:
    if not SPEC.is_file():
        pytest.skip("Qdrant's OpenAPI file is not there")
    with StandinQdrant() as server:
        words.qdrant.url = server.url
        index(words)
        ask(words, ["red"])
        assert server.validated > 20
        server.answer = lambda *_: {"points": [{"id": "x", "score": "high"}]}  # type: ignore
        with pytest.raises(StoreError):
            find(server_store(server.url), unit([1] * 5), k=1, by_video=False)
        assert server.problems  # the check can fail


def test_what_a_point_carries(server: StandinQdrant) -> None:
    store = server_store(server.url)
    make(store, "marengo:marengo3.5:8:abc", DIM)
    extra = {"model": "camera", "_dim": 3, "fingerprint": True, "a.b": "dotted"}
    point = make_point(1, [1] * DIM, url="s3://b/k.mp4", label="cat", duration_sec=9.0,
                       extra=extra)  # fmt: skip
    store.upsert([point])
    stored = server.engine.retrieve("vidrec-test", [point.id])[0].payload
    assert stored is not None
    wanted = {
        "video_id": point.payload.video_id, "url": "s3://b/k.mp4", "filename": "film 0.mp4",
        "label": "cat", "scope": "clip", "start_sec": 1.0, "end_sec": 3.5, "duration_sec": 9.0,
        "model": "marengo3.5", "dim": 8, "fingerprint": "marengo:marengo3.5:8:abc",
        "_model": "camera",
    }  # fmt: skip
    assert wanted.items() <= stored.items()
    assert store.get([point.id])[0].payload == point.payload
    where = Filter(conditions=(Condition("a.b", "=", "dotted"),))
    assert len(find(store, point.vector, k=1, where=where)) == 1


def test_keys_are_indexed_before_the_first_point(server: StandinQdrant) -> None:
    filled(server, 3)
    first_put = next(i for i, path in enumerate(server.paths) if path.endswith("/points"))
    indexed = [path for path in server.paths[:first_put] if path.endswith("/index")]
    assert len(indexed) == len(points.KEY_KINDS) + 3  # year, quoted, seen
    kinds = server.indexes["vidrec-test.1"]
    assert (kinds["video_id"], kinds["start_sec"], kinds["seen"]) == ("keyword", "float", "bool")


def test_batches_are_bounded_and_the_source_is_read_as_it_goes(server: StandinQdrant) -> None:
    server.validate = False
    store = server_store(server.url)
    make(store, FINGERPRINT, 1024)
    noise = np.random.default_rng(0)
    ahead, made = [], 0

    def source() -> Iterator[Point]:
        nonlocal made
        for number in range(600):
            ahead.append(made - server.points_in("vidrec-test"))
            made += 1
            yield make_point(number, noise.standard_normal(1024), video=number)

    assert store.upsert(source()) == 600
    assert max(ahead) <= points.BATCH_POINTS
    sent = [size for method, path, size in server.log if method == "PUT" and path[-7:] == "/points"]
    assert len(sent) >= 3
    assert max(sent) < 1.2 * points.BATCH_BYTES


def test_videos_of_many_clips_do_not_hide_others(server: StandinQdrant) -> None:
    """The server looks at a bounded number of points for groups: vidrec goes on asking."""
    noise = np.random.default_rng(5)
    base = noise.standard_normal(DIM)
    crowd = [
        make_point(n, base + 0.001 * noise.standard_normal(DIM), video=n // 100)
        for n in range(1200)
    ]
    rest = [make_point(n, noise.standard_normal(DIM), video=n) for n in range(1200, 1203)]
    server.validate = False
    store = server_store(server.url)
    make(store, FINGERPRINT, DIM)
    store.upsert(crowd + rest)
    found = find(store, unit(base), k=15)
    assert len({match.payload.video_id for match in found}) == 15


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        Fault("429", "PUT .*/points$", times=1, seconds=1),
        Fault("429-bare", "PUT .*/points$", times=3),
        Fault("503", "", times=4),
        Fault("502", "POST /collections/aliases", times=2, after=True),
        Fault("drop", "PUT .*/points$", times=3),
        Fault("drop", "PUT .*/points$", times=2, after=True),
        Fault("drop", r"PUT /collections/[^/]+$", after=True),
        Fault("slow", "PUT .*/points$", times=1, seconds=1.5),
    ],
    ids=lambda fault: f"{fault.kind}{'-after' if fault.after else ''} {fault.route}",
)
@pytest.mark.usefixtures("no_pauses")
def test_passing_faults_are_waited_out(server: StandinQdrant, fault: Fault) -> None:
    server.validate = False
    store = server_store(server.url, timeout=1)
    assert store.info() is None
    server.faults.append(fault)
    wanted = some(300)
    with store.rebuild(FINGERPRINT, DIM) as writer:
        writer.upsert(wanted)
    assert fault.times == 0
    assert store.count() == 300
    assert sorted(store.ids()) == sorted(point.id for point in wanted)
    assert [c.name for c in server.engine.get_collections().collections] == ["vidrec-test.1"]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("closed", "cannot reach Qdrant at http://127.0.0.1:"),
        ("tls", "does not speak TLS"),
        ("key", "refused the API key"),
        ("old", "version 1.7.4: upgrade it to 1.16"),
        ("foreign", "was not made by vidrec"),
        (Fault("garbage", times=-1), "does not speak like Qdrant"),
        (Fault("429-bare", times=-1), "takes no more requests for now"),
        (Fault("503", times=-1), "failed (503)"),
        (Fault("full", "PUT .*/points$", times=-1), "no room left"),
        (Fault("drop", times=-1), "broke the connection"),
        (Fault("slow", times=-1, seconds=2), "did not answer in time"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("no_pauses")
def test_lasting_faults_are_one_line(
    server: StandinQdrant, fault: Fault | str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidrec.stores.qdrant import server as module

    monkeypatch.setattr(module, "ASKING_SECONDS", 0.3)
    monkeypatch.setattr(module, "WRITING_SECONDS", 0.3)
    url = server.url
    if isinstance(fault, Fault):
        server.faults.append(fault)
    elif fault == "key":
        server.api_key = "right"
    elif fault == "old":
        server.version = "1.7.4"
    elif fault == "closed":
        url = f"http://127.0.0.1:{closed_port()}"
    elif fault == "tls":
        url = url.replace("http:", "https:")
    else:
        size = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
        server.engine.create_collection("vidrec-test", vectors_config=size)
    store = server_store(url, timeout=1, api_key=SecretStr("s3cr3t-k3y"))
    started = time.monotonic()
    with pytest.raises(StoreError) as failure, store.rebuild(FINGERPRINT, DIM) as writer:
        writer.upsert(some(5))
    message = str(failure.value)
    assert says in message
    assert "\n" not in message and len(message) < 400
    assert "s3cr3t-k3y" not in message + repr(store) + store.place
    assert time.monotonic() - started < 18


def test_a_wrong_address_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = server_store(f"http://127.0.0.1:{closed_port()}")
    started = time.monotonic()
    with pytest.raises(StoreError, match="is it running"):
        find(store, unit([1] * DIM), k=1)
    assert time.monotonic() - started < 10  # others are asked for 20 s


def test_a_closed_grpc_port_is_named() -> None:
    store = server_store(f"http://127.0.0.1:{closed_port()}", prefer_grpc=True, timeout=2)
    with pytest.raises(StoreError, match=r"gRPC port \(6334\) open") as failure:
        find(store, unit([1] * DIM), k=1)
    assert "\n" not in str(failure.value)


# Strict mode and limits


def test_a_batch_is_halved_where_the_server_takes_less(server: StandinQdrant) -> None:
    server.max_bytes = 20_000
    filled(server, 100)
    assert server.points_in("vidrec-test") == 100
    server.max_bytes, server.strict = 32 << 20, Strict(upsert_max_batchsize=7)
    store = server_store(server.url)
    assert store.upsert(some(100, seed=3)) == 100


def test_strict_mode_is_lived_with(server: StandinQdrant) -> None:
    wanted = filled(server)
    server.strict = Strict(unindexed_filtering=False)
    store = server_store(server.url)
    where = Filter(
        scope="clip",
        conditions=(Condition("label", "=", "cat"), Condition("year", "in", (1999, 2007))),
    )
    before = find(store, wanted[0].vector, k=5, where=where)
    indexes = dict(server.indexes["vidrec-test.1"])
    server.indexes["vidrec-test.1"].clear()  # as if made by an older vidrec
    with server.counting() as requests, pytest.raises(StoreError, match="`vidrec index"):
        find(store, wanted[0].vector, k=5, where=where)
    assert not any(request.startswith("PUT") for request in requests), "a query writes nothing"
    store.owner = str(uuid.uuid4())
    store.upsert([])
    assert server.indexes["vidrec-test.1"]["scope"] == "keyword"
    server.indexes["vidrec-test.1"] |= indexes
    assert find(store, wanted[0].vector, k=5, where=where) == before
    # what --where year=2007 means: the text or the number; the key is indexed for numbers only
    both = Filter(
        conditions=(
            Condition(
                "year",
                "in",
                (
                    "2007",
                    2007,
                ),
            ),
        )
    )
    number = Filter(conditions=(Condition("year", "=", 2007),))
    found = find(store, wanted[0].vector, k=5, where=number)
    assert find(store, wanted[0].vector, k=5, where=both) == found != []
    with pytest.raises(UsageError, match="camrea"):
        find(
            store,
            wanted[0].vector,
            k=5,
            where=Filter(conditions=(Condition("camrea", "=", "left"),)),
        )
    server.strict = Strict(search_allow_exact=False)
    with pytest.raises(StoreError, match="Exact search is not allowed"):
        find(store, wanted[0].vector, k=5)
    relaxed = server_store(server.url, exact=False, quantization="scalar")
    assert len(find(relaxed, wanted[0].vector, k=5)) == 5
    server.strict = Strict(max_query_limit=20)
    with pytest.raises(StoreError, match="Limit exceeded"):
        find(store, wanted[0].vector, k=50)


# Beside others


def test_another_embedder_lives_beside_and_another_model_is_refused(
    words: Settings, server: StandinQdrant
) -> None:
    index(words)
    make(server_store(server.url, "other"), "other:m:5:1", 5)
    assert ask(words, ["red"]).results
    store = open_store(words)
    with store.rebuild("words:newer:5:1", 5) as writer:
        writer.upsert([make_point(1, [1] * 5)])
    with pytest.raises(FingerprintError) as failure:
        ask(words, ["red"])
    assert "words:newer:5:1" in str(failure.value) and "words:count:5" in str(failure.value)
    assert "vidrec index --embedder words --store qdrant --recreate" in str(failure.value)


def test_a_store_out_of_reach_is_not_said_to_be_empty(words: Settings) -> None:
    words.qdrant.url = "http://127.0.0.1:9"
    (row,) = status(words).embedders
    assert row.indexed is None
    assert "cannot reach Qdrant" in (row.problem or "")


# Settings


def test_the_settings_name_one_qdrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDRANT_URL", raising=False)
    for given in ({}, {"qdrant.url": "http://a", "qdrant.path": str(tmp_path)}):
        settings = load_settings(overrides={"store.name": "qdrant", **given})
        with pytest.raises(ConfigError, match="one of url, host and path"):
            open_store(settings)
    monkeypatch.setenv("QDRANT_URL", "https://xyz.cloud.example.org")
    monkeypatch.setenv("QDRANT_API_KEY", "s3cr3t")
    store = open_store(load_settings(overrides={"store.name": "qdrant"}))
    assert store.place == "https://xyz.cloud.example.org:6333/vidrec-conse"
    for url in ("ftp://host", "https://user:pass@host", "http://", "http://[::1", "h:99999"):
        with pytest.raises(ConfigError) as failure:
            open_store(load_settings(overrides={"store.name": "qdrant", "qdrant.url": url}))
        assert "pass" not in str(failure.value)


def test_quantization_and_shards_reach_the_collection(server: StandinQdrant) -> None:
    asked = []
    create = server.create
    server_store(server.url, quantization="scalar", shard_number=3, replication_factor=2,
                 on_disk=True)  # fmt: skip
    from tests import standin_qdrant

    pattern = standin_qdrant.C
    at = next(i for i, r in enumerate(standin_qdrant.ROUTES) if r[:2] == (pattern, "PUT"))
    old = standin_qdrant.ROUTES[at]
    standin_qdrant.ROUTES[at] = (
        pattern, "PUT", lambda self, name, body: asked.append(body) or create(name, body),
    )  # fmt: skip
    try:
        store = server_store(server.url, quantization="scalar", shard_number=3,
                             replication_factor=2, on_disk=True)  # fmt: skip
        make(store, FINGERPRINT, DIM)
    finally:
        standin_qdrant.ROUTES[at] = old
    body = asked[0]
    assert body["vectors"] == {"size": DIM, "distance": "Cosine", "on_disk": True}
    assert body["quantization_config"]["scalar"]["type"] == "int8"
    assert (body["shard_number"], body["replication_factor"]) == (3, 2)
    assert body["metadata"]["fingerprint"] == FINGERPRINT
