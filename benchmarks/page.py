"""The page in a real browser: from a click to the first measured number, and to the answer of other clicks meanwhile.

Effects: a server, a browser, the clock.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.record import spread, tell
from tests.browser.driving import PAGE_MS, launch, open_in_voila, serving, visit

CLICKS = 12
SETTLED_MS = 60_000

# In the browser, so that the clock starts with the click and stops with the change in the document.
CLICK = """async ({cell, rows}) => {
    const find = (id) => document.querySelector(`[data-testid="${id}"]`);
    const change = (element, done) => new Promise((resolve) => {
        const look = () => { if (done()) { watcher.disconnect(); resolve(performance.now()); } };
        const watcher = new MutationObserver(look);
        watcher.observe(element, {attributes: true});
    });
    const card = find("delta-quality");
    const busy = () => find("job-progress").dataset.state !== "idle";
    let waiting = false;
    const number = change(card, () => {
        waiting ||= card.dataset.kind === "pending";
        return waiting && card.dataset.kind === "measured" && card.dataset.n !== "";
    });
    const start = performance.now();
    find(cell).click();
    const answers = [];
    for (const id of rows) {
        const row = find(id);
        const answer = change(row, () => row.getAttribute("aria-selected") === "true");
        const asked = performance.now();
        row.firstChild.click();
        const took = await answer - asked;
        if (busy()) answers.push(took);
    }
    return {number_ms: await number - start, answers_ms: answers};
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        # A store of its own: a number that is already known would be answered without being measured.
        with serving(["demo"], {"PRECISION_EXPLORER_HOME": str(Path(folder))}) as address:
            page = visit(browser.new_context(viewport={"width": 1440, "height": 2400})).page
            open_in_voila(page, address)
            _settle(page)
            _wait_for_quiet()
            runs = _click_around(page)
        browser.close()
    _tell("page: click to first measured number", [run["number_ms"] for run in runs], bar_ms=700)
    _tell("page: answer to another click meanwhile", [ms for run in runs for ms in run["answers_ms"]], bar_ms=100)


def _click_around(page: Page) -> list[dict[str, Any]]:
    """Choose INT8 for one linear op after another, each time with two other clicks while it is being measured."""
    _settle(page)
    cells = page.locator('[data-testid^="cell:"][data-testid$="/linear:int8"][data-state=real]')
    names = [name for cell in cells.all() if (name := cell.get_attribute("data-testid"))][: CLICKS + 1]
    rows = [name.replace("cell:", "row:").removesuffix(":int8") for name in names]
    runs = []
    for index, name in enumerate(names):
        others = [rows[index - 1], rows[index - 2]]
        runs.append(page.evaluate(CLICK, {"cell": name, "rows": others}))
        _settle(page)
    # The first click still compiles and packs what every later one finds ready.
    return runs[1:]


def _wait_for_quiet() -> None:
    """Voila heats a kernel for the next visitor as soon as the first one comes; let it finish, within reason."""
    for _ in range(60):
        if psutil.cpu_percent(interval=0.5) < 25:
            return


def _settle(page: Page) -> None:
    expect(page.get_by_test_id("delta-latency")).to_have_attribute("data-kind", "measured", timeout=PAGE_MS)
    expect(page.get_by_test_id("job-progress")).to_have_attribute("data-state", "idle", timeout=SETTLED_MS)


def _tell(name: str, values_ms: list[float], bar_ms: float) -> None:
    figures = spread(values_ms)
    tell(name, figures["median"], "ms", f"median <= {bar_ms:g}", figures["median"] <= bar_ms, **figures)


if __name__ == "__main__":
    main()
