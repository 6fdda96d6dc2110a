"""Effects: starts the project's servers and a real browser, for the browser tests and for the page's benchmark."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    ViewportSize,
    WebSocket,
    expect,
    sync_playwright,
)
from playwright.sync_api import TimeoutError as PlaywrightTimeout

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "artifacts"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",  # the tests run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # A browser calls home by itself, and a call by the page must stand out.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MODEL = "digits-vit"
"""What a page opens where nothing else is asked for."""
WINDOW: ViewportSize = {"width": 1440, "height": 1000}
READY = "[data-testid=page][data-ready=true]"
KERNEL_IDLE = """() => {
    const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
    return session?.isReady && session.session?.kernel?.status === "idle";
}"""
ANSWER_MS = 20_000
"""An answer takes milliseconds; two shared cores may be busy with a kernel that another test has just asked for."""
LIBRARY_BYTES = 1_000_000
"""Plotly comes gzipped in one message, larger than this; nothing else on the page is."""
LEAVE_MS = 2_000
PAGE_MS = 60_000
"""A cold page imports torch, opens a model and captures it, on two cores that a server shares."""


expect.set_options(timeout=ANSWER_MS)


def launch(playwright: Playwright) -> Browser:
    """The browser on PATH, or else the one that Playwright installed."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    return playwright.chromium.launch(executable_path=found, args=list(FLAGS))


@contextmanager
def browsing() -> Iterator[Browser]:
    """A running browser. While Playwright's synchronous interface is open, an event loop counts as running here."""
    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@contextmanager
def serving(arguments: Sequence[str], environment: dict[str, str] | None = None) -> Iterator[str]:
    """Run ``explorer <arguments>`` and give the address that it prints; stop it as a person would, with Ctrl-C."""
    server = subprocess.Popen(
        [sys.executable, "-m", "explorer", arguments[0], "--no-browser", *arguments[1:]],
        cwd=ROOT,
        env=dict(os.environ, **(environment or {})),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    try:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if " is ready: " in line:
                yield line.split(" is ready: ")[1].strip()
                break
        else:
            raise AssertionError(f"the server ended before it was ready: {''.join(lines)}")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
    assert server.returncode == 0


def lab_environment(folder: Path) -> dict[str, str]:
    """Settings, workspaces and state of a JupyterLab that touches nothing of the user's own."""
    return {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }


@dataclass
class Visit:
    """One open page, and what went wrong on it that no picture shows."""

    page: Page
    foreign: list[str] = field(default_factory=list)
    """Requests to another host; each was refused."""
    errors: list[str] = field(default_factory=list)
    """Errors in the browser's console, and exceptions that nothing caught."""


def visit(context: BrowserContext) -> Visit:
    """A new page that refuses and records every request to another host, and records errors."""
    page = context.new_page()
    page.set_default_timeout(PAGE_MS)
    seen = Visit(page)

    def on_request(request: Request) -> None:
        if not _local(request.url):
            seen.foreign.append(request.url)

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            seen.errors.append(f"{message.text} ({message.location.get('url', '')})")

    context.route(lambda url: not _local(url), lambda route: route.abort())
    page.on("request", on_request)
    page.on("console", on_console)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    return seen


def count_libraries(page: Page) -> list[int]:
    """The sizes of the messages that can only be plotly, as they come."""
    found: list[int] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: found.append(len(frame)) if len(frame) > LIBRARY_BYTES else None)

    page.on("websocket", listen)
    return found


def leave(page: Page) -> None:
    """Close a page as a person closes a tab, and wait until it has told the site to end its kernel.

    A context that is closed at once may take that message along; a kernel that stays holds a gigabyte or two.
    """
    told = page.context.expect_event("request", lambda request: "/api/shutdown/" in request.url, timeout=LEAVE_MS)
    with suppress(PlaywrightTimeout), told:  # a page without a kernel tells nobody
        page.close(run_before_unload=True)
    page.context.close()


def open_in_voila(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(READY)).to_be_visible(timeout=PAGE_MS)


def open_in_lab(page: Page, address: str) -> None:
    """Open the notebook and run it, as its reader would with Run All Cells."""
    page.goto(address)
    page.wait_for_function(KERNEL_IDLE)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    expect(page.locator(READY)).to_be_visible(timeout=PAGE_MS)


def as_new(page: Page) -> None:
    """Bring back a page that another test has used: the first model in FP32, no filter, a wide window."""
    page.set_viewport_size(WINDOW)
    if page.get_by_test_id("page").get_attribute("data-model") != MODEL:
        page.get_by_test_id("model").select_option(MODEL)
        expect(page.locator(f"{READY}[data-model={MODEL}]")).to_be_visible(timeout=PAGE_MS)
    page.get_by_test_id("filter").fill("")
    preset = page.get_by_test_id("preset")
    if preset.input_value() != "fp32":
        before = page.get_by_test_id("recipe").get_attribute("data-hash") or ""
        preset.select_option("fp32")
        expect(page.get_by_test_id("recipe")).not_to_have_attribute("data-hash", before)


def brightness(page: Page) -> float:
    """How bright the middle of the delta bar is, from 0 to 1."""
    colour = page.evaluate(
        """() => {
            let element = document.querySelector("[data-testid=delta-quality]");
            const clear = (colour) => /rgba\\(.*, 0\\)|transparent/.test(colour);
            while (clear(getComputedStyle(element).backgroundColor)) element = element.parentElement;
            return getComputedStyle(element).backgroundColor;
        }"""
    )
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", colour)[:3])
    scale = 1.0 if colour.startswith("color(") else 255.0
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / scale


def _local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")
