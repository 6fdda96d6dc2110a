"""What a page says when its kernel or its server is killed, and what is there again afterwards; whom pages ask.

Effects: servers that are killed, a browser, the clock.
"""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import psutil
from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.record import tell
from explorer.serving import PAGES, choose_port
from explorer.trials import default_path
from tests.browser.driving import READY, ROOT, launch, leave, open_in_voila, serving, visit

PATIENCE_MS = 120_000
FIRST, SECOND = "blocks.0.mlp.fc1/linear", "blocks.1.mlp.fc1/linear"
CARDS = ("quality", "kl", "latency", "memory", "casts")
TOLD_WITHIN_S = 5.0
TYPED_MS = 1000
"""A filter is told to the kernel once the typing pauses. Numbers of a recipe that was measured before stand there at
once: without a pause the end would come before that."""
KERNEL_ID = "() => JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId"
SITE = "widgets.serve.site"
PORT = 8971
COUNTS = {
    "trials": "select count(*) from trials",
    "recipes": "select count(*) from recipes",
    "pages": "select count(*) from pages",
}


def kernel() -> None:
    """Kill a kernel in the middle of a job: how soon its page says so, and whether it is found again as it was left."""
    with serving(["serve", "--warm", "0"]) as address, _page() as page:
        open_in_voila(page, address)
        before = _work(page)
        _choose(page, SECOND, "int8")
        expect(page.get_by_test_id("job-progress")).to_have_attribute("data-state", "running", timeout=PATIENCE_MS)
        identity = page.evaluate(KERNEL_ID)
        start = time.perf_counter()
        _process(identity).kill()
        expect(page.get_by_test_id("ended")).to_be_visible(timeout=PATIENCE_MS)
        said = time.perf_counter() - start
        page.get_by_test_id("reload").click()
        lost = _lost(page, before)
    tell("serving: a page whose kernel was killed says so after", said, "s", f"<= {TOLD_WITHIN_S:g}",
         said <= TOLD_WITHIN_S)  # fmt: skip
    tell("serving: what was shown and is lost after a kernel was killed", len(lost), "facts", "0", not lost, lost=lost)


def server() -> None:
    """Kill the server, start it again: what its page says meanwhile, and whether all trials and recipes are there."""
    port = choose_port(None, PORT, lambda _: None)
    arguments = ["serve", "--warm", "0", "--port", str(port)]
    with _page() as page:
        with _killed(arguments) as (address, kill):
            open_in_voila(page, address)
            before = _work(page)
            rows = _rows()
            start = time.perf_counter()
            kill()
            expect(page.get_by_test_id("ended")).to_be_visible(timeout=PATIENCE_MS)
            said = time.perf_counter() - start
            after = _rows()
        with serving(arguments):
            page.get_by_test_id("reload").click()
            lost = _lost(page, before)
            measured = _rows()
            leave(page)
    lost += [f"{name}: {rows[name] - after[name]} rows" for name in rows if after[name] < rows[name]]
    tell("serving: a page whose server was killed says so after", said, "s", f"<= {TOLD_WITHIN_S:g}",
         said <= TOLD_WITHIN_S)  # fmt: skip
    tell("serving: what was shown and is lost after the server was killed", len(lost), "facts", "0", not lost,
         lost=lost, rows=rows, rows_after_reload=measured)  # fmt: skip


def hosts() -> None:
    """Open every page of the site: requests to other hosts, refused and counted, and errors in its console."""
    foreign: list[str] = []
    errors: list[str] = []
    with serving(["serve", "--warm", "0"]) as address, sync_playwright() as playwright:
        browser = launch(playwright)
        for name in PAGES:
            seen = visit(browser.new_context(viewport={"width": 1440, "height": 1000}))
            seen.page.goto(f"{address}pages/{name}", timeout=PATIENCE_MS)
            expect(seen.page.locator(".jupyter-widgets, .px").first).to_be_attached(timeout=PATIENCE_MS)
            seen.page.wait_for_load_state("networkidle")
            foreign += seen.foreign
            errors += [f"{name}: {error}" for error in seen.errors]
            leave(seen.page)
        browser.close()
    tell("serving: requests of all pages to other hosts", len(foreign), "requests", f"0, of {len(PAGES)} pages",
         not foreign and not errors, foreign=foreign[:5], errors=errors[:5])  # fmt: skip


