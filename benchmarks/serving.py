"""Pages for visitors: how soon a warm and a cold one is usable, six visitors at once, what each holds, when it is gone.

What becomes of a page whose kernel or server is killed is in :mod:`benchmarks.ending`. Effects: a server, a browser,
the clock.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
from playwright.async_api import Browser, Page, async_playwright, expect
from playwright.sync_api import sync_playwright

from benchmarks import ending
from benchmarks.children import own_store
from benchmarks.record import spread, tell
from tests.browser.driving import BROWSERS, FLAGS, READY, launch, leave, open_in_voila, serving, visit

VISITORS = 6
OPENINGS = 5
COLD_OPENINGS = 3
IDLE_SECONDS = 45
STIR_SECONDS = 10
"""A visitor who has finished says something so often, until the last one has: all are counted together."""
REST_SECONDS = 12.0
"""An idle page gives its memory back after five seconds."""
LEFT_WITHIN = 30
REST_WITHIN_MS = 60_000
CULLED_WITHIN = IDLE_SECONDS * 1.2 + 30
"""The idle time, the pause between two looks (a fifth of it), and what a kernel takes to end on a busy machine."""
QUIET_PERCENT, QUIET_WITHIN = 20, 20
PATIENCE_MS = 600_000
OPS = [f"blocks.{block}.mlp.{part}/linear" for block in range(3) for part in ("fc1", "fc2")]
"""Each visitor's own choice, by which sessions can be told apart."""
KERNEL = "widgets.serve.kernel"


def main() -> None:
    """Measure each part (or those named on the command line) on servers of their own."""
    parts = {
        "warm": _warm,
        "cold": _cold,
        "six": _six,
        "kernel": ending.kernel,
        "server": ending.server,
        "hosts": ending.hosts,
    }
    # Told to stop, a part ends the servers that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    with own_store():
        for name in sys.argv[1:] or parts:
            parts[name]()


def _warm() -> None:
    with serving(["serve", "--warm", "1"]) as address:
        _tell_openings("serving: a page with a warm kernel usable", address, OPENINGS, 3.0, _until_warm)


def _cold() -> None:
    with serving(["serve", "--warm", "0"]) as address:
        _tell_openings("serving: a page without a warm kernel usable", address, COLD_OPENINGS, 12.0, lambda _: None)


def _tell_openings(name: str, address: str, times: int, bar: float, ready: Callable[[str], None]) -> None:
    took = []
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for _ in range(times):
            ready(address)
            _until_quiet()
            # A context of its own: nothing that an earlier visitor fetched is in its cache.
            page = visit(browser.new_context(viewport={"width": 1440, "height": 1000})).page
            start = time.perf_counter()
            open_in_voila(page, address)
            took.append(time.perf_counter() - start)
            leave(page)
            _until(lambda: _health(address)["visitors"] == 0, LEFT_WITHIN)
        browser.close()
    figures = spread(took)
    tell(name, figures["median"], "s", f"median <= {bar:g}", figures["median"] <= bar, **figures)


def _six() -> None:
    with serving(["serve", "--visitors", str(VISITORS + 1), "--warm", "0", "--idle", str(IDLE_SECONDS)]) as address:
        found = asyncio.run(_visit_together(address))
        gone = _seconds_until(lambda: _health(address)["visitors"] == 0, 2 * CULLED_WITHIN)
        left = _kernels()
    finished, took, alone, together, errors, isolated = found
    tell("serving: visitors at once who finish", finished, "visitors", f"all {VISITORS}, no error, isolated",
         finished == VISITORS and not errors and isolated, errors=errors[:5], isolated=isolated)  # fmt: skip
    tell("serving: the slowest of them", max(took, default=0.0), "s", "none set", met=True, n=len(took))
    each = (together - alone) / (VISITORS - 1) / 2**20
    tell("serving: memory of an idle visitor beyond the first", each, "MiB (proportional set size)", "<= 600",
         0 < each <= 600, first=round(alone / 2**20), all=round(together / 2**20))  # fmt: skip
    tell("serving: kernels gone after visitors vanished", gone, "s", f"<= {CULLED_WITHIN} at an idle time of "
         f"{IDLE_SECONDS}, none left", gone <= CULLED_WITHIN and not left, left=len(left))  # fmt: skip


async def _visit_together(address: str) -> tuple[int, list[float], int, int, list[str], bool]:
    """One visitor alone, then all at once; then all vanish without a word, as with a cable pulled."""
    async with async_playwright() as playwright:
        path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        errors: list[str] = []
        pages = [await _fresh(browser, errors) for _ in range(VISITORS)]
        ends = await _together(pages[:1], address, OPS[:1])
        alone = await _memory(pages[:1])
        stirring = asyncio.create_task(_stir(pages[0]))
        ends += await _together(pages[1:], address, OPS[1:])
        stirring.cancel()
        errors += [f"{type(end).__name__}: {end}"[:300] for end in ends if isinstance(end, BaseException)]
        took = [end for end in ends if isinstance(end, float)]
        together = await _memory(pages)
        isolated = [await _chosen(page) for page in pages] == [{op} for op in OPS]
        # Without the page's goodbye: only the idle time ends these kernels.
        for page in pages:
            await page.context.close()
        await browser.close()
        return len(took), took, alone, together, errors, isolated


