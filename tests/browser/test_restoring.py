"""A recipe is brought back with a click: in the tree of all that was chosen, and on the frontier."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

import explorer as px

Open = Callable[..., Page]
FC1 = "blocks.0.mlp.fc1/linear"
PLOT_MS = 60_000
"""The plot fetches its library once."""


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


def _chosen(page: Page, op: str, precision: str) -> Locator:
    return page.locator(f'[data-testid="cell:{op}:{precision}"][data-chosen=true]')


def _choose(page: Page, op: str, precision: str) -> None:
    page.get_by_test_id(f"cell:{op}:{precision}").click()
    expect(_chosen(page, op, precision)).to_be_visible()


@pytest.mark.usefixtures("fp32_was_measured")
def test_a_click_brings_a_recipe_back(open_page: Open) -> None:
    page = open_page("voila")
    _choose(page, FC1, "int8")
    page.get_by_test_id("undo").click()
    expect(_chosen(page, FC1, "fp32")).to_be_visible()
    _choose(page, FC1, "bf16")

    tree = _section(page, "History", "history")
    expect(tree).to_have_attribute("data-count", "3")
    expect(tree.get_by_test_id("history:1")).to_contain_text(f"{FC1} to int8")
    tree.get_by_test_id("history:1").click()
    expect(_chosen(page, FC1, "int8")).to_be_visible()
    expect(tree).to_have_attribute("data-at", "1")
    # By keyboard alone: from the first branch up to the newest, the second one.
    tree.get_by_role("listbox").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(_chosen(page, FC1, "bf16")).to_be_visible()

    page.get_by_test_id("undo").click()
    expect(tree).to_have_attribute("data-at", "0")
    frontier = _section(page, "Frontier", "frontier")
    expect(frontier.get_by_test_id("plot")).to_have_attribute("data-state", "ready", timeout=PLOT_MS)
    # The first points are presets, and FP32 is the only one that was ever measured here.
    tree.get_by_test_id("history:1").click()
    expect(_chosen(page, FC1, "int8")).to_be_visible()
    point = frontier.locator(".points path").first
    expect(point).to_be_visible()
    point.hover(force=True)
    expect(frontier.locator(".hoverlayer")).to_contain_text("click to restore it")
    point.click(force=True)
    expect(_chosen(page, FC1, "fp32")).to_be_visible()
    expect(tree).to_have_attribute("data-count", "4")