@contextmanager
def _page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield visit(browser.new_context(viewport={"width": 1440, "height": 2400})).page
        browser.close()


@contextmanager
def _killed(arguments: list[str]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Run ``explorer <arguments>``; give its address and what kills the site; nothing of it is left at the end."""
    command = [sys.executable, "-m", "explorer", arguments[0], "--no-browser", *arguments[1:]]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert parent.stdout is not None
    started: list[psutil.Process] = []

    def kill() -> None:
        started.extend(psutil.Process(parent.pid).children(recursive=True))
        for each in started:
            if SITE in each.cmdline():
                each.kill()

    try:
        line = next(line for line in parent.stdout if " is ready: " in line)
        yield line.split(" is ready: ")[1].strip(), kill
    finally:
        parent.send_signal(signal.SIGINT)
        parent.communicate(timeout=30)
        # Kernels notice within a second that the server is no more.
        left = psutil.wait_procs(started, timeout=10)[1]
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    assert not left, f"{len(left)} processes outlived the server that had started them"


def _process(kernel: str) -> psutil.Process:
    """The process of a kernel, which has its id in its command line."""
    return next(each for each in psutil.process_iter(["cmdline"]) if kernel in " ".join(each.info["cmdline"] or ()))


def _choose(page: Page, op: str, precision: str) -> None:
    page.get_by_test_id(f"cell:{op}:{precision}").click(timeout=PATIENCE_MS)
    chosen = page.locator(f'[data-testid="cell:{op}:{precision}"][data-chosen=true]')
    expect(chosen).to_be_visible(timeout=PATIENCE_MS)


def _work(page: Page) -> dict[str, str]:
    """Do what a person does, measure it, and give what is on show then."""
    _choose(page, SECOND, "bf16")
    _choose(page, FIRST, "int8")
    page.get_by_test_id(re.compile("^section:History")).click()
    page.get_by_test_id("filter").fill("mlp")
    page.wait_for_timeout(TYPED_MS)
    return _shown(page)


def _shown(page: Page) -> dict[str, str]:
    """What stands on a page once all numbers of its recipe are there: recipe, numbers, history, filter."""
    for name in ("quality", "latency"):
        card = page.get_by_test_id(f"delta-{name}")
        expect(card).to_have_attribute("data-kind", "measured", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("numbers")).to_have_attribute("aria-busy", "false", timeout=PATIENCE_MS)
    tree = page.get_by_test_id("history")
    expect(tree).to_be_visible(timeout=PATIENCE_MS)
    numbers = {name: page.get_by_test_id(f"delta-{name}").locator(".px-big").inner_text() for name in CARDS}
    return numbers | {
        "recipe": page.get_by_test_id("recipe").get_attribute("data-hash") or "",
        "history": "\n".join(tree.locator("[data-testid^='history:']").all_inner_texts()),
        "filter": page.get_by_test_id("filter").input_value(),
    }


def _lost(page: Page, before: dict[str, str]) -> list[str]:
    """What a page that is opened again does not show as it was; what was only chosen when it ended is taken back."""
    expect(page.locator(READY)).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_test_id("history")).to_be_visible(timeout=PATIENCE_MS)
    recipe = page.get_by_test_id("recipe")
    if recipe.get_attribute("data-hash") != before["recipe"]:
        page.get_by_test_id("undo").click()
        expect(recipe).to_have_attribute("data-hash", before["recipe"], timeout=PATIENCE_MS)
    now = _shown(page)
    # A later choice is one more line in the history, and where one stands has moved: the lines themselves stay.
    lost = [line for line in before.pop("history").splitlines() if line not in now["history"]]
    return lost + [f"{name}: {was!r} is {now[name]!r}" for name, was in before.items() if now[name] != was]


def _rows() -> dict[str, int]:
    """How many rows each table of the trial store has."""
    with closing(sqlite3.connect(default_path())) as store:
        return {name: store.execute(count).fetchone()[0] for name, count in COUNTS.items()}
