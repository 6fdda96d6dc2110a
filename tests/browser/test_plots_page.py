"""The panels with plots on the real page: they draw, share one plotly, and their words can be read in the dark."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.driving import Visit, brightness, count_libraries, open_in_voila
from tests.browser.test_page import FC1, MEASURE_MS, choose

CONTRAST = 4.5
"""Of text and what is behind it, for people with weak eyes: WCAG 2.2, success criterion 1.4.3."""

# The relative luminance of WCAG 2.2; what is behind is the first ancestor with a colour of its own.
CONTRASTS = """(selectors) => {
    const numbers = (colour) => {
        const found = colour.match(/[\\d.]+/g).map(Number);
        return colour.startsWith("color(") ? found.map((part, at) => (at < 3 ? 255 * part : part)) : found;
    };
    const light = (colour) => {
        const [r, g, b] = numbers(colour).map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            const parts = numbers(colour);
            if (parts.length < 4 || parts[3] > 0.9) return light(colour);
        }
        return 1;
    };
    const shown = selectors.flatMap((selector) => [...document.querySelectorAll(selector)])
        .filter((one) => one.offsetParent && one.textContent.trim());
    return shown.map((one) => {
        const [a, b] = [light(getComputedStyle(one).color), behind(one)].sort((x, y) => x - y);
        return [one.className || one.tagName, one.textContent.trim().slice(0, 40), (b + 0.05) / (a + 0.05)];
    });
}"""
WORDS = [
    ".px-fig-big",
    ".px-fig .px-sub",
    ".px-fig .px-tag",
    ".px-term-word",
    ".px-errors .px-sub",
    ".px-inspect dd",
    ".px-inspect dt",
]


def open_section(page: Page, name: str) -> None:
    page.get_by_test_id(re.compile(f"^section:{name}")).click()


def test_inspector_and_errors_chart_draw_with_one_plotly(voila: str, visits: Callable[..., Visit]) -> None:
    """In the dark theme, which is dark; errors in the console fail the test, as everywhere."""
    page = visits(height=1600).page
    libraries = count_libraries(page)
    open_in_voila(page, f"{voila}?theme=dark")
    assert brightness(page) < 0.35
    choose(page, FC1, "int8")
    page.get_by_test_id(f"row:{FC1}").click()
    open_section(page, "Inspector")
    inspector = page.get_by_test_id("inspector")
    plots = inspector.get_by_test_id("plot")
    expect(plots).to_have_count(2, timeout=MEASURE_MS)
    for at in range(2):
        expect(plots.nth(at)).to_have_attribute("data-state", "ready", timeout=MEASURE_MS)
    expect(plots.first.locator(".bars path").first).to_be_attached()
    expect(plots.nth(1).locator(".scatterlayer .point").first).to_be_attached()

    open_section(page, "Errors")
    errors = page.get_by_test_id("errors")
    errors.get_by_test_id("errors-compute").click()
    expect(errors.get_by_test_id("errors-note")).to_contain_text("64 of 397 samples", timeout=MEASURE_MS)
    expect(errors.get_by_test_id("plot")).to_have_attribute("data-state", "ready", timeout=MEASURE_MS)
    expect(errors.locator(".scatterlayer .trace")).not_to_have_count(0)
    assert len(libraries) == 1, "plotly was fetched more than once"

    contrasts = page.evaluate(CONTRASTS, WORDS)
    assert len(contrasts) > 20
    assert [each for each in contrasts if each[2] < CONTRAST] == []
