"""Colours in the map, and the search's slider: what a visitor sees within seconds and under a finger."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

COLOURED_MS = 60_000
"""Three seconds on a quiet machine; the suite's other servers may be busy on its two cores."""


def test_the_map_is_coloured_and_the_slider_moves_the_proposal(open_page: Callable[..., Page]) -> None:
    page = open_page("voila")
    cell = page.get_by_test_id("cell:blocks.0.mlp.fc1/linear:int8")
    expect(cell).to_have_attribute("data-cost", re.compile(r"^[\d.]+e-\d+$"), timeout=COLOURED_MS)
    expect(cell).to_have_attribute("data-kind", "predicted")
    cell.hover()
    expect(page.get_by_role("tooltip").filter(has_text="Predicted")).to_contain_text(re.compile("nats per sample, ±"))

    page.get_by_test_id(re.compile("^section:Search")).click()
    panel = page.get_by_test_id("search")
    # Bits need no timing, so that this test need not wait for a quiet machine.
    page.get_by_test_id("search-objective").select_option("bits")
    for name in ("fp16", "int8_static", "w4"):
        page.get_by_test_id(f"allow:{name}").uncheck()
        expect(panel.locator(f"[data-testid='allow:{name}']")).not_to_be_checked()
    page.get_by_test_id("search-start").click()
    expect(panel).to_have_attribute("data-state", "ready", timeout=COLOURED_MS)
    slider = page.get_by_test_id("search-budget")
    expect(page.get_by_test_id("search-apply")).to_be_enabled(timeout=COLOURED_MS)

    words = page.get_by_test_id("search-budget-words")
    slider.focus()
    slider.press("Home")
    expect(words).to_contain_text("bits a weight")
    low = words.inner_text()
    expect(slider).to_have_attribute("data-solved", re.compile(r"\d"), timeout=COLOURED_MS)
    assert page.locator("[data-proposed]").count() > 0
    slider.press("End")
    expect(words).not_to_have_text(low)
    expect(page.get_by_test_id("proposal:quality cost").locator(".px-fig-big")).to_have_text("0", timeout=COLOURED_MS)
    expect(page.locator("[data-proposed]")).to_have_count(0)
    slider.press("Home")
    expect(page.locator("[data-proposed]").first).to_be_visible()
    page.get_by_test_id("search-apply").click()
    expect(page.locator("[data-chosen][data-testid^='cell:blocks.']:not([data-testid$=':fp32'])").first).to_be_visible()
    expect(page.get_by_test_id("delta-kl")).to_contain_text(
        re.compile("9 of 10 between|predicted"), timeout=COLOURED_MS
    )
