"""The page on a model of 2,000 ops, in a real browser: opening, clicks, typing, scrolling, and all that during a job.

``python -m benchmarks.large_page [layers]``: with fewer layers it is a trial, which the report leaves out. Effects: a
server, a browser, the clock.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, WebSocket, expect, sync_playwright

from benchmarks.children import own_store
from benchmarks.deep_page import FIRST, NAME, deep_site
from benchmarks.record import spread, tell
from benchmarks.strips import PIXELS_A_FRAME, SCROLL, WARM_UP_S
from tests.browser.driving import READY, launch, visit

LAYERS = 200
"""Of ten ops each."""
OPENINGS = 5
TOGGLES = 25
WEIGHED = 4
"""Clicks whose bytes are counted, each after what ran was cancelled: what crosses is the answer to that click, and,
told besides, all until its numbers are measured."""
MEASURED_MS = 60_000
JOB_CLICKS = 50
CANCELS = 8
SCROLL_S = 5.0
PAUSE_MS, JOB_PAUSE_MS = 400, 600
"""Between two clicks of a person who tries things out, and of one who waits for a job."""
OPENED_MS = 180_000
"""A model of 2,000 ops is captured once, and its map predicted."""
STARTED_MS = 20_000
JOB = "int8-dynamic"
"""The preset whose errors, op by op, take well over half a minute: each op alone is a run of the model."""
MOST_SECONDS = 560
"""The whole benchmark ends after so long, whatever hangs."""
CHOSEN = ("int8", "bf16", "w8", "w4")
"""What an op is set to, round after round, so that no recipe comes twice."""
EVERY = "blocks"
WORDS = ("blocks.17", "linear", "fc1", "nothing like it", "norm")

# Usable: the other model's rows are drawn, and one of them was clicked and has answered. Times since 1970.
OPEN = """async (model) => {
    const find = (id) => document.querySelector(`[data-testid="${id}"]`);
    const until = (done) => new Promise((resolve) => {
        const look = () => (done() ? resolve() : requestAnimationFrame(look));
        look();
    });
    const choice = find("model");
    choice.value = model;
    choice.dispatchEvent(new Event("change"));
    await until(() => find("page").dataset.model === model && document.querySelector(".px-op"));
    const row = document.querySelector(".px-op");
    row.firstChild.click();
    await until(() => row.getAttribute("aria-selected") === "true");
    return performance.timeOrigin + performance.now();
}"""

# From the click until what it predicts stands in the document: another recipe, its cost and its casts.
TOGGLE = """async (cell) => {
    const find = (id) => document.querySelector(`[data-testid="${id}"]`);
    const words = () => find("delta-kl").textContent + find("delta-casts").textContent;
    const [hash, told] = [find("recipe").dataset.hash, words()];
    const start = performance.now();
    find(cell).click();
    return await new Promise((resolve) => {
        const end = () => { watcher.disconnect(); resolve(performance.now() - start); };
        const watcher = new MutationObserver(() => {
            const predicted = find("delta-kl").dataset.kind === "predicted";
            if (find("recipe").dataset.hash !== hash && predicted && words() !== told) end();
        });
        watcher.observe(document.body, {attributes: true, subtree: true, childList: true, characterData: true});
        setTimeout(end, 20_000);
    });
}"""

# From a key to the frame in which its rows are drawn.
TYPE = """async (words) => {
    const field = document.querySelector('[data-testid="filter"]');
    const took = [];
    const drawn = () => new Promise((resolve) => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = resolve;
        channel.port2.postMessage(0);
    }));
    for (const word of words) {
        for (let end = 1; end <= word.length; end += 1) {
            const start = performance.now();
            field.value = word.slice(0, end);
            field.dispatchEvent(new Event("input", {bubbles: true}));
            await drawn();
            took.push(performance.now() - start);
        }
        field.value = "";
        field.dispatchEvent(new Event("input", {bubbles: true}));
        await drawn();
    }
    return took;
}"""

# Clicks on rows while a job runs, and what the progress says meanwhile. A row may be drawn anew at any time.
BUSY = """async ({clicks, pause}) => {
    const find = (id) => document.querySelector(`[data-testid="${id}"]`);
    const progress = find("job-progress");
    const rows = [...document.querySelectorAll(".px-op")].slice(2, 12).map((row) => row.dataset.testid);
    const [told, answers] = [[], []];
    const all = {attributes: true, subtree: true, childList: true, characterData: true};
    const ear = new MutationObserver(() => told.push(performance.now()));
    ear.observe(progress, all);
    for (let at = 0; at < clicks && progress.dataset.state === "running"; at += 1) {
        const id = rows[at % rows.length];
        const start = performance.now();
        const answer = new Promise((resolve) => {
            const end = () => { eye.disconnect(); resolve(performance.now()); };
            const eye = new MutationObserver(() => {
                if (find(id)?.getAttribute("aria-selected") === "true") end();
            });
            eye.observe(document.querySelector(".px-scroll"), all);
            setTimeout(end, 5000);
        });
        find(id).firstChild.click();
        answers.push(await answer - start);
        await new Promise((resolve) => setTimeout(resolve, pause));
    }
    ear.disconnect();
    const gaps = told.slice(1).map((time, at) => time - told[at]);
    const turns = new Set(told.map((time) => Math.round(time / 20))).size;
    const seconds = told.length ? (told.at(-1) - told[0]) / 1e3 : 0;
    return {answers, seconds, turns, longest: Math.max(0, ...gaps)};
}"""

# Until the rows there are drawn.
TO_THE_TOP = """async () => {
    document.querySelector(".px-scroll").scrollTop = 0;
    for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
}"""

CANCEL = """async () => {
    const find = (id) => document.querySelector(`[data-testid="${id}"]`);
    const start = performance.now();
    find("job-cancel").click();
    return await new Promise((resolve) => {
        const look = () => {
            const took = performance.now() - start;
            return find("job-progress").dataset.state === "idle" || took > 10_000 ? resolve(took) : setTimeout(look, 1);
        };
        look();
    });
}"""


def main() -> None:
    """Open the page, then the deep model several times, and measure everything on it."""
    layers = int(sys.argv[1]) if len(sys.argv) > 1 else LAYERS
    more = {"quick": True} if layers != LAYERS else {}
    with own_store(), _within(MOST_SECONDS), deep_site(layers) as (address, ready), sync_playwright() as playwright:
        browser = launch(playwright)
        page = visit(browser.new_context(viewport={"width": 1440, "height": 1000})).page
        page.set_default_timeout(OPENED_MS)
        frames = _frames(page)
        page.goto(address)
        expect(page.locator(READY)).to_be_visible(timeout=OPENED_MS)
        _tell_opening(page, ready, more)
        _tell("filter as you type", page.evaluate(TYPE, WORDS), 60, more)
        # Layers of a large model are closed at first; a filter opens all that hold a match.
        page.get_by_test_id("filter").fill(EVERY)
        _wait_for_colours(page)
        _tell_scrolling(page, more)
        cells = _cells(page)
        _tell_toggles(page, cells, more)
        _tell_bytes(page, cells, frames, more)
        _tell_a_job(page, more)
        browser.close()


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    """End what takes longer with a ``TimeoutError``: a promise in the browser has no limit of its own."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _tell_opening(page: Page, ready: Path, more: dict[str, Any]) -> None:
    """The first opening captures the graph; afterwards the kernel has the session, as after any capture."""
    took = []
    for _ in range(OPENINGS):
        page.evaluate(OPEN, FIRST)
        usable = page.evaluate(OPEN, NAME)
        took.append((usable - float(ready.read_text())) / 1e3)
    figures = spread(took)
    ops = page.locator(".px-scroll").get_attribute("aria-rowcount")
    tell("page: 2,000 ops interactive after the kernel has the data", figures["median"], "s", "median <= 2",
         figures["median"] <= 2, rows=ops, **figures, **more)  # fmt: skip


