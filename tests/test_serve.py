"""The API, asked over HTTP: what is recommended, listed and shown."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.asking import ask
from tests.serving import films, id_of, serving
from tests.standin_qdrant import StandinQdrant
from tests.word_embedder import WordEmbedder
from vidrec.config import Settings
from vidrec.ingest.index import index
from vidrec.search.asked import asked_texts
from vidrec.search.session import Session
from vidrec.types import Recommendation

__all__ = ["films"]
pytest.importorskip("fastapi")


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["results"]]


def test_results_are_those_of_the_command_without_places(films: Settings) -> None:
    expected = ask(films, ["cat"])
    with serving(films) as client:
        answer = client.get("/api/recommend", params={"q": "cat"}).json()
    assert answer["query"] == "cat" and answer["embedder"] == expected.embedder
    fields = {field.name for field in dataclasses.fields(Recommendation)} - {"path", "why"}
    for row, wanted in zip(answer["results"], expected.results, strict=True):
        assert {name: row[name] for name in fields} == {
            name: getattr(wanted, name) for name in fields
        }
        assert "path" not in row and "/" not in row["filename"]
    assert str(films.library.parent) not in json.dumps(answer)


def test_everything_the_command_takes_can_be_sent(films: Settings) -> None:
    with serving(films) as client:
        assert names(client.get("/api/recommend", params={"q": "red", "k": 1})) == ["wall.avi"]
        cat = id_of(client, "cat.mp4")
        liked = client.get("/api/recommend", params={"like": [f"id:{cat}", "dog"]})
        assert "cat.mp4" not in names(liked)
        unlike = {"q": "red", "unlike": [{"text": "cat", "weight": 2}], "pool": "max"}
        assert names(client.post("/api/recommend", json=unlike))[0] == "wall.avi"
        some = client.get("/api/recommend", params={"q": "cat", "where": "label=Dog"})
        assert names(some) == ["dog.mp4"]
        year = client.get("/api/recommend", params={"q": "dog", "where": "year<2000"})
        assert names(year) == ["cat.mp4"]
        clips = client.get("/api/recommend", params={"q": "cat", "clips": 1, "max_per": "label=1"})
        assert len(names(clips)) == 3
        assert names(client.get(f"/api/videos/{cat}/similar"))[0] != "cat.mp4"


def test_the_other_moments_of_a_result_are_told(films: Settings) -> None:
    with serving(films) as client:
        answer = client.get("/api/recommend", params={"q": "cat", "why": 1}).json()
        cat = answer["results"][0]
        assert (cat["name"], cat["start_sec"]) == ("cat.mp4", 10.0)
        spans = [(moment["start_sec"], moment["end_sec"]) for moment in cat["moments"]]
        assert spans == [(0.0, 10.0), (20.0, 30.0)]
        assert cat["moments"][0]["score"] > cat["moments"][1]["score"]
        assert answer["why"][0]["part"] == "cat" and cat["why"]["parts"][0]["part"] == "cat"
        assert "why" not in client.get("/api/recommend", params={"q": "cat"}).json()


def test_a_path_is_a_text(films: Settings) -> None:
    with serving(films) as client:
        for path in ("/etc/hostname", "cat.mp4", "~/x.mp4", "file:///etc/passwd"):
            text = f"{path} red"
            answer = client.get("/api/recommend", params={"q": text, "like": text})
            assert names(answer)[0] == "wall.avi" and answer.json()["query"] == f"{text} + {text}"


def test_the_library_can_be_looked_through(films: Settings) -> None:
    with serving(films) as client:
        page = client.get("/api/videos", params={"offset": 1, "limit": 1}).json()
        assert page["total"] == 3 and [v["name"] for v in page["videos"]] == ["dog.mp4"]
        assert client.get("/api/videos", params={"label": "Cat"}).json()["total"] == 1
        whole = client.get(f"/api/videos/{id_of(client, 'cat.mp4')}").json()
        assert len(whole["moments"]) == 3 and whole["fields"] == {"year": 1999}
        status = client.get("/api/status").json()
        assert status["videos"] == 3 and status["takes"] == {
            "text": True, "image": False, "video": False,
        }  # fmt: skip
        assert {"label": "Dog", "count": 1} in status["labels"]
        assert status["fields"] == {"year": [1999]}
        first = client.get("/api/suggest").json()["suggestions"]
        assert first[:3] == ["Comedy", "Fantasy and Musical", "Sci-fi, dark tone"]
        assert "Cat" in client.get("/api/suggest", params={"q": "ca"}).json()["suggestions"]


def test_a_slow_embedder_holds_nobody_up(films: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(films, ["cat"])  # is known from now on
    slow, encode = threading.Event(), WordEmbedder._encode_texts

    def encoded(self: WordEmbedder, texts: Sequence[str]) -> Any:
        if "green" in texts:
            slow.wait(20)
        return encode(self, texts)

    monkeypatch.setattr(WordEmbedder, "_encode_texts", encoded)
    films.serve.timeout_sec = 3
    with serving(films) as client, ThreadPoolExecutor() as pool:
        waiting = [pool.submit(client.get, "/api/recommend?q=green") for _ in range(3)]
        time.sleep(0.2)
        assert names(client.get("/api/recommend?q=cat"))[0] == "cat.mp4"
        for late in waiting:
            answer = late.result()
            assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "busy")
        slow.set()


@pytest.mark.parametrize("kind", ["server", "edge"])
def test_it_is_the_same_with_qdrant(films: Settings, kind: str, tmp_path: Path) -> None:
    expected = ask(films, ["red cat"])
    with StandinQdrant() as qdrant:
        films.store.name = "qdrant"
        films.qdrant.url = qdrant.url if kind == "server" else None
        films.qdrant.path = tmp_path / "qdrant" if kind == "edge" else None
        index(films)
        with serving(films) as client:
            answer = client.get("/api/recommend?q=red cat")
            assert names(answer) == [row.filename for row in expected.results]
            assert answer.json()["results"][0]["poster"] and answer.json()["store"] == "qdrant"
            assert client.get("/api/status").json()["indexed"] == 9


def test_the_page_health_and_document_are_there(films: Settings) -> None:
    with serving(films) as client:
        assert client.get("/healthz").json() == {"ok": True}
        assert client.get("/").headers["content-type"].startswith("text/html")
        script = client.get("/page/main.js").headers
        assert script["cache-control"] == "no-cache" and "javascript" in script["content-type"]
        again = client.get("/page/main.js", headers={"If-None-Match": script["etag"]})
        assert again.status_code == 304 and again.headers["cache-control"] == "no-cache"
        assert "vidrec_requests_total" in client.get("/metrics").text
        document = client.get("/openapi.json").json()
        assert {"/api/recommend", "/media/{video_id}"} <= set(document["paths"])


@pytest.mark.parametrize("paid", [False, True])
def test_new_texts_fill_no_disk_but_what_was_paid_for_stays(
    films: Settings, monkeypatch: pytest.MonkeyPatch, paid: bool
) -> None:
    monkeypatch.setattr("vidrec.search.asked.MOST_UNPAID", 24)
    with Session(films) as session:
        monkeypatch.setattr(type(session.embedder), "paid", paid)
        for number in range(100):
            asked = [f"cat {number} {some}" for some in ("a", "b")]
            made = asked_texts(session.library, session.embedder, asked)
            assert len(made) == 2
        (kept,) = session.library.read("SELECT count(*) FROM queries")[0]
        assert kept == 200 if paid else 20 <= kept <= 24 + 3
