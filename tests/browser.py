"""A real browser on a real server, over a small library of rendered clips.

The browser is Debian's Chromium (or what VIDREC_TEST_CHROMIUM names), driven by Playwright. Where
it is not installed the tests are skipped and say so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.serving import serving
from tests.tiny_video import write_video
from vidrec.config import Settings, load_settings
from vidrec.ingest.embed import EmbedOptions, embed
from vidrec.ingest.index import index
from vidrec.library import Library

CLIPS = (
    "Animals/cat-eyes.mp4", "Animals/cat-pan.mp4", "Drinks/coffee-cup.mp4",
    "Drinks/coffee-pan.mp4", "Space/rocket-launch-pad.mp4", "Space/rocket-tower.mp4",
    "Mixed/morning.mp4", "Mixed/space-programme.mp4",
)  # fmt: skip
OLD_FILM = "Old/film.avi"  # MPEG-4 in AVI: no browser plays it as it is
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-quic",
)  # fmt: skip
PATIENCE = 30_000  # milliseconds: the machine may be busy
NAMES = ("chromium", "chromium-browser", "google-chrome")

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, prepared_models: Path) -> Settings:
    """An indexed library of clips whose moments, labels and years are known."""
    demo_clips = pytest.importorskip("vidrec.datasets.demo_clips")
    pytest.importorskip("skimage")
    root = tmp_path_factory.mktemp("shelf")
    photographs = demo_clips.photographs()
    for clip in demo_clips.CLIPS:
        if clip.path in CLIPS:
            demo_clips.render_clip(clip, root / "clips", photographs)
    write_video(root / "clips" / OLD_FILM, seconds=3, fps=12)
    chosen = {
        "library": root / "library", "cache": prepared_models, "embedder.name": "conse",
        "store.name": "knn", "embedder.clip_seconds": 3, "serve.rate": 100_000,
    }  # fmt: skip
    settings = load_settings(overrides=chosen)
    embed(settings, [str(root / "clips")], EmbedOptions())
    with Library(settings.library) as library:
        films = sorted(library.videos(), key=lambda video: video.filename)
        library.set_fields((film.id, {"year": 1990 + i}) for i, film in enumerate(films))
    index(settings)
    return settings


@pytest.fixture(scope="module")
def address(shelf: Settings) -> Iterator[str]:
    """Where the library is served."""
    with serving(shelf) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    wished = os.environ.get("VIDREC_TEST_CHROMIUM")
    found = wished or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here: `apt-get install chromium`, or set VIDREC_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


Opener = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Opener]:
    """Open a path of the page; in the end no console may have told of an error.

    What the browser itself logs of an answer that a test asks for is named by ``forgiven``.
    """
    contexts: list[BrowserContext] = []
    troubles: list[str] = []

    def open_page(path: str = "/", *, forgiven: str = "\0", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)

        def heard(kind: str, text: str) -> None:
            if kind in ("error", "warning") and forgiven not in text:
                troubles.append(text)

        page.on("console", lambda message: heard(message.type, message.text))
        page.on("pageerror", lambda error: heard("error", str(error)))
        page.goto(path if path.startswith("http") else address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def cards(page: Page) -> list[str]:
    """The titles of the list, when it has come to rest."""
    expect(page.locator("#list")).to_have_attribute("aria-busy", "false")
    return page.locator("#list .name").all_inner_texts()


def search(page: Page, text: str) -> list[str]:
    """Type a text and press Enter; return the titles that come."""
    page.get_by_role("combobox").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text(f"“{text}”")
    return cards(page)


def card(page: Page, name: str) -> Any:
    """The card of a title."""
    return page.locator("#list .card", has=page.locator(f"h3:text-is('{name}')"))