def _tell_scrolling(page: Page, more: dict[str, Any]) -> None:
    """At rest, and while the kernel computes what the page goes on with by itself."""
    page.evaluate(SCROLL, {"seconds": WARM_UP_S, "step": PIXELS_A_FRAME})
    busy = _scroll(page)
    page.evaluate(CANCEL)
    gaps = _scroll(page)
    rate, meanwhile = (1e3 * len(each) / sum(each) for each in (gaps, busy))
    tell("page: frames a second while 2,000 ops scroll on the served page", rate, "1/s", ">= 50", rate >= 50,
         while_measuring=round(meanwhile, 1), **spread(gaps), **more)  # fmt: skip
    page.evaluate(TO_THE_TOP)


def _scroll(page: Page) -> list[float]:
    found: list[float] = page.evaluate(SCROLL, {"seconds": SCROLL_S, "step": PIXELS_A_FRAME})
    return found


def _wait_for_colours(page: Page) -> None:
    """Once the map is predicted and the numbers of FP32 are there, a click has a price at once."""
    cell = page.locator('[data-testid$="/linear:int8"][data-cost]').first
    expect(cell).to_be_visible(timeout=OPENED_MS)
    expect(page.get_by_test_id("delta-latency")).to_have_attribute("data-kind", "measured", timeout=OPENED_MS)


