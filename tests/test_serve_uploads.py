"""What is sent to the server: clips and pictures to ask with, and all that is wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clips import plain, write_clip
from tests.serving import colours, films, serving
from tests.videos import write_sound
from tests.word_embedder import WordEmbedder
from vidrec.config import Settings

__all__ = ["colours", "films"]


def picture(colour: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(plain(colour)).save(file, "PNG")
    return file.getvalue()


def asked(client: httpx.Client, *files: tuple[str, bytes], **query: Any) -> httpx.Response:
    sent = [("file", file) for file in files]
    return client.post("/api/recommend", files=sent, data={"query": json.dumps(query)})


def best(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["results"][0]["name"])


def left_in(settings: Settings) -> list[Path]:
    return [path for path in settings.cache.glob("serve/run-*/uploads/*") if path.exists()]


def test_clips_and_pictures_are_asked_with_and_deleted(colours: Settings, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "other.mp4", plain("red"), seconds=3).read_bytes()
    with serving(colours) as client:
        answer = asked(client, ("my red.png", picture("red")), all=True)
        assert best(answer) == "red.mp4" and answer.json()["query"] == "my red.png"
        like_it = asked(client, ("../../x/clip.mp4", clip), all=True, why=True)
        assert "1 near copy of what was asked with" in like_it.json()["notes"][0]
        assert str(colours.cache) not in like_it.text and like_it.json()["query"] == "clip.mp4"
        # What it is called does not matter, nor does what it is said to be.
        assert best(asked(client, ("no ending", picture("blue")), all=True)) == "blue.mp4"
        assert best(asked(client, ("picture.mp4", picture("blue")), all=True)) == "blue.mp4"
        unlike = asked(
            client, ("a.png", picture("red")), ("b.png", picture("blue")), all=True,
            like=[{"upload": 1}], unlike=[{"upload": 0, "weight": 0.5}],
        )  # fmt: skip
        assert best(unlike) == "blue.mp4" and unlike.json()["query"] == "b.png - 0.5:a.png"
        assert left_in(colours) == []
    assert not list(colours.cache.glob("serve/run-*"))


def test_what_is_no_clip_or_picture_is_refused(colours: Settings, tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "sound.mp4").read_bytes()
    with serving(colours) as client:
        for name, data in {
            "x.mp4": b"#EXTM3U\nfile:///etc/passwd\n", "x.png": b"<svg/>", "x.jpg": b"",
            "x.gif": b"GIF89a", "x.pdf": b"%PDF-1.7", "x.mov": bytes(range(256)) * 20,
            "concat.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n", "sound.mp4": sound,
        }.items():  # fmt: skip
            answer = asked(client, (name, data))
            assert answer.status_code == 415, (name, answer.text)
            assert name in answer.text and str(colours.cache) not in answer.text
            assert left_in(colours) == []
        torn = (tmp_path / "clips" / "red.mp4").read_bytes()[:900]
        assert asked(client, ("torn.mp4", torn)).status_code == 415


def test_too_much_is_refused(colours: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    colours.serve.upload_mb = 1
    with serving(colours) as client:
        large = asked(client, ("x.mp4", bytes(1_200_000)))
        assert (large.status_code, large.json()["error"]["kind"]) == (413, "too_large")
        many = asked(client, *[(f"{n}.png", picture("red")) for n in range(9)])
        assert many.status_code == 400
        monkeypatch.setattr("vidrec.serve.uploads.MOST_MINUTES", 0.01)
        clip = (colours.library.parent / "clips" / "red.mp4").read_bytes()
        assert asked(client, ("long.mp4", clip)).status_code == 413
        assert left_in(colours) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b'{"q": 1}', b'{"q": "\\ud800"}', b'{"q": "a\\u0000b"}',
        b'{"k": 0}', b'{"q": "cat", "k": 1e400}', b'{"q": "cat", "k": 100000000000000000000}',
        b'{"q": "cat", "diversity": NaN}', b'{"q": "cat", "diversity": 2}', b'{"path": "/etc"}',
        b'{"q": "cat", "where": ["year"]}', b'{"q": "cat", "where": ["path=/etc/passwd"]}',
        b'{"q": "cat", "where": ["folder=/etc"]}', b'{"q": "cat", "where": ["nothing=1"]}',
        b'{"q": "cat", "where": ["filename ~ *a*a*a*a*a*a*a*a*a*b"]}',
        b'{"q": "cat", "where": ["added > yesterday"]}', b'{"q": "cat", "max_per": "label"}',
        b'{"like": [{"upload": 0}]}', b'{"like": [{"id": "zz"}]}', b'{"like": ["id:abcdef12"]}',
        b'{"like": [{"text": "cat", "id": "0000"}]}', b'{"like": [{}]}', b'{"like": ["  "]}',
        b'{"unlike": ["cat"]}', b'{"like": [{"text": "cat", "weight": -1}]}',
        b'{"like": [{"kind": "video", "value": "/etc/passwd"}]}', b"\xff\xfe", b"[" * 60_000,
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(body: bytes, server: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    answer = server.post("/api/recommend", content=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    error = answer.json()["error"]
    assert error["kind"] == "usage" and "\n" not in error["message"] and error["message"]
    assert "Traceback" not in answer.text and "/tmp" not in answer.text


def test_other_requests_that_mean_nothing(server: httpx.Client) -> None:
    for path in ("/api/videos?offset=-1", "/api/videos?limit=1000", "/api/videos?offset=1e9",
                 f"/api/videos?offset={10**30}", "/api/recommend?k=none", "/api/recommend",
                 "/api/recommend?q=cat&diversity=nan", "/api/recommend?q=cat&scope=all",
                 "/api/recommend?q=cat&where=%00", "/api/recommend?q=%ff%fe%00",
                 "/api/recommend?q=" + "x" * 2000):  # fmt: skip
        answer = server.get(path)
        assert answer.status_code in (400, 422), (path, answer.text)
        assert answer.json()["error"]["kind"] == "usage"
    assert server.get("/api/nothing").status_code == 404
    assert server.put("/api/recommend").status_code == 405
    assert server.request("TRACE", "/").status_code == 405
    text = server.post("/api/recommend", content=b"q=cat", headers={"Content-Type": "text/plain"})
    assert text.status_code == 415
    torn = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (
        b"--x\r\n",
        b"--y--",
        b"",
        b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--",
    ):
        answer = server.post("/api/recommend", content=body, headers=torn)
        assert answer.status_code in (400, 422), answer.text
    nameless = server.post(
        "/api/recommend", content=b"", headers={"Content-Type": "multipart/form-data"}
    )
    assert nameless.status_code == 400


@pytest.fixture
def server(films: Settings) -> Any:
    with serving(films) as client:
        yield client


def test_what_would_be_paid_for_needs_leave(
    films: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As marengo, whose texts are compared with vectors of several fingerprints.
    monkeypatch.setattr(WordEmbedder, "text_space", property(lambda self: "words:all:6"))
    with serving(films) as client:
        assert client.get("/api/recommend?q=red cat").status_code == 200  # is kept from now on
    monkeypatch.setattr(WordEmbedder, "paid", True)
    with serving(films) as client:
        refused = client.get("/api/recommend?q=blue dog")
        assert (refused.status_code, refused.json()["error"]["kind"]) == (402, "paid")
        assert client.get("/api/recommend?q=red cat").status_code == 200
        assert client.get("/api/status").json()["paid"] is True
    with serving(films, paid=2) as client:
        assert client.get("/api/recommend?q=dog&like=green&like=green").status_code == 200
        assert client.get("/api/recommend?q=dog").status_code == 200  # free by now
        used_up = client.get("/api/recommend?q=green red")
        assert used_up.status_code == 402 and "used up" in used_up.text
