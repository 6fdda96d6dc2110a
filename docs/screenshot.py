"""`python -m docs.screenshot`: the README's picture, from the real page. Effects: a server, a browser, one file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.driving import PAGE_MS, launch, open_in_voila, serving, visit

IMAGE = Path(__file__).parent / "images" / "page.png"
PRESET = "int8-dynamic"
CHOICES = ("blocks.0.mlp.fc1/linear:int8_static", "blocks.0.norm1/layer_norm:bf16")


def main() -> None:
    """Open digits-vit, choose a preset and a few precisions, wait for the numbers, take the picture."""
    IMAGE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        with serving(["demo"], {"PRECISION_EXPLORER_HOME": folder}) as address:
            page = visit(browser.new_context(viewport={"width": 1440, "height": 1000}, device_scale_factor=1.25)).page
            open_in_voila(page, address)
            _settle(page)
            page.get_by_test_id("preset").select_option(PRESET)
            for choice in CHOICES:
                page.get_by_test_id(f"cell:{choice}").click()
            page.mouse.move(5, 5)
            _settle(page)
            page.screenshot(path=IMAGE)
        browser.close()


def _settle(page: Page) -> None:
    expect(page.get_by_test_id("delta-latency")).to_have_attribute("data-kind", "measured", timeout=PAGE_MS)
    expect(page.get_by_test_id("job-progress")).to_have_attribute("data-state", "idle", timeout=PAGE_MS)


if __name__ == "__main__":
    main()
