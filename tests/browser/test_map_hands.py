"""Hands on the precision map: a column painted in one go, and everything else without a mouse."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.test_page import measured

Open = Callable[..., Page]
QKV, PROJ, FC1 = "blocks.0.attn.qkv/linear", "blocks.0.attn.proj/linear", "blocks.0.mlp.fc1/linear"
MEASURE_MS = 60_000


def cell(page: Page, op: str, precision: str) -> Locator:
    return page.get_by_test_id(f"cell:{op}:{precision}")


def press_and_drag(page: Page, start: Locator, end: Locator) -> None:
    start.scroll_into_view_if_needed()
    a, b = start.bounding_box(), end.bounding_box()
    assert a and b
    page.mouse.move(a["x"] + 8, a["y"] + 8)
    page.mouse.down()
    page.mouse.move(a["x"] + 10, a["y"] + 30, steps=3)
    page.mouse.move(b["x"] + 10, b["y"] + 8, steps=4)


def test_a_drag_along_a_column_is_one_change(shared_page: Open) -> None:
    page = shared_page("voila")
    measured(page)  # numbers that still come may move the map below them away from a pointer
    press_and_drag(page, cell(page, QKV, "int8"), cell(page, FC1, "int8"))
    expect(cell(page, PROJ, "int8")).to_have_attribute("data-paint", "yes")
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(cell(page, PROJ, "int8")).not_to_have_attribute("data-paint", "yes")
    expect(cell(page, QKV, "fp32")).to_have_attribute("data-chosen", "true")

    press_and_drag(page, cell(page, QKV, "int8"), cell(page, FC1, "int8"))
    page.mouse.up()
    for op in (QKV, PROJ, FC1):
        expect(cell(page, op, "int8")).to_have_attribute("data-chosen", "true")
    expect(page.get_by_test_id("map-said")).to_contain_text(re.compile(r"3 ops set to int8.*\d+ skipped"))
    page.get_by_test_id("undo").click()
    for op in (QKV, PROJ, FC1):
        expect(cell(page, op, "fp32")).to_have_attribute("data-chosen", "true")


def test_rows_are_marked_locked_opened_and_copied_by_key(shared_page: Open) -> None:
    page = shared_page("voila")
    said = page.get_by_test_id("map-said")
    page.get_by_test_id("filter").fill("blocks.0.mlp")
    page.get_by_test_id("filter").press("ArrowDown")
    page.keyboard.press("End")
    page.keyboard.press("Shift+ArrowUp")
    expect(said).to_contain_text("2 rows marked")
    page.keyboard.press("l")
    expect(page.locator(".px-lock[data-locked=all]")).to_have_count(2)
    page.keyboard.press("l")
    expect(page.locator(".px-lock[data-locked]")).to_have_count(0)
    page.keyboard.press("c")
    expect(said.or_(page.get_by_test_id("copy-text")).first).to_have_text(re.compile("2 marked rows copied|precision"))
    page.keyboard.press("Escape")

    page.get_by_test_id("filter").fill(FC1)
    page.get_by_test_id("filter").press("ArrowDown")
    page.keyboard.press("End")
    page.keyboard.press("e")
    detail = page.get_by_test_id(f"detail:{FC1}")
    expect(detail).to_have_attribute("data-state", "ready", timeout=MEASURE_MS)
    expect(detail.get_by_test_id(f"error:cumulative:{FC1}")).to_have_attribute("data-kind", "measured")
    page.keyboard.press("e")
    expect(detail).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_test_id("keys-sheet")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id(f"row:{FC1}").locator(":focus")).to_have_count(1)


def test_a_focus_ring_lies_inside_its_cell(shared_page: Open) -> None:
    """What is outside of a cell lies under the next row, and under the layers that stay at the left."""
    page = shared_page("voila")
    page.get_by_test_id("filter").press("ArrowDown")
    for key in ("ArrowDown", "End"):
        page.keyboard.press(key)
    for _ in range(9):
        page.keyboard.press("ArrowRight")
        ring = page.evaluate(
            "() => { const { outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(document.activeElement);"
            " return [outlineStyle, parseFloat(outlineWidth) + parseFloat(outlineOffset)]; }"
        )
        assert ring[0] != "none" and ring[1] <= 0


def test_what_slides_under_a_resting_pointer_is_silent(shared_page: Open) -> None:
    page = shared_page("voila")
    measured(page)
    cell(page, QKV, "int8").scroll_into_view_if_needed()
    page.evaluate("() => { document.querySelector('.px-map .px-scroll').scrollTop = 0; }")
    spot = cell(page, QKV, "int8").bounding_box()
    assert spot
    tip = page.locator(".px-tip:visible")
    page.mouse.move(5, 5)
    page.mouse.move(spot["x"] + 8, spot["y"] + 8)
    expect(tip).to_contain_text(QKV)
    page.mouse.wheel(0, 28 * 3)
    page.wait_for_function("() => document.querySelector('.px-map .px-scroll').scrollTop > 28")
    expect(tip).to_have_count(0)
    page.mouse.move(spot["x"] + 12, spot["y"] + 8)
    expect(tip).to_have_count(1)


def test_the_bar_says_what_runs_and_how_far_it_is(shared_page: Open) -> None:
    """With a recipe that is no preset, and on a laptop; where the words are cut, the percentage stays."""
    page = shared_page("voila")
    words = page.locator("[data-testid=job-progress] .px-job-words")
    for width, whole in ((1440, True), (1280, False)):
        page.set_viewport_size({"width": width, "height": 1000})
        seen = words.evaluate(
            """(words) => {
                const [text, percent] = words.children;
                const before = [text.textContent, percent.textContent];
                const own = document.querySelector("[data-testid=preset]");
                const chosen = own.value;
                own.value = "";
                document.querySelector("[data-testid=job-cancel]").hidden = false;
                [text.textContent, percent.textContent] = ["reading activation ranges", " 78 %"];
                const found = [text.scrollWidth <= text.clientWidth, percent.clientWidth > 20, text.clientWidth > 60];
                [text.textContent, percent.textContent] = before;
                own.value = chosen;
                return found;
            }"""
        )
        assert seen[1:] == [True, True] and (seen[0] or not whole)
