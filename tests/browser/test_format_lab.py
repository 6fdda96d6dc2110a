"""The format lab in a real browser: a number typed, bits clicked, values taken from the grid, by day and by night."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.driving import PAGE_MS, Visit, leave, serving, visit
from tests.browser.walk import look_at, take

READY = "[data-testid=format-lab][data-ready=true]"


@pytest.fixture(scope="module")
def address(free_port: Callable[[], int]) -> Iterator[str]:
    """The address of the page on number formats, as ``explorer demo --page formats`` serves it."""
    with serving(["demo", "--page", "formats", "--port", str(free_port())]) as found:
        yield found


@pytest.fixture
def open_lab(address: str, visits: Callable[..., Visit]) -> Callable[..., Page]:
    def opened(query: str = "", **size: int) -> Page:
        page = visits(**size).page
        page.goto(address + query)
        expect(page.locator(READY)).to_be_visible(timeout=PAGE_MS)
        return page

    return opened


def value(page: Page, name: str) -> Locator:
    return page.get_by_test_id(f"value:{name}")


def test_a_number_through_every_format(open_lab: Callable[..., Page]) -> None:
    page = open_lab()
    number = page.get_by_test_id("number-input")
    expect(value(page, "fp32")).to_have_text("0.100000001490116119384765625")
    expect(page.get_by_test_id("bit:fp16:31")).to_have_count(0)

    _bits(page, number)
    _bad_input(page, number)
    _grid(page, number)
    _sections(page)
    look_at(page, lambda theme, size: take(page, page, f"lab-{theme}-{size}"))


def _bits(page: Page, number: Locator) -> None:
    """A click on a bit, a step to a neighbour, and the same by keyboard alone."""
    sign = page.get_by_test_id("bit:fp16:0")
    expect(sign).to_have_attribute("aria-pressed", "false")
    sign.click()
    expect(sign).to_have_attribute("aria-pressed", "true")
    expect(value(page, "fp16")).to_have_text("−0.0999755859375")
    expect(value(page, "fp8_e4m3")).to_have_text("−0.1015625")
    expect(number).to_have_value("-0.0999755859375")
    page.get_by_test_id("neighbour-above:fp8_e4m3").click()
    expect(value(page, "fp8_e4m3")).to_have_text("−0.09375")
    page.get_by_test_id("bit:int8:0").focus()
    for key in ("End", "Space"):
        page.keyboard.press(key)
    expect(value(page, "int8")).to_have_text("1")
    expect(page.get_by_test_id("bit:int8:7")).to_be_focused()


def _bad_input(page: Page, number: Locator) -> None:
    """What is no number is explained, kept in its field, and changes nothing."""
    number.fill("1/0")
    expect(page.get_by_test_id("number-error")).to_contain_text("divides by zero")
    page.get_by_test_id("format:uint4").click()
    expect(value(page, "uint4")).to_have_text("1")
    expect(number).to_have_value("1/0")
    expect(value(page, "int8")).to_have_text("1")
    number.fill("70000")
    expect(page.get_by_test_id("number-error")).to_be_empty()
    expect(value(page, "fp16")).to_have_text("65504")
    page.get_by_test_id("saturate").uncheck()
    expect(value(page, "fp16")).to_have_text("Inf")
    expect(value(page, "fp8_e4m3")).to_have_text("NaN")
    page.get_by_test_id("rounding").select_option("toward_zero")
    expect(value(page, "fp16")).to_have_text("65504")
    expect(value(page, "fp8_e4m3")).to_have_text("448")
    page.get_by_test_id("rounding").select_option("nearest")


def _grid(page: Page, number: Locator) -> None:
    """A click in a lane takes the nearest value; the arrow keys step; zooming shows less of the axis."""
    page.get_by_test_id("try:0.1").click()
    expect(number).to_have_value("0.1")
    grid = page.get_by_test_id("value-grid")
    lane = page.get_by_test_id("lane:fp4_e2m1")
    lane.scroll_into_view_if_needed()
    page.get_by_test_id("format:fp6_e3m2").click()
    expect(page.get_by_test_id("lane:fp6_e3m2")).to_be_visible()
    page.get_by_test_id("grid-range").select_option("eight")
    low, high = float(grid.get_attribute("data-lo") or "nan"), float(grid.get_attribute("data-hi") or "nan")
    assert -20 < low < -4 and 8 < high < 20
    box = lane.bounding_box()
    assert box
    lane.click(position={"x": box["width"] - 60, "y": box["height"] / 2})
    expect(value(page, "fp4_e2m1")).to_have_text("6")
    expect(number).to_have_value("6")
    lane.focus()
    page.keyboard.press("ArrowLeft")
    expect(number).to_have_value("4")
    page.keyboard.press("+")
    expect(grid).not_to_have_attribute("data-lo", f"{low:.3f}")
    near = grid.get_attribute("data-lo") or ""
    lane.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, 100)
    page.keyboard.up("Control")
    expect(grid).not_to_have_attribute("data-lo", near)


def _sections(page: Page) -> None:
    section = page.get_by_test_id(re.compile("^section:Type promotion"))
    expect(section).to_have_attribute("aria-expanded", "false")
    section.click()
    expect(section).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".px-promotion").first).to_be_visible()
    page.get_by_test_id("section:Add a long sum").click()
    lab = page.get_by_test_id("format-lab")  # the lesson below it shows a long sum of its own
    expect(lab.get_by_test_id("sum-words")).to_contain_text("BF16 stands still after 276 terms", timeout=PAGE_MS)
    expect(lab.locator(".px-experiment .js-plotly-plot .scatterlayer .trace").nth(2)).to_be_visible(timeout=PAGE_MS)
    _saves(lab.locator(".px-section").filter(has_text="Add a long sum"))


def _saves(section: Locator) -> None:
    """A drawn plot is saved by the browser alone, and its table by Python."""
    plot = section.get_by_test_id("plot")
    expect(plot).to_have_attribute("data-state", "ready")
    for kind, start in (("svg", "<svg"), ("csv", ",series,x,y")):
        with section.page.expect_download() as found:
            section.get_by_test_id(f"save-{kind}").click()
        assert found.value.suggested_filename == f"long-sum.{kind}"
        assert Path(found.value.path()).read_text(encoding="utf-8").startswith(start)


def test_narrow_and_dark(open_lab: Callable[..., Page]) -> None:
    page = open_lab("?theme=dark", width=400, height=900)
    assert page.evaluate("() => document.scrollingElement.scrollWidth") <= 400
    bit = page.get_by_test_id("bit:fp32:31")
    bit.click()
    expect(bit).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_test_id("landing:bf16")).to_be_visible()
    panel, ink = page.evaluate(
        """() => {
            const style = getComputedStyle(document.querySelector(".px-bitsview > .px-panel"));
            const probe = document.createElement("canvas").getContext("2d");
            return [style.backgroundColor, style.color].map((colour) => {
                probe.fillStyle = colour;
                probe.fillRect(0, 0, 1, 1);
                return probe.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((sum, part) => sum + part / 765, 0);
            });
        }"""
    )
    assert panel < 0.3
    assert ink > 0.7


def test_a_finger_is_told_what_it_can_do(address: str, browser: Browser) -> None:
    """It cannot hover and has no wheel; a tap takes the value that it hits."""
    seen = visit(browser.new_context(viewport={"width": 400, "height": 900}, has_touch=True, is_mobile=True))
    page = seen.page
    page.goto(address)
    expect(page.locator(READY)).to_be_visible(timeout=PAGE_MS)
    head = page.locator(".px-head", has_text="The values of each format")
    expect(head.get_by_text("tap a value to take it")).to_be_visible()
    expect(head.get_by_text("hover for a value")).to_be_hidden()
    lane = page.get_by_test_id("lane:fp4_e2m1")
    lane.scroll_into_view_if_needed()
    before = page.get_by_test_id("number-input").input_value()
    box = lane.bounding_box()
    assert box
    lane.tap(position={"x": box["width"] - 40, "y": box["height"] / 2})
    expect(page.get_by_test_id("number-input")).not_to_have_value(before)
    leave(page)
    assert seen.errors == []
