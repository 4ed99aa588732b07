"""The page in a real browser: what is asked, seen, played, liked, and kept in the address."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Opener, address, browser, card, cards, search, shelf, visit
from tests.clips import photograph
from tests.serving import serving
from vidrec.config import Settings
from vidrec.ingest.embed import embed
from vidrec.ingest.index import index

__all__ = ["address", "browser", "shelf", "visit"]

MOMENT = "a rocket before its launch"
PLAYING = "() => { const v = document.querySelector('#player video'); return v && v.currentTime; }"
# A picture of what the video shows, as a handful of numbers.
PIXELS = """() => {
  const video = document.querySelector('#player video');
  const canvas = Object.assign(document.createElement('canvas'), { width: 32, height: 18 });
  const pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0, 32, 18);
  return [...pen.getImageData(0, 0, 32, 18).data].filter((_, i) => i % 4 < 3);
}"""


def picture(path: Path, name: str) -> Path:
    from PIL import Image

    Image.fromarray(photograph(name)).save(path)
    return path


def dropped(page: Page, path: Path, kind: str) -> None:
    """Drag a file of the disk over the page, and let it go."""
    page.evaluate("""() => {
      const input = Object.assign(document.createElement('input'), { type: 'file', id: 'carrier' });
      document.body.append(input);
    }""")
    page.set_input_files("#carrier", {"name": path.name, "mimeType": kind,
                                      "buffer": path.read_bytes()})  # fmt: skip
    page.evaluate("""() => {
      const carrier = document.getElementById('carrier');
      const transfer = new DataTransfer();
      transfer.items.add(carrier.files[0]);
      carrier.remove();
      const drag = (name) =>
        dispatchEvent(new DragEvent(name, { dataTransfer: transfer, cancelable: true }));
      ['dragenter', 'dragover'].forEach(drag);
      window.overlay = !document.getElementById('drop').hidden;
      drag('drop');
    }""")
    assert page.evaluate("window.overlay"), "it says where to drop"


def test_at_first_the_library_and_ideas_are_shown(visit: Opener) -> None:
    page = visit()
    assert len(cards(page)) == 9
    expect(page.locator("#summary")).to_have_text("9 videos")
    idea = page.locator("#ideas button").first
    expect(idea).to_have_text("Comedy")
    idea.click()
    expect(page).to_have_url(re.compile(r"\?q=Comedy$"))
    expect(page.get_by_role("combobox")).to_have_value("Comedy")


def test_a_query_gives_cards_in_the_order_of_the_answer(visit: Opener, address: str) -> None:
    page = visit()
    shown = search(page, "a cat")
    wanted = page.request.get(f"{address}/api/recommend?q=a+cat&k=12").json()["results"]
    assert shown == [row["name"].rsplit(".", 1)[0] for row in wanted]
    assert shown[0].startswith("cat")
    first = card(page, shown[0])
    expect(first.locator(".sure")).to_have_text(re.compile("Sure|Likely|Maybe"))
    expect(first.locator(".label")).to_have_text("Animals")
    image = first.locator("img")
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") > 0


def test_a_video_plays_from_its_matching_moment(visit: Opener) -> None:
    page = visit()
    search(page, MOMENT)
    made = card(page, "space-programme")
    expect(made.locator(".facts")).to_contain_text("from 0:03")
    made.locator(".play").click()
    expect(page.locator("#player-title")).to_have_text("space-programme")
    page.wait_for_function(f"() => ({PLAYING})() > 3.2")
    assert page.evaluate(PLAYING) < 6.1
    before = page.evaluate(PIXELS)
    page.wait_for_function(f"() => ({PLAYING})() > 4.2")
    after = page.evaluate(PIXELS)
    assert sum(abs(a - b) for a, b in zip(before, after, strict=True)) / len(after) > 0.5
    page.get_by_role("button", name="Copy the link").click()
    expect(page.locator("#toast")).to_contain_text("link")
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"launch$"))


def test_what_no_browser_plays_is_made_ready_and_plays(visit: Opener) -> None:
    page = visit()
    cards(page)
    card(page, "film").locator(".play").click()
    page.wait_for_function(f"() => ({PLAYING})() > 0.3")
    assert page.locator("#player video").evaluate("video => video.videoWidth") == 360


def test_a_preview_runs_while_the_pointer_rests_on_a_card(visit: Opener) -> None:
    page = visit()
    cards(page)
    made = card(page, "cat-pan")
    made.locator(".play").hover()
    video = made.locator("video.on")
    expect(video).to_have_js_property("muted", True)
    video.evaluate("v => new Promise((done) => v.requestVideoFrameCallback(() => done()))")
    page.mouse.move(2, 2)
    expect(made.locator("video")).to_have_count(0)


def test_likes_and_dislikes_refine_the_list_at_once(visit: Opener) -> None:
    page = visit("/?q=a+picture")
    before = cards(page)
    assert {"coffee-cup", "rocket-tower"} <= set(before)
    card(page, "coffee-cup").locator(".like").click()
    expect(card(page, "coffee-cup")).to_have_count(0)
    liked = cards(page)
    assert liked[0] in ("coffee-pan", "morning") and liked != before
    expect(page.locator(".chip.like")).to_contain_text("coffee-cup.mp4")
    card(page, "coffee-pan").locator(".dislike").click()
    expect(card(page, "coffee-pan")).to_have_count(0)
    assert cards(page) != [name for name in liked if name != "coffee-pan"]
    assert page.url.count("like=id:") == 2
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator(".chip")).to_have_count(0)
    assert cards(page) == before
    page.go_back()
    expect(card(page, "coffee-pan")).to_have_count(0)


def test_a_like_in_the_player_leads_on_to_the_next(visit: Opener) -> None:
    page = visit("/?q=a+cat")
    shown = cards(page)
    card(page, shown[0]).locator(".play").click()
    page.locator("#player .act.like").click()
    expect(page.locator(".chip.like")).to_have_count(1)
    expect(page.locator("#player-title")).to_have_text(shown[0])
    after = cards(page)
    assert shown[0] not in after
    page.get_by_role("button", name="Next result").click()
    expect(page.locator("#player-title")).to_have_text(after[0])
    page.get_by_role("button", name="Close the player").click()
    expect(page.locator("#player")).to_be_hidden()
    expect(page.locator(".chip.like")).to_have_count(1)


def test_more_like_this_asks_by_the_video(visit: Opener) -> None:
    page = visit("/?q=a+cat")
    cards(page)
    card(page, "cat-eyes").get_by_role("button", name="More like cat-eyes").click()
    expect(page.locator("#title")).to_have_text("More like cat-eyes.mp4")
    shown = cards(page)
    assert shown[0].startswith("cat") and "cat-eyes" not in shown
    expect(page.get_by_role("combobox")).to_have_value("")
    page.go_back()
    expect(page.locator("#title")).to_have_text("“a cat”")
    assert "cat-eyes" in cards(page)


def test_filters_narrow_the_list_and_can_be_taken_away(visit: Opener) -> None:
    page = visit("/?q=a+rocket")
    cards(page)
    page.get_by_role("button", name="Filters").click()
    page.locator("#filters").get_by_role("button", name="Drinks").click()
    expect(page.locator("#list .card")).to_have_count(2)
    expect(page).to_have_url(re.compile("where=label%3DDrinks|where=label=Drinks"))
    page.locator("#filters").get_by_role("button", name="Space").click()
    expect(page.locator("#list .card")).to_have_count(4)
    page.get_by_label("Year from").fill("1997")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(3)
    for _ in range(3):
        page.locator(".chip").first.get_by_role("button").click()
    expect(page.locator("#list .card")).to_have_count(9)


def test_variety_moments_and_a_shared_address(visit: Opener) -> None:
    page = visit("/?q=a+rocket")
    near = cards(page)
    page.get_by_role("slider", name="Variety").fill("1")
    expect(page).to_have_url(re.compile("diversity=1"))
    expect(page.locator(".variety output")).to_have_text("very varied")
    varied = cards(page)
    assert varied[0] == near[0] and varied != near
    page.get_by_label("Single moments").check()
    expect(page).to_have_url(re.compile("clips=1"))
    expect(page.locator("#summary")).to_contain_text("moment")
    other = visit(page.url.removeprefix(page.url.split("/?")[0]))
    assert cards(other) == cards(page)
    expect(other.get_by_label("Single moments")).to_be_checked()
    expect(other.get_by_role("slider", name="Variety")).to_have_value("1")


def test_a_link_opens_the_player_at_its_moment(visit: Opener, address: str) -> None:
    page = visit(f"/?q={MOMENT.replace(' ', '+')}")
    cards(page)
    card(page, "space-programme").locator(".play").click()
    expect(page).to_have_url(re.compile(r"v=[0-9a-f]{64}@3"))
    other = visit(page.url.removeprefix(address))
    other.wait_for_function(f"() => ({PLAYING})() > 3")
    expect(other.locator("#player .place")).to_contain_text("of 9")
    other.get_by_role("button", name="Close the player").click()
    expect(other.locator("#player")).to_be_hidden()
    assert "v=" not in other.url


@pytest.mark.parametrize("kind", ["image/png", "video/mp4"])
def test_a_picture_or_a_clip_is_dropped_in(
    visit: Opener, shelf: Settings, tmp_path: Path, kind: str
) -> None:
    page = visit()
    cards(page)
    if kind == "image/png":
        file = picture(tmp_path / "espresso.png", "coffee")
    else:
        file = shelf.library.parent / "clips" / "Drinks" / "coffee-pan.mp4"
    dropped(page, file, kind)
    expect(page.locator("#title")).to_have_text(f"Like {file.name}")
    assert cards(page)[0] in ("coffee-cup", "coffee-pan", "morning")
    expect(page.locator(".chip")).to_contain_text(file.name)
    page.go_back()
    expect(page.locator("#title")).to_have_text("In this library")
    page.go_forward()
    expect(page.locator("#title")).to_have_text(f"Like {file.name}")
    page.reload()
    expect(page.locator(".chip.lost")).to_contain_text("drop it in again")


def test_a_reason_is_told_when_it_is_asked_for(visit: Opener) -> None:
    page = visit("/?q=a+cat")
    first = cards(page)[0]
    made = card(page, first)
    made.locator(".whybutton").click()
    reasons = made.locator(".why")
    expect(reasons).to_contain_text("“a cat”")
    expect(reasons).to_contain_text("Seen in it:")
    page.keyboard.press("Escape")
    expect(made.locator(".why")).to_have_count(0)


def test_labels_are_shelves_while_nothing_is_asked(visit: Opener) -> None:
    page = visit()
    cards(page)
    page.locator("#shelves").get_by_role("button", name="Drinks").click()
    expect(page.locator("#title")).to_have_text("Drinks")
    expect(page.locator("#list .card")).to_have_count(2)
    page.locator("#shelves").get_by_role("button", name="Drinks").click()
    expect(page.locator("#list .card")).to_have_count(9)


def test_an_empty_library_fills_while_it_is_looked_at(
    visit: Opener, shelf: Settings, tmp_path: Path
) -> None:
    settings = shelf.model_copy(update={"library": tmp_path / "new"})
    embed(settings, [str(tmp_path)])
    with serving(settings) as client:
        page = visit(str(client.base_url))
        expect(page.locator(".notice")).to_contain_text("vidrec embed ~/Videos")
        embed(settings, [str(shelf.library.parent / "clips" / "Drinks")])
        index(settings)
        expect(page.locator("#list .card")).to_have_count(2)
        assert search(page, "coffee")[0].startswith("coffee")


def test_a_locked_page_opens_by_its_token(visit: Opener, shelf: Settings) -> None:
    with serving(shelf, token="a-token-of-twenty-let") as client:
        page = visit(f"{client.base_url}/?q=a+cat", forgiven="Failed to load resource")
        field = page.get_by_label("Token")
        expect(field).to_be_focused()
        field.fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator(".notice")).to_contain_text("That is not the token")
        field.fill("a-token-of-twenty-let")
        page.keyboard.press("Enter")
        expect(page.locator(".notice")).to_have_count(0)
        assert cards(page)[0].startswith("cat")
        page.locator(".play").first.click()
        page.wait_for_function(f"() => ({PLAYING})() > 0.2")


def test_where_nothing_fits_it_says_so_and_shows_the_nearest(visit: Opener) -> None:
    page = visit("/?q=tax+return+form")
    assert len(cards(page)) == 9
    expect(page.locator(".notice")).to_contain_text("Nothing fits well")
    page.get_by_text("In figures").click()
    expect(page.locator(".notice details p")).to_contain_text("below 0.25")
    none = visit("/?q=a+cat&where=label=Submarines")
    expect(none.locator(".notice")).to_contain_text("Nothing matches")
    none.get_by_role("button", name="Without filters").click()
    expect(none.locator("#list .card")).to_have_count(9)


def test_errors_are_told_and_got_over(visit: Opener) -> None:
    page = visit("/?q=a+cat&where=colour=red", forgiven="Failed to load resource")
    expect(page.get_by_role("alert")).to_contain_text("colour")
    page.locator(".chip button").click()
    assert cards(page)[0].startswith("cat")
    page.context.set_offline(True)
    search_box = page.get_by_role("combobox")
    search_box.fill("coffee")
    search_box.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("tries again by itself")
    page.context.set_offline(False)
    expect(page.locator("#list .card").first).to_be_visible()
    assert cards(page)[0].startswith("coffee")


def test_suggestions_are_chosen_by_the_keyboard(visit: Opener) -> None:
    page = visit()
    box = page.get_by_role("combobox")
    box.press_sequentially("dri")
    expect(page.get_by_role("option").first).to_have_text("Drinks")
    box.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "suggestion-0")
    box.press("Enter")
    expect(page.locator("#title")).to_have_text("“Drinks”")
