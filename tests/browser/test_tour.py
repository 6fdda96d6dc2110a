"""The tour followed to its end by hand, and presenter mode: what a newcomer and a teacher do first."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.test_page import MEASURE_MS

Open = Callable[..., Page]
SEARCH_MS = 150_000
"""A search waits for the map of a model that was just opened; other tests may share the two cores."""
RESTED = """() => {
    const now = document.querySelector(".px-tour-ring").style.cssText;
    const still = now === window.pxRing;
    window.pxRing = now;
    return still && now;
}"""


def _at(page: Page, place: str, timeout: float | None = None) -> Locator:
    """The callout, once it points at a place."""
    card = page.get_by_test_id("tour-card")
    expect(card).to_have_attribute("data-at", place, timeout=timeout)
    return card


def _next(page: Page) -> None:
    page.get_by_test_id("tour-next").click()


def _pointed_at(page: Page) -> tuple[float, float]:
    """The middle of the outline, once it has come to rest on its target, which numbers that come move no more."""
    expect(page.get_by_test_id("numbers")).to_have_attribute("aria-busy", "false", timeout=MEASURE_MS)
    page.wait_for_function(RESTED, polling=150)
    box = page.locator(".px-tour-ring").bounding_box()
    card = page.get_by_test_id("tour-card").bounding_box()
    assert box is not None and card is not None
    apart = card["y"] >= box["y"] + box["height"] or card["y"] + card["height"] <= box["y"]
    assert apart or card["x"] >= box["x"] + box["width"] or card["x"] + card["width"] <= box["x"]
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_tour_is_followed_to_its_end_and_taken_back(open_page: Open) -> None:
    page = open_page("voila")
    recipe = page.get_by_test_id("recipe")
    start = recipe.get_attribute("data-hash") or ""
    page.get_by_test_id("tour-start").click()
    expect(_at(page, "row").get_by_test_id("tour-next")).to_be_focused()
    page.keyboard.press("ArrowRight")
    _at(page, "cell")
    page.mouse.click(*_pointed_at(page))
    _at(page, "cost")
    expect(recipe).not_to_have_attribute("data-hash", start)
    _next(page)
    _at(page, "castsHead")
    page.mouse.click(*_pointed_at(page))
    expect(_at(page, "castsList")).to_contain_text("cast")
    _next(page)
    _at(page, "searchHead")
    page.get_by_test_id("tour-show").click()
    _at(page, "searchStart")
    page.get_by_test_id("search-objective").select_option("memory")
    page.get_by_test_id("search-start").click()
    _at(page, "slider", SEARCH_MS)
    page.get_by_test_id("search-budget").press("ArrowLeft")
    _at(page, "proposal")
    _next(page)
    page.get_by_test_id("tour-show").click()
    _at(page, "historyStart")
    page.mouse.click(*_pointed_at(page))
    _at(page, "share")
    expect(page.get_by_test_id("tour-next")).to_have_text("Finish")
    expect(page.get_by_test_id("tour-skip")).to_be_hidden()
    expect(recipe).to_have_attribute("data-hash", start)
    _next(page)
    expect(page.get_by_test_id("tour-card")).to_have_count(0)
    page.get_by_test_id("tour-undo").click()
    for name in ("Casts", "Search", "History"):
        expect(page.locator(f'[data-testid^="section:{name}"]')).to_have_attribute("aria-expanded", "false")
    expect(page.get_by_test_id("tour-offer")).to_be_hidden()

    # Presenter mode: everything is larger, and a click still lands on the cell that it is aimed at.
    row = page.locator(".px-body .px-op").first
    before = row.bounding_box()
    page.keyboard.press("p")
    expect(recipe).to_be_hidden()
    after = row.bounding_box()
    assert before and after and after["height"] > 1.3 * before["height"]
    chosen = row.locator("[data-state=real]:not([data-chosen])").first
    name = chosen.get_attribute("data-testid") or ""
    chosen.click()
    expect(page.get_by_test_id(name)).to_have_attribute("data-chosen", "true")
    page.keyboard.press("Escape")
    expect(recipe).to_be_visible()


def test_a_word_that_slides_under_a_resting_pointer_says_nothing(open_page: Open) -> None:
    """When the tour's offer goes, the page moves up by its height; what is then under the pointer was not asked."""
    page = open_page("voila")
    expect(page.get_by_test_id("tour-offer")).to_be_visible()
    offer = page.get_by_test_id("tour-offer").bounding_box()
    word = page.locator("[data-testid=delta-memory] .px-explained").bounding_box()
    assert offer and word
    tip = page.locator(".px-tip:visible", has_text="weights")
    page.mouse.move(word["x"] + 5, word["y"] + 5 - offer["height"])
    page.get_by_test_id("tour-later").evaluate("(button) => button.click()")
    expect(page.get_by_test_id("tour-offer")).to_be_hidden()
    page.wait_for_function("() => document.querySelector('[data-testid=delta-memory] .px-explained').matches(':hover')")
    expect(tip).to_have_count(0)
    page.mouse.move(word["x"] + 9, word["y"] + 5 - offer["height"])
    expect(tip).to_have_count(1)