async def _together(pages: list[Page], address: str, ops: list[str]) -> list[float | BaseException]:
    """What came of each visitor's golden path: the seconds it took, or what went wrong; who is done waits for all."""
    stirring: list[asyncio.Task[None]] = []

    async def visitor(page: Page, op: str) -> float:
        seconds = await asyncio.wait_for(_golden_path(page, address, op), PATIENCE_MS / 1000)
        stirring.append(asyncio.create_task(_stir(page)))
        return seconds

    paths = [visitor(page, op) for page, op in zip(pages, ops, strict=True)]
    ends = list(await asyncio.gather(*paths, return_exceptions=True))
    for each in stirring:
        each.cancel()
    return ends


async def _stir(page: Page) -> None:
    """Say something to the kernel now and then, as a person does who reads the page; nothing is computed for it."""
    while True:
        for text in ("mlp", ""):
            await page.get_by_test_id("filter").fill(text)
            await asyncio.sleep(STIR_SECONDS)


async def _fresh(browser: Browser, errors: list[str]) -> Page:
    page = await (await browser.new_context(viewport={"width": 1440, "height": 2400})).new_page()
    page.on("pageerror", lambda error: errors.append(str(error)[:300]))
    return page


async def _golden_path(page: Page, address: str, op: str) -> float:
    """Open the page, choose INT8 for an op, see its measured numbers and the map's colours, search, undo and redo.

    Returns the seconds it took.
    """
    start = time.perf_counter()
    await page.goto(address, timeout=PATIENCE_MS)
    await expect(page.locator(READY)).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_test_id(f"cell:{op}:int8").click(timeout=PATIENCE_MS)
    await _measured(page, op, chosen=True)
    cost = re.compile(r"^[\d.]+(e-?\d+)?$")
    await expect(page.get_by_test_id(f"cell:{op}:w8")).to_have_attribute("data-cost", cost, timeout=PATIENCE_MS)
    await page.get_by_test_id(re.compile("^section:Search")).click(timeout=PATIENCE_MS)
    await page.get_by_test_id("search-start").click(timeout=PATIENCE_MS)
    await expect(page.get_by_test_id("search")).to_have_attribute("data-state", "ready", timeout=PATIENCE_MS)
    for step, chosen in (("undo", False), ("redo", True)):
        await page.get_by_test_id(step).click(timeout=PATIENCE_MS)
        await _measured(page, op, chosen=chosen)
    return time.perf_counter() - start


async def _measured(page: Page, op: str, *, chosen: bool) -> None:
    """Wait until the op is shown in INT8 (or in FP32 again), and that recipe's numbers are there."""
    cell = page.get_by_test_id(f"cell:{op}:{'int8' if chosen else 'fp32'}")
    await expect(cell).to_have_attribute("data-chosen", "true", timeout=PATIENCE_MS)
    for card in ("delta-quality", "delta-latency"):
        await expect(page.get_by_test_id(card)).to_have_attribute("data-kind", "measured", timeout=PATIENCE_MS)


async def _chosen(page: Page) -> set[str]:
    """The ops that are in INT8 on this page."""
    marked = page.locator('[data-testid^="cell:"][data-testid$=":int8"][data-chosen=true]')
    names = await marked.evaluate_all("cells => cells.map((cell) => cell.dataset.testid)")
    return {name.removeprefix("cell:").removesuffix(":int8") for name in names}


def _kernels() -> list[psutil.Process]:
    """The kernels of servers that this process started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if KERNEL in process.cmdline():
                found.append(process)
    return found


async def _memory(pages: list[Page]) -> int:
    """Proportional set size of all those kernels, in bytes, once they rest: shared pages count by their share."""
    for page in pages:
        with suppress(AssertionError):  # where a visitor was stopped, the others are counted all the same
            progress = page.get_by_test_id("job-progress")
            await expect(progress).to_have_attribute("data-state", "idle", timeout=REST_WITHIN_MS)
    await asyncio.sleep(REST_SECONDS)
    return sum(process.memory_full_info().pss for process in _kernels())


def _health(address: str) -> dict[str, Any]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{address}health", timeout=30) as reply:
        facts: dict[str, Any] = json.load(reply)
        return facts


def _until_warm(address: str) -> None:
    _until(lambda: _health(address)["warm"] >= 1)


def _until_quiet() -> None:
    _until(lambda: psutil.cpu_percent(interval=0.5) < QUIET_PERCENT, QUIET_WITHIN)


def _until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    _seconds_until(condition, seconds)


def _seconds_until(condition: Callable[[], bool], most: float) -> float:
    """How long the condition took to come true; ``most`` where it did not."""
    start, pause = time.perf_counter(), threading.Event()
    while not condition() and time.perf_counter() - start < most:
        pause.wait(0.2)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
