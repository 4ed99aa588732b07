"""The page in a real browser, under a path of a reverse proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser import Opener, browser, card, cards, search, shelf, visit
from tests.reverse_proxy import proxied
from tests.serving import serving
from tests.test_page import MOMENT, PLAYING
from vidrec.config import Settings

__all__ = ["browser", "shelf", "visit"]


@pytest.fixture
def address(shelf: Settings) -> Iterator[str]:
    """Where the proxy has the page."""
    named = {"root_path": "/films/mine", "proxies": ("127.0.0.1",)}
    settings = shelf.model_copy(update={"serve": shelf.serve.model_copy(update=named)})
    with (
        serving(settings) as inside,
        proxied(int(inside.base_url.port or 0), "/films/mine", strips=True, scheme="http") as path,
    ):
        yield path


def test_all_that_the_page_does_lies_under_the_path(visit: Opener, address: str) -> None:
    page = visit("")  # without the last slash
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(page).to_have_url(f"{address}/")
    assert len(cards(page)) == 9
    assert search(page, MOMENT)
    expect(page).to_have_url(re.compile(r"/films/mine/\?q=a\+rocket"))
    made = card(page, "space-programme")
    image = made.locator("img")
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") > 0
    made.locator(".play").click()
    page.wait_for_function(f"() => ({PLAYING})() > 3.2")
    shared = page.url
    page.go_back()
    expect(page.locator("#player")).to_be_hidden()
    again = visit(shared)
    again.wait_for_function(f"() => ({PLAYING})() > 3.2")
    page.locator("a.brand").click()
    expect(page).to_have_url(f"{address}/")
    assert {urlsplit(url).path[:12] for url in asked if url.startswith("http")} == {"/films/mine/"}
    kinds = {urlsplit(url).path.split("/")[3] for url in asked if url.startswith("http")}
    assert {"api", "media", "poster"} <= kinds
