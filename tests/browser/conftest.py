"""A server for each place the page can live, and a page that fails its test for what a person would not notice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.driving import (
    ARTIFACTS,
    Visit,
    lab_environment,
    launch,
    open_in_lab,
    open_in_voila,
    serving,
    visit,
)

Open = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


# Module scope: as long as Playwright's synchronous interface is open, an event loop counts as running in this thread,
# and the page's code under test would hand its callbacks to it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@pytest.fixture(scope="module")
def voila(free_port: Callable[[], int]) -> Iterator[str]:
    """The address of ``explorer demo``."""
    with serving(["demo", "--port", str(free_port())]) as address:
        yield address


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[str]:
    """The address of ``explorer lab`` on a copy of the notebook, for JupyterLab saves what it shows."""
    folder = tmp_path_factory.mktemp("lab")
    command = ["lab", "--port", str(free_port()), "--folder", str(folder / "notebooks")]
    command += ["--", "--LabApp.expose_app_in_browser=True"]
    with serving(command, lab_environment(folder)) as address:
        yield address


@pytest.fixture
def visits(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visit]]:
    """``visits(width=..., height=...)`` gives a fresh page; at the end each leaves a picture and is held to account."""
    made: list[Visit] = []

    def fresh(width: int = 1440, height: int = 1000) -> Visit:
        made.append(visit(browser.new_context(viewport={"width": width, "height": height})))
        return made[-1]

    yield fresh
    for number, seen in enumerate(made):
        _keep_picture(seen, request.node.name, number)
        # As a person who closes the tab: the page then ends its kernel, which would slow the next test down.
        seen.page.close(run_before_unload=True)
        seen.page.context.close()
    assert [url for seen in made for url in seen.foreign] == []
    assert [error for seen in made for error in seen.errors] == []


@pytest.fixture
def open_page(visits: Callable[..., Visit], request: pytest.FixtureRequest) -> Open:
    """``open_page("voila" | "lab", width=..., height=..., query="")`` gives a page on which the explorer is ready."""

    def opened(place: str, query: str = "", **size: int) -> Page:
        address = request.getfixturevalue(place)
        seen = visits(**size)
        (open_in_voila if place == "voila" else open_in_lab)(seen.page, address + query)
        return seen.page

    return opened


def _keep_picture(seen: Visit, test: str, number: int) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "-", test).strip("-") + (f"-{number}" if number else "")
    seen.page.screenshot(path=ARTIFACTS / f"{name}.png")
