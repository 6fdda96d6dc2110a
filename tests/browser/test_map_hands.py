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
