"""The page's views in reading order: how each is opened, when it is ready, its picture. Effects: a browser, files.

With ``UI_PICTURES=<folder>`` every view's pictures are written there, for ``docs/ui.md``; without it only those of
the whole pages, among the artifacts.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import darken, violations
from tests.browser.driving import ARTIFACTS

READY_MS = 120_000
"""Plots fetch their library, errors and diagnoses run the model, on two cores that may be busy."""
SIZES = {"wide": (1440, 1000), "narrow": (400, 900)}
THEMES = ("light", "dark")
TO_TOP = "() => document.querySelector('.px-page').scrollIntoView()"
PICTURES = os.environ.get("UI_PICTURES")
FOLDER = Path(PICTURES) if PICTURES else ARTIFACTS / "ui"


@dataclass(frozen=True)
class View:
    """A part of the page that has pictures of its own in ``docs/ui.md``."""

    name: str
    """Of its pictures: ``<name>-light-wide.png`` and so on."""
    test_id: str
    section: str = ""
    """How the title of its section begins; empty where it is always open."""
    ready: Callable[[Locator], None] = lambda _: None
    """Waits until it shows all that it has."""


@dataclass(frozen=True)
class Scene:
    """What is on the page only for a while, and is shown with the page around it."""

    name: str
    shown: Callable[[Page], AbstractContextManager[None]]


def _state(panel: Locator) -> None:
    expect(panel).to_have_attribute("data-state", "ready", timeout=READY_MS)


def _plots(count: int) -> Callable[[Locator], None]:
    def wait(panel: Locator) -> None:
        plots = panel.get_by_test_id("plot")
        expect(plots).to_have_count(count, timeout=READY_MS)
        for at in range(count):
            expect(plots.nth(at)).to_have_attribute("data-state", "ready", timeout=READY_MS)

    return wait


def _computed(panel: Locator) -> None:
    panel.get_by_test_id("errors-compute").click()
    expect(panel.get_by_test_id("errors-note")).to_contain_text("64 of 397 samples", timeout=READY_MS)
    _plots(1)(panel)
    expect(panel.locator(".scatterlayer .trace")).not_to_have_count(0)


def _found(panel: Locator) -> None:
    panel.get_by_test_id("culprits-find").click()
    _state(panel)


VIEWS = (
    View("load", "load-panel"),
    View("search", "search", "Search"),
    View("recipe", "recipe"),
    View("times", "times"),
    View("findings", "findings", "Findings", _state),
    View("inspector", "inspector", "Inspector", _plots(2)),
    View("casts", "casts", "Casts", _state),
    View("errors", "errors", "Errors", _computed),
    View("culprits", "culprits", "Culprits", _found),
    View("frontier", "frontier", "Frontier", _plots(1)),
    View("history", "history", "History"),
    View("compare", "compare-recipes", "Compare"),
)
"""Those of one page; the whole page, its top bar, number cards and map are the picture ``page``."""


@contextmanager
def _touring(page: Page) -> Iterator[None]:
    page.get_by_test_id("tour").evaluate("(button) => button.click()")
    expect(page.get_by_test_id("tour-card")).to_be_visible()
    expect(page.locator(".px-tour-ring")).to_be_visible()
    yield
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("tour-card")).to_have_count(0)


@contextmanager
def _presenting(page: Page) -> Iterator[None]:
    page.get_by_test_id("page").press("p")
    expect(page.locator("body[data-px-present]")).to_be_attached()
    page.evaluate(TO_TOP)
    yield
    page.keyboard.press("Escape")
    expect(page.locator("body[data-px-present]")).to_have_count(0)


SCENES = (Scene("page", lambda _: nullcontext()), Scene("tour", _touring), Scene("presenter", _presenting))


def open_view(page: Page, view: View) -> None:
    """Open a view's section and wait until it is there with its content."""
    if view.name == "load":
        page.get_by_test_id("open-model").click()
    elif view.section:
        page.get_by_test_id(re.compile(f"^section:{view.section}")).click()
    panel = page.get_by_test_id(view.test_id)
    expect(panel).to_be_visible(timeout=READY_MS)
    view.ready(panel)


def close_load(page: Page) -> None:
    """Close the panel that opens models, which lies over nothing but moves everything down."""
    page.get_by_test_id("load-close").click()
    expect(page.get_by_test_id("load-panel")).to_be_hidden()


def frame(page: Page, view: View) -> Locator:
    """What a view's picture shows: its section with its heading, or else its panel."""
    panel = page.get_by_test_id(view.test_id)
    return page.locator(".px-section").filter(has=panel).first if view.section else panel


def look_at(page: Page, keep: Callable[[str, str], None]) -> None:
    """By day and by night: nothing serious for axe, then ``keep(theme, size)`` takes the pictures in each size."""
    for theme in THEMES:
        if theme == "dark":
            darken(page)
        found = violations(page)
        assert not found, f"in the {theme} theme: {found}"
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate(TO_TOP)
            keep(theme, size)
        page.set_viewport_size({"width": SIZES["wide"][0], "height": SIZES["wide"][1]})


def take(page: Page, target: Page | Locator, name: str) -> None:
    """Write a picture with at most 256 colours, as small as that makes it; nothing is hovered in it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    page.mouse.move(1, 1)
    picture = target.screenshot(animations="disabled")
    shrink = (Path(__file__).parent / "palette.js").read_text()
    small = page.evaluate(shrink, base64.b64encode(picture).decode())
    (FOLDER / f"{name}.png").write_bytes(base64.b64decode(small))
