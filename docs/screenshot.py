"""`python -m docs.screenshot`: pictures of the real page for README and docs. Effects: a server, a browser, files.

`python -m docs.screenshot ui` takes those of `docs/ui.md`, by running the tests that look at every view; with names of
scenes (``ui tour presenter``) only those.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from explorer.zoo.planted import PLANTED
from tests.browser import walk
from tests.browser.axe import darken
from tests.browser.driving import launch, open_in_voila, serving, visit

IMAGES = Path(__file__).parent / "images"
PRESET = "int8-dynamic"
CHOICES = ("blocks.0.mlp.fc1/linear:int8_static", "blocks.0.norm1/layer_norm:bf16")
LOOKS = ("tests/browser/test_look.py", "tests/browser/test_format_lab.py")
"""The tests that open every view, and take its pictures where they are told a folder for them."""
SETTLED_MS = 300_000
"""A busy machine measures slowly, and pictures can wait."""


def main(arguments: list[str]) -> int:
    """Take the page with digits-vit and each planted fault as the findings name it; with ``ui``, every view instead."""
    IMAGES.mkdir(exist_ok=True)
    if arguments[:1] == ["ui"]:
        return _take_scenes(arguments[1:]) if arguments[1:] else _take_views()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        with serving(["demo"], {"PRECISION_EXPLORER_HOME": folder}) as address:
            _take_overview(browser, address)
            for name in PLANTED:
                _take_fault(browser, address, name)
        browser.close()
    return 0


def _take_views() -> int:
    """Every view in both themes and two widths; the pictures of views that are no more are taken away."""
    folder = IMAGES / "ui"
    for old in folder.glob("*.png"):
        old.unlink()
    command = [sys.executable, "-m", "pytest", "-q", *LOOKS]
    return subprocess.run(command, env=dict(os.environ, UI_PICTURES=str(folder)), check=False).returncode


def _take_scenes(names: list[str]) -> int:
    """Some of the scenes, in both themes and two widths; a name that is none is said, and nothing is taken."""
    scenes = [scene for scene in walk.SCENES if scene.name in names]
    if len(scenes) != len(set(names)):
        sys.stderr.write(f"scenes are: {', '.join(scene.name for scene in walk.SCENES)}\n")
        return 2
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        with serving(["demo"], {"PRECISION_EXPLORER_HOME": folder}) as address:
            page = _open(browser, address, height=1000)
            page.emulate_media(reduced_motion="reduce")
            page.get_by_test_id("tour-later").click()
            _choose(page, CHOICES[:1])
            for theme in walk.THEMES:
                if theme == "dark":
                    darken(page)
                for size in walk.SIZES:
                    _take_in(page, scenes, theme, size)
        browser.close()
    return 0


def _take_in(page: Page, scenes: list[walk.Scene], theme: str, size: str) -> None:
    width, height = walk.SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    for scene in scenes:
        name = f"{scene.name}-{theme}-{size}"
        page.evaluate(walk.TO_TOP)
        with scene.shown(page):
            walk.take(page, page, name)
        shutil.copyfile(walk.FOLDER / f"{name}.png", IMAGES / "ui" / f"{name}.png")


def _choose(page: Page, choices: Sequence[str]) -> None:
    """The preset and a few precisions on top of it, all numbers measured."""
    _settle(page)
    _change(page, lambda: page.get_by_test_id("preset").select_option(PRESET))
    for choice in choices:
        _change(page, page.get_by_test_id(f"cell:{choice}").click)
    page.mouse.move(5, 5)
    _settle(page)


def _change(page: Page, act: Callable[[], object]) -> None:
    """Choose, and wait until the page shows the recipe that follows: until then it is the former that is measured."""
    recipe = page.get_by_test_id("recipe")
    before = recipe.get_attribute("data-hash") or ""
    act()
    expect(recipe).not_to_have_attribute("data-hash", before)


def _take_overview(browser: Browser, address: str) -> None:
    """digits-vit with a preset and a few precisions, all numbers measured."""
    page = _open(browser, address, height=1000)
    _choose(page, CHOICES)
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
    sys.exit(main(sys.argv[1:]))
