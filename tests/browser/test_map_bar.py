"""The map's bar on the real page: its filter answers in words, a header orders, columns come and go, layers stay."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.driving import ANSWER_MS

Open = Callable[..., Page]
FC1 = "blocks.0.mlp.fc1/linear"
ORDERED = """() => {
    // Costs are refined meanwhile; rows then stay where they are, and a button offers to sort again.
    document.querySelector("[data-testid=sort-again]:not([hidden])")?.click();
    const rows = [...document.querySelectorAll(".px-body > .px-row")].sort((a, b) => a.px.row - b.px.row);
    const costs = rows.map((row) => Number(row.querySelector("[data-testid$=':w4']").dataset.cost));
    return costs.length > 10 && costs.every((cost, at) => at === 0 || costs[at - 1] >= cost);
}"""
"""Whether the rows on show stand in the order of their costs in W4, highest first."""


def _rows(page: Page) -> Locator:
    return page.locator(".px-body > .px-row")


def test_the_bar_filters_orders_and_hides(open_page: Open) -> None:
    """One visit for all of it: opening a page takes longer than what is done on it."""
    page = open_page("voila")
    _filter_in_words(page)
    _order_by_header(page)
    _hide_columns(page)
    _layers_stay(page)


def _filter_in_words(page: Page) -> None:
    box, note = page.get_by_test_id("filter"), page.get_by_test_id("filter-note")
    page.get_by_test_id("filter-help").click()
    page.get_by_test_id("example:role:sensitive").click()
    expect(page.get_by_test_id(f"row:{FC1}")).to_have_count(0)
    expect(page.get_by_test_id("row:blocks.0.norm2/layer_norm")).to_be_visible()
    kept = page.get_by_test_id("filter-count").inner_text()
    assert re.fullmatch(r"\d+ of \d+ ops", kept)
    page.get_by_test_id("filter-help").click()

    box.fill("role:sensitive precision:int9")
    expect(note).to_have_text(re.compile("no precision offered here like “int9”.*There are fp32, "))
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_test_id("filter-count")).to_have_text(kept)
    box.fill("emulated real")
    expect(page.get_by_test_id("map-empty")).to_contain_text("Did you mean kernel:emulated kernel:real?")
    page.get_by_test_id("map-action").click()
    expect(page.get_by_test_id(f"row:{FC1}")).to_be_visible()


def _order_by_header(page: Page) -> None:
    header = page.get_by_role("columnheader").filter(has=page.get_by_test_id("sort:cost:w4"))
    expect(page.get_by_test_id(f"cell:{FC1}:w4")).to_have_attribute("data-cost", re.compile(r"\d"), timeout=60_000)
    page.get_by_test_id("filter").fill("kind:linear")
    page.get_by_test_id("sort:cost:w4").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(page.locator(".px-body > .px-layer")).to_have_count(0)
    page.wait_for_function(ORDERED, timeout=ANSWER_MS)
    expect(_rows(page).first.locator(".px-flow")).to_have_count(0)
    page.get_by_test_id("sort:cost:w4").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    page.get_by_test_id("sort:cost:w4").click()
    expect(header).to_have_attribute("aria-sort", "none")
    page.get_by_test_id("filter").fill("")
    expect(page.get_by_test_id("row:blocks.0")).to_be_visible()


def _hide_columns(page: Page) -> None:
    page.get_by_test_id("columns").click()
    for name in ("cell:fp32", "kernel"):
        page.get_by_test_id(f"column:{name}").click()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("columns")).to_have_text("Columns · 2 hidden")
    expect(page.get_by_test_id("columns")).to_have_attribute("title", re.compile("ops are chosen in them"))
    expect(page.get_by_test_id(f"cell:{FC1}:fp32")).to_have_count(0)
    page.get_by_test_id("columns").click()
    page.get_by_test_id("columns-all").click()
    expect(page.get_by_test_id(f"cell:{FC1}:fp32")).to_be_visible()


def _layers_stay(page: Page) -> None:
    stuck = page.locator(".px-stuck > .px-row")
    expect(stuck).to_have_count(0)
    page.locator(".px-scroll").evaluate("(element) => { element.scrollTop = 28 * 6; }")
    expect(stuck).to_have_count(1)
    expect(stuck).to_contain_text("blocks.0")
    expect(page.get_by_test_id("row:blocks.0")).to_have_count(1)
    stuck.locator(".px-name").click()
    expect(page.locator("[data-testid='row:blocks.0'] .px-col-layer")).to_be_focused()
    expect(stuck).to_have_count(0)
