"""Behind a reverse proxy: under a path of another server, with what the proxy tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.reverse_proxy import proxied
from tests.serving import films, serving
from vidrec.config import Settings

__all__ = ["films"]
TOKEN = "a token of many letters"


def at_path(settings: Settings, **more: object) -> Settings:
    named = {"root_path": "/vidrec", "proxies": ("127.0.0.1",), **more}
    return settings.model_copy(update={"serve": settings.serve.model_copy(update=named)})


@contextmanager
def behind(settings: Settings, *, strips: bool = True) -> Iterator[httpx.Client]:
    """Serve with a token behind a proxy; give a client of the proxy, whom the link has let in."""
    with (
        serving(settings, token=TOKEN) as inside,
        proxied(int(inside.base_url.port or 0), "/vidrec", strips=strips) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        assert client.get("/api/status").status_code == 401
        link = client.get("/", params={"token": TOKEN, "q": "cat"})
        assert link.status_code == 303 and link.headers["location"] == "/vidrec/?q=cat"
        told = link.headers["set-cookie"]
        client.headers["Cookie"] = told.partition(";")[0]
        client.headers["X-Test-Cookie"] = told
        yield client


@pytest.mark.parametrize("strips", [True, False])
def test_page_answers_and_videos_lie_under_the_path(films: Settings, strips: bool) -> None:
    with behind(at_path(films), strips=strips) as client:
        cookie = client.headers["X-Test-Cookie"]
        assert "Path=/vidrec;" in cookie and "Secure" in cookie and "HttpOnly" in cookie
        page = client.get("/").text
        assert 'src="page/main.js"' in page and '"/' not in page
        assert client.get("/page/main.js").status_code == 200
        (row, *_) = client.get("/api/recommend", params={"q": "cat"}).json()["results"]
        (listed, *_) = client.get("/api/videos").json()["videos"]
        host = str(client.base_url).removesuffix("/vidrec/")
        for where in (row["media"], row["poster"], row["href"], listed["media"], listed["href"]):
            assert where.startswith("/vidrec/")
            assert client.get(host + where).status_code == 200
        piece = client.get(host + row["media"], headers={"Range": "bytes=0-9"})
        assert piece.status_code == 206 and len(piece.content) == 10
        document = client.get("/openapi.json").json()
        assert document["servers"] == [{"url": "/vidrec"}]


def test_an_address_without_the_last_slash_leads_to_the_page(films: Settings) -> None:
    with serving(at_path(films)) as client:
        bare = client.get("/vidrec")
        assert bare.status_code == 308 and bare.headers["location"] == "/vidrec/"
        assert client.get("/vidrec/").text == client.get("/").text
        assert client.get("/vidrecommend").status_code == 404


def test_other_sites_and_names_are_refused_through_the_proxy_too(films: Settings) -> None:
    with behind(at_path(films, allowed_hosts=("videos.example.com",))) as client:
        own = {"Host": "videos.example.com", "Origin": "https://videos.example.com"}
        for headers, status in [
            (own, 200),
            ({**own, "Origin": "https://evil.example"}, 403),
            ({**own, "Host": "evil.example"}, 421),
            # What a client says of itself in the proxy's words changes no name.
            ({**own, "Host": "evil.example", "X-Forwarded-Host": "videos.example.com"}, 421),
        ]:
            answer = client.post("/api/recommend", json={"q": "cat"}, headers=headers)
            assert answer.status_code == status, (headers, answer.text)


def test_who_is_no_proxy_is_not_believed(films: Settings) -> None:
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.9"}
    for proxies, secure in [((), False), (("192.0.2.1",), False), (("127.0.0.1",), True)]:
        settings = at_path(films, proxies=proxies, rate=1)
        with serving(settings, token=TOKEN) as client:
            link = client.get("/", params={"token": TOKEN}, headers=told)
            assert ("Secure" in link.headers["set-cookie"]) is secure
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            asked = [
                client.get(
                    "/api/recommend", params={"q": "cat"},
                    headers={**bearer, "X-Forwarded-For": f"192.0.2.{number}"},
                ).status_code
                for number in (10, 11)
            ]  # fmt: skip
            assert asked == ([200, 200] if secure else [200, 429])
