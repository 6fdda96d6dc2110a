"""The look of the page: every view for everyone, in both themes and at any width; its pictures are made on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.driving import Visit, as_new, brightness, count_libraries, leave, open_in_voila, visit
from tests.browser.test_page import FC1, another_recipe, cell, choose, measured
from tests.browser.walk import PICTURES, SCENES, SIZES, TO_TOP, VIEWS, close_load, frame, look_at, open_view, take

TALL = 2600
"""A window that holds every view: what a page's own scroll bar hides is in no picture."""
WIDTHS = (360, 768, 1440, 2560, 3840)
PLACE = """(cell) => {
    // Within the map: a warning in a number card moves all of it down.
    const [inner, outer] = [cell, cell.closest(".px-map")].map((one) => one.getBoundingClientRect());
    return [inner.x - outer.x, inner.y - outer.y];
}"""
STILL_PX = 7
"""A quarter of a cell's height: a click that was aimed at a cell still hits it, and not its neighbour."""
MOVING = "() => document.getAnimations().map(({ effect }) => effect.target?.className ?? '')"
TOO_WIDE = """() => {
    const wide = document.documentElement.clientWidth;
    const scrolls = (one) => one && (getComputedStyle(one).overflowX !== "visible" || scrolls(one.parentElement));
    return [...document.querySelectorAll(".px-page *")].filter((one) => {
        const box = one.getBoundingClientRect();
        return box.width && box.height && box.right > wide + 1 && !scrolls(one.parentElement);
    }).map((one) => `${one.tagName} ${one.className}`);
}"""


@pytest.fixture(scope="module")
def walked(browser: Browser, voila: str) -> Iterator[tuple[Visit, list[int]]]:
    """A page for someone who wants no motion, and the sizes of the messages that can only be plotly."""
    width, height = SIZES["wide"]
    seen = visit(browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce"))
    libraries = count_libraries(seen.page)
    open_in_voila(seen.page, voila)
    yield seen, libraries
    leave(seen.page)


def test_every_view_by_day_and_by_night(walked: tuple[Visit, list[int]], request: pytest.FixtureRequest) -> None:
    """Opened one after another: nothing serious for axe in either theme, no request elsewhere, no error, one plotly."""
    seen, libraries = walked
    page = seen.page
    if getattr(request.node, "execution_count", 1) > 1:  # a first try left the page in the middle of something
        close_load(page)
        as_new(page)
    place = cell(page, FC1, "int8").evaluate(PLACE)
    _choose_all(page)
    assert page.evaluate(MOVING) == [], "something moves although no motion is wanted"
    for view in VIEWS:
        open_view(page, view)
    look_at(page, lambda theme, size: _keep(page, theme, size))
    assert brightness(page) < 0.35
    close_load(page)
    assert cell(page, FC1, "int8").evaluate(PLACE) == pytest.approx(place, abs=STILL_PX), "the map's cells moved"
    assert len(libraries) == 1, "plotly was fetched more than once"
    assert (seen.foreign, seen.errors) == ([], [])


def test_nothing_leaves_the_window_at_any_width(walked: tuple[Visit, list[int]]) -> None:
    page = walked[0].page
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 1000})
        assert page.evaluate("() => document.scrollingElement.scrollWidth") <= width
        assert page.evaluate(TOO_WIDE) == [], f"at {width} px"


def _choose_all(page: Page) -> None:
    """A recipe that every view has something to say of; for pictures a whole preset, measured."""
    if PICTURES:
        with another_recipe(page):
            page.get_by_test_id("preset").select_option("int8-dynamic")
        measured(page)
    choose(page, FC1, "int8_static" if PICTURES else "int8")


def _keep(page: Page, theme: str, size: str) -> None:
    """The page's pictures in one theme and size: of the whole page alone, where no others are wanted."""
    close_load(page)
    for scene in SCENES if PICTURES else SCENES[:1]:
        page.evaluate(TO_TOP)
        with scene.shown(page):
            take(page, page, f"{scene.name}-{theme}-{size}")
    page.set_viewport_size({"width": SIZES[size][0], "height": TALL})
    open_view(page, VIEWS[0])
    for view in VIEWS if PICTURES else ():
        take(page, frame(page, view), f"{view.name}-{theme}-{size}")