def _cells(page: Page) -> Iterator[str]:
    """Cells to click, one linear op after another, each time in another precision."""
    found = page.locator('[data-testid^="cell:"][data-testid$="/linear:int8"][data-state=real]')
    expect(found.first).to_be_visible()
    names = [name.removesuffix(":int8") for cell in found.all() if (name := cell.get_attribute("data-testid"))]
    return (f"{name}:{CHOSEN[turn % len(CHOSEN)]}" for turn in count() for name in names)


def _tell_toggles(page: Page, cells: Iterator[str], more: dict[str, Any]) -> None:
    """With nothing running, and while what the click before asked for is measured."""
    took, busy = [], []
    for _ in range(TOGGLES):
        page.evaluate(CANCEL)
        page.wait_for_timeout(PAUSE_MS)
        took.append(page.evaluate(TOGGLE, next(cells)))
        page.wait_for_timeout(PAUSE_MS)
        busy.append(page.evaluate(TOGGLE, next(cells)))
    figures = spread(took[2:])
    met = figures["median"] <= 60 and figures["high"] <= 120
    tell("page: 2,000 ops, click to predicted numbers", figures["median"], "ms", "median <= 60, 95 % <= 120", met,
         while_measuring=spread(busy), **figures, **more)  # fmt: skip


def _tell_bytes(page: Page, cells: Iterator[str], frames: list[int], more: dict[str, Any]) -> None:
    answers, all_ = [], []
    for _ in range(WEIGHED):
        page.evaluate(CANCEL)
        page.wait_for_timeout(PAUSE_MS)
        frames.clear()
        page.evaluate(TOGGLE, next(cells))
        answers.append(sum(frames) / 1e3)
        for card in ("delta-kl", "delta-latency"):
            expect(page.get_by_test_id(card)).to_have_attribute("data-kind", "measured", timeout=MEASURED_MS)
        all_.append(sum(frames) / 1e3)
    figures = spread(answers)
    tell("page: 2,000 ops, bytes over the wire for a click", figures["median"], "kB", "median <= 20",
         figures["median"] <= 20, until_measured=spread(all_), **figures, **more)  # fmt: skip


def _tell_a_job(page: Page, more: dict[str, Any]) -> None:
    """The errors of each op under a preset: a job of its own, longer than all the clicks take."""
    page.get_by_test_id("preset").select_option(JOB)
    page.locator('[data-testid^="section:Errors"]').click()
    _start(page)
    found: dict[str, Any] = page.evaluate(BUSY, {"clicks": JOB_CLICKS, "pause": JOB_PAUSE_MS})
    _tell("answer to a click while a job runs", found["answers"], 100, more, "high", "95 % <= 100")
    rate = found["turns"] / max(found["seconds"], 1e-9)
    tell("page: progress of a job told a second", rate, "1/s", ">= 2", rate >= 2,
         longest_ms=round(found["longest"]), seconds=round(found["seconds"], 1), **more)  # fmt: skip
    took = []
    for _ in range(CANCELS):
        took.append(page.evaluate(CANCEL))
        _start(page)
    page.evaluate(CANCEL)
    _tell("cancel of a job effective", took, 300, more)


def _start(page: Page) -> None:
    """Ask for the errors of each op, and see that they are being measured."""
    page.get_by_test_id("errors-compute").click()
    expect(page.get_by_test_id("job-progress")).to_have_attribute("data-state", "running", timeout=STARTED_MS)
    page.wait_for_timeout(PAUSE_MS)


def _frames(page: Page) -> list[int]:
    """The bytes of each websocket message, both ways, as they come."""
    found: list[int] = []

    def count(content: str | bytes) -> None:
        found.append(len(content if isinstance(content, bytes) else content.encode()))

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", count)
        socket.on("framesent", count)

    page.on("websocket", listen)
    return found


def _tell(
    name: str, values_ms: list[float], bar_ms: float, more: dict[str, Any], key: str = "median", bar: str = ""
) -> None:
    figures = spread(values_ms)
    tell(f"page: 2,000 ops, {name}", figures[key], "ms", bar or f"median <= {bar_ms:g}", figures[key] <= bar_ms,
         **figures, **more)  # fmt: skip


if __name__ == "__main__":
    main()
