"""The page in a real browser: from a click to the first measured numbers, to the answer of other clicks meanwhile, from
a model's opening to its range strips, and from a first visitor's page to a coloured map.

Effects: a server, a browser, the clock.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.record import note, spread, tell
from tests.browser.driving import PAGE_MS, launch, open_in_voila, serving, visit

CLICKS = 12
OPENINGS = 5
FIRST_VISITS = 3
MODEL, OTHER = "digits-vit", "planted/fp16-overflow"
STRIP = "range-strip:blocks.0.mlp.fc1/linear"
"""Of the model that is opened again and again, and not of the other one that is opened in between."""
COLOURED = "cell:blocks.0.mlp.fc1/linear:int8"
SETTLED_MS = 60_000

# In the browser, so that the clock starts with the click and stops with the change in the document.
CLICK = """async ({cell, rows}) => {
    const find = (id) => document.querySelector(`[data-testid="${id}"]`);
    const change = (element, done) => new Promise((resolve) => {
        const look = () => { if (done()) { watcher.disconnect(); resolve(performance.now()); } };
        const watcher = new MutationObserver(look);
        watcher.observe(element, {attributes: true});
    });
    const [card, latency] = [find("delta-quality"), find("delta-latency")];
    const busy = () => find("job-progress").dataset.state !== "idle";
    let waiting = false;
    const number = change(card, () => {
        waiting ||= card.dataset.kind === "pending";
        return waiting && card.dataset.kind === "measured" && card.dataset.n !== "";
    });
    let timing = false;
    const speed = change(latency, () => {
        timing ||= latency.dataset.kind !== "measured";
        return timing && latency.dataset.kind === "measured";
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
    return {number_ms: await number - start, latency_ms: await speed - start, answers_ms: answers};
}"""

# From the moment that the page shows the model's ops; the ranges are read after that.
OPEN = """async ({model, strip}) => {
    const find = (id) => document.querySelector(`[data-testid="${id}"]`);
    const until = (done) => new Promise((resolve) => {
        const look = () => (done() ? resolve(performance.now()) : requestAnimationFrame(look));
        look();
    });
    const choice = find("model");
    choice.value = model;
    choice.dispatchEvent(new Event("change"));
    const opened = await until(() => find("page").dataset.model === model);
    return strip ? await until(() => find(strip)?.querySelector("svg")) - opened : 0;
}"""


# The browser's clock starts when the page is asked for.
SIGHT = """async (cell) => {
    const find = (id) => document.querySelector(`[data-testid="${id}"]`);
    const until = (done) => new Promise((resolve) => {
        const look = () => (done() ? resolve(performance.now()) : requestAnimationFrame(look));
        look();
    });
    const usable = await until(() => find("page")?.dataset.ready === "true");
    const coloured = await until(() => find(cell)?.dataset.cost);
    return {coloured_ms: coloured - usable, all_ms: coloured};
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
            strips = [_open_again(page) for _ in range(OPENINGS)]
        sights = [_first_sight(browser) for _ in range(FIRST_VISITS)]
        browser.close()
    _tell("page: click to first measured number", [run["number_ms"] for run in runs], bar_ms=700)
    _note("page: click to first measured latency", [run["latency_ms"] for run in runs])
    _tell("page: answer to another click meanwhile", [ms for run in runs for ms in run["answers_ms"]], bar_ms=100)
    _tell(f"page: {MODEL} opened to its range strips on show", strips, bar_ms=2000)
    _tell(f"page: {MODEL} on show to its map coloured", [sight["coloured_ms"] for sight in sights], bar_ms=3000)
    _note(f"page: {MODEL} asked for to its map coloured", [sight["all_ms"] for sight in sights])


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


def _open_again(page: Page) -> float:
    """Milliseconds from the model on show, after another one, to its range strips."""
    page.evaluate(OPEN, {"model": OTHER, "strip": ""})
    _settle(page)
    took: float = page.evaluate(OPEN, {"model": MODEL, "strip": STRIP})
    _settle(page)
    return took


def _first_sight(browser: Browser) -> dict[str, float]:
    """Milliseconds of a visitor who is the first on this machine: no range and no cost is known from before."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(["demo"], {"PRECISION_EXPLORER_HOME": folder}) as address,
        browser.new_context(viewport={"width": 1440, "height": 1000}) as context,
    ):
        _wait_for_quiet()
        page = visit(context).page
        page.goto(address, wait_until="commit")
        found: dict[str, float] = page.evaluate(SIGHT, COLOURED)
        return found


def _wait_for_quiet() -> None:
    """Voila heats a kernel for the next visitor as soon as the first one comes; let it finish, within reason."""
    for _ in range(60):
        if psutil.cpu_percent(interval=0.5) < 25:
            return


def _settle(page: Page) -> None:
    expect(page.get_by_test_id("delta-latency")).to_have_attribute("data-kind", "measured", timeout=PAGE_MS)
    expect(page.get_by_test_id("job-progress")).to_have_attribute("data-state", "idle", timeout=SETTLED_MS)


def _note(name: str, values_ms: list[float]) -> None:
    figures = spread(values_ms)
    note(name, figures["median"], "ms", "main_job.jsonl", **figures)


def _tell(name: str, values_ms: list[float], bar_ms: float) -> None:
    figures = spread(values_ms)
    tell(name, figures["median"], "ms", f"median <= {bar_ms:g}", figures["median"] <= bar_ms, **figures)


if __name__ == "__main__":
    main()
