"""A server for each place the page can live, and a page that fails its test for what a person would not notice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.driving import (
    ARTIFACTS,
    WINDOW,
    Visit,
    as_new,
    browsing,
    lab_environment,
    leave,
    open_in_lab,
    open_in_voila,
    serving,
    visit,
)

Open = Callable[..., Page]
OPENERS = {"voila": open_in_voila, "lab": open_in_lab}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


# Module scope: as long as Playwright's synchronous interface is open, an event loop counts as running in this thread,
# and the page's code under test would hand its callbacks to it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as running:
        yield running


# One server for all files: the kernel that it heats for the next visitor is then used, too.
@pytest.fixture(scope="session")
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
        leave(seen.page)
    assert [url for seen in made for url in seen.foreign] == []
    assert [error for seen in made for error in seen.errors] == []


@pytest.fixture(scope="module")
def kept_pages() -> Iterator[dict[str, Visit]]:
    """Place -> the page there that the tests of a file share: opening one takes longer than most of them."""
    kept: dict[str, Visit] = {}
    yield kept
    for seen in kept.values():
        leave(seen.page)


@pytest.fixture
def shared_page(browser: Browser, kept_pages: dict[str, Visit], request: pytest.FixtureRequest) -> Iterator[Open]:
    """``shared_page("voila" | "lab")`` gives the shared page there, as good as new; each test is held to account."""
    used: list[Visit] = []

    def find(place: str) -> Page:
        seen = kept_pages.get(place)
        again = getattr(request.node, "execution_count", 1) > 1  # a first try left its page in the middle of something
        if seen is not None and not again and seen.page.get_by_test_id("page").count():
            as_new(seen.page)
        else:
            if seen is not None:
                leave(kept_pages.pop(place).page)
            seen = kept_pages[place] = visit(browser.new_context(viewport=WINDOW))
            OPENERS[place](seen.page, request.getfixturevalue(place))
        used.append(seen)
        return seen.page

    yield find
    for seen in used:
        _keep_picture(seen, request.node.name, 0)
        foreign, errors = seen.foreign[:], seen.errors[:]
        seen.foreign.clear()
        seen.errors.clear()
        assert (foreign, errors) == ([], [])


@pytest.fixture
def open_page(visits: Callable[..., Visit], request: pytest.FixtureRequest) -> Open:
    """``open_page("voila" | "lab", width=..., height=..., query="")`` gives a page on which the explorer is ready."""

    def opened(place: str, query: str = "", **size: int) -> Page:
        address = request.getfixturevalue(place)
        seen = visits(**size)
        OPENERS[place](seen.page, address + query)
        return seen.page

    return opened


def _keep_picture(seen: Visit, test: str, number: int) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "-", test).strip("-") + (f"-{number}" if number else "")
    seen.page.screenshot(path=ARTIFACTS / f"{name}.png")
