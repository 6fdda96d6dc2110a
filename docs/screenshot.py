"""`python -m docs.screenshot`: pictures of the real page for README and docs. Effects: a server, a browser, files."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from explorer.zoo.planted import PLANTED
from tests.browser.driving import launch, open_in_voila, serving, visit

IMAGES = Path(__file__).parent / "images"
PRESET = "int8-dynamic"
CHOICES = ("blocks.0.mlp.fc1/linear:int8_static", "blocks.0.norm1/layer_norm:bf16")
SETTLED_MS = 300_000
"""A busy machine measures slowly, and pictures can wait."""


def main() -> None:
    """Take the page with digits-vit, then each planted fault as the findings name it."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        with serving(["demo"], {"PRECISION_EXPLORER_HOME": folder}) as address:
            _take_overview(browser, address)
            for name in PLANTED:
                _take_fault(browser, address, name)
        browser.close()


def _take_overview(browser: Browser, address: str) -> None:
    """digits-vit with a preset and a few precisions, all numbers measured."""
    page = _open(browser, address, height=1000)
    _settle(page)
    page.get_by_test_id("preset").select_option(PRESET)
    for choice in CHOICES:
        page.get_by_test_id(f"cell:{choice}").click()
    page.mouse.move(5, 5)
    _settle(page)
    page.screenshot(path=IMAGES / "page.png")
    page.close()


def _take_fault(browser: Browser, address: str, name: str) -> None:
    """A planted model in the preset where its fault shows, with the findings open and the first remedy tried."""
    page = _open(browser, address, height=1300)
    page.get_by_test_id("model").select_option(name)
    expect(page.get_by_test_id("page")).to_have_attribute("data-model", name, timeout=SETTLED_MS)
    if PLANTED[name].preset != "fp32":
        page.get_by_test_id("preset").select_option(PLANTED[name].preset)
    page.get_by_test_id(re.compile("^section:Findings")).click()
    findings = page.get_by_test_id("findings")
    expect(findings).to_have_attribute("data-state", "ready", timeout=SETTLED_MS)
    preview = page.get_by_test_id("preview:0.0")
    if preview.count():
        preview.click()
        expect(page.get_by_test_id("remedy-row:0.0")).to_contain_text("measured", timeout=SETTLED_MS)
    _settle(page)
    findings.get_by_title(re.compile("show it in the map")).first.click()
    findings.scroll_into_view_if_needed()
    page.mouse.move(5, 5)
    page.screenshot(path=IMAGES / f"{name.replace('/', '-')}.png")
    page.close()


def _open(browser: Browser, address: str, height: int) -> Page:
    page = visit(browser.new_context(viewport={"width": 1440, "height": height})).page
    open_in_voila(page, address)
    return page


def _settle(page: Page) -> None:
    known = re.compile("measured|emulated")
    expect(page.get_by_test_id("delta-latency")).to_have_attribute("data-kind", known, timeout=SETTLED_MS)
    expect(page.get_by_test_id("job-progress")).to_have_attribute("data-state", "idle", timeout=SETTLED_MS)


if __name__ == "__main__":
    main()
