"""A recipe is brought back with a click: in the tree of all that was chosen, and on the frontier."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

import explorer as px
from tests.browser.test_page import FC1, MEASURE_MS, cell, choose, measured, undo

Open = Callable[..., Page]
DRAWN = """(words) => document.querySelector("[data-testid=frontier]").querySelector(".px-plot")?.data
    ?.some(({ hovertext }) => hovertext?.some((text) => text.includes(words)))"""
"""Whether plotly has drawn a point that says so."""


@pytest.fixture(scope="module")
def fp32_was_measured() -> None:
    """FP32 is in the trial store that the server reads, so that its point is there without waiting."""
    session = px.open("digits-vit")
    if session.known().latency is None:
        session.evaluate()
        session.latency(seconds=0.2)


def _section(page: Page, name: str, test_id: str) -> Locator:
    page.get_by_test_id(re.compile(f"^section:{name}")).click()
    found = page.get_by_test_id(test_id)
    expect(found).to_be_visible()
    return found


def _chosen(page: Page, precision: str) -> None:
    expect(cell(page, FC1, precision)).to_have_attribute("data-chosen", "true")


def _point_at(page: Page, frontier: Locator, words: str) -> None:
    """Move the pointer onto the point that says ``words``, once it is drawn."""
    page.wait_for_function(DRAWN, arg=words, timeout=MEASURE_MS)
    label = frontier.locator(".hoverlayer .hovertext")
    for point in frontier.locator(".points path").all():
        page.mouse.move(1, 1)
        expect(label).to_have_count(0)
        point.hover(force=True)
        expect(label).to_be_visible()
        if words in (label.text_content() or ""):
            return
    raise AssertionError(f"no point says {words!r} when it is pointed at")


@pytest.mark.usefixtures("fp32_was_measured")
def test_a_click_brings_a_recipe_back(open_page: Open) -> None:
    page = open_page("voila")
    choose(page, FC1, "int8")
    undo(page)
    _chosen(page, "fp32")
    choose(page, FC1, "bf16")

    tree = _section(page, "History", "history")
    expect(tree).to_have_attribute("data-count", "3")
    expect(tree.get_by_test_id("history:1")).to_contain_text(f"{FC1} to int8")
    tree.get_by_test_id("history:1").click()
    _chosen(page, "int8")
    expect(tree).to_have_attribute("data-at", "1")
    # By keyboard alone: from the first branch up to the newest, the second one.
    tree.get_by_role("listbox").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    _chosen(page, "bf16")

    # FP32's point on the frontier, from a recipe whose own mark lies elsewhere and whose numbers no longer come.
    tree.get_by_test_id("history:1").click()
    _chosen(page, "int8")
    frontier = _section(page, "Frontier", "frontier")
    measured(page)
    _point_at(page, frontier, "preset fp32")
    page.mouse.down()
    page.mouse.up()
    _chosen(page, "fp32")
    expect(tree).to_have_attribute("data-count", "4")
