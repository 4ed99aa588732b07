"""The page for everybody: by the keyboard alone, dark, on a phone, and for a screen reader."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Opener, address, browser, card, cards, shelf, visit

__all__ = ["address", "browser", "shelf", "visit"]

axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
RULES = {
    "runOnly": {
        "type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    }
}  # fmt: skip


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG AA, each with the first place."""
    page.wait_for_timeout(400)  # what fades in has come
    found = axe.run(page, options=RULES).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.getAttribute('aria-label') || ''")


def test_the_keyboard_alone_will_do(visit: Opener) -> None:
    page = visit()
    cards(page)
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("a cat")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("“a cat”")
    shown = cards(page)
    for _ in range(30):  # past the box's own buttons and the filters
        page.keyboard.press("Tab")
        if focused(page).startswith(f"Play {shown[0]}"):
            break
    assert focused(page).startswith(f"Play {shown[0]}")
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith(f"Play {shown[1]}")
    page.keyboard.press("Enter")
    expect(page.locator("#player-title")).to_have_text(shown[1])
    page.keyboard.press("n")
    expect(page.locator("#player-title")).to_have_text(shown[2])
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    assert focused(page).startswith("Play "), "the focus returns to the list"
    page.keyboard.press("l")
    expect(page.locator(".chip.like")).to_have_count(1)
    cards(page)
    assert focused(page).startswith("Play "), "the focus goes to the card that took the place"
    page.keyboard.press("/")
    expect(page.get_by_role("combobox")).to_be_focused()


def test_keys_of_one_letter_can_be_switched_off(visit: Opener) -> None:
    page = visit("/?q=a+cat")
    first = cards(page)[0]
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Use keys of a single letter").uncheck()
    page.get_by_role("button", name="Close").click()
    card(page, first).locator(".play").focus()
    page.keyboard.press("l")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".chip")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_axe_finds_nothing(visit: Opener, scheme: str, size: str) -> None:
    options = {"color_scheme": scheme, **(PHONE if size == "phone" else {})}
    page = visit("/", **options)
    cards(page)
    assert violations(page) == []
    page = visit("/?q=a+cat&where=label=Animals&where=label=Space&unlike=coffee", **options)
    first = cards(page)[0]
    page.get_by_role("button", name=re.compile("filters?$")).click()
    card(page, first).locator(".whybutton").click()
    assert violations(page) == []
    card(page, first).locator(".play").click()
    expect(page.locator("#player .small").first).to_be_visible()
    assert violations(page) == []
    page = visit("/?q=tax+return+form", **options)
    cards(page)
    assert violations(page) == []


def test_dark_is_dark_and_the_switch_is_remembered(visit: Opener) -> None:
    light = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)"
    lightness = f"Math.max(...{light}.map(Number))"
    page = visit(color_scheme="dark")
    assert page.evaluate(lightness) < 40
    page.get_by_role("button", name=re.compile("Theme: as the system")).click()
    assert page.evaluate(lightness) > 220
    page.reload()
    assert page.evaluate(lightness) > 220
    page.get_by_role("button", name=re.compile("Theme: light")).click()
    assert page.evaluate(lightness) < 40


def test_a_phone_shows_it_all_without_scrolling_sideways(visit: Opener) -> None:
    page = visit("/?q=a+cat", **PHONE)
    first = cards(page)[0]
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) == 0
    small = page.locator("#list .act, #list .play").evaluate_all(
        "all => all.filter((one) => Math.min(one.offsetWidth, one.offsetHeight) < 40).length"
    )
    assert small == 0, "a finger hits every button"
    page.get_by_role("button", name="Filters").tap()
    assert page.evaluate(wide) == 0
    card(page, first).locator(".play").tap()
    expect(page.locator("#player")).to_be_visible()
    box = page.locator("#player").bounding_box()
    assert box is not None and (box["width"], box["height"]) == (360, 740)
    page.wait_for_function("() => document.querySelector('#player video').currentTime > 0.2")


def test_nothing_moves_when_pictures_and_answers_come(visit: Opener) -> None:
    page = visit("/?q=a+cat")
    page.evaluate("""() => {
      window.moved = 0;
      new PerformanceObserver((list) => {
        for (const one of list.getEntries()) if (!one.hadRecentInput) window.moved += one.value;
      }).observe({ type: 'layout-shift', buffered: true });
    }""")
    cards(page)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)
    assert page.evaluate("window.moved") < 0.1  # what is called good
