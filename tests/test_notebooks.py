"""The course: each notebook runs from top to bottom as a visitor's page in a browser, and is kept without outputs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, Page

from explorer.serving import PAGES
from tests.browser.axe import darken, violations
from tests.browser.driving import Visit, browsing, leave, serving, visit

MINUTES_MS = 240_000
"""A page imports torch, compiles loops and runs its cells, on two cores that another page and other tests share."""
AT_ONCE = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
"""Pages that are being built side by side, each on one thread; a second worker of the tests is busy with its own."""
LESSONS = {name: page for name, page in PAGES.items() if page.minutes}
VIEWS = {"start": 2, "recipe": 3, "formats": 8, "ranges": 8, "map": 6, "own-model": 2, "quantise": 2}
"""Page -> how many views it shows, each question being one."""
DRAWN = """[...document.querySelectorAll("#rendered_cells .jp-OutputArea-output.lm-Panel > .lm-Widget")]
    .filter((view) => view.childElementCount).length"""
BUILT = f"(views) => document.querySelector('.px-unbuilt') || {DRAWN} >= views"
ANSWERED = "(count) => document.querySelectorAll('.px-question-said [role]').length >= count"
FACTS = """() => ({
    heading: document.querySelector("h1")?.textContent ?? "",
    silent: [...document.querySelectorAll(".jp-CodeCell")]
        .filter((cell) => !cell.querySelector(".jp-OutputArea-output")).map((cell) => cell.id || cell.className),
    said: [...document.querySelectorAll(".px-question-said")].map((said) => said.textContent.trim()),
    alerts: [...document.querySelectorAll("[role=alert]")]
        .filter((alert) => alert.checkVisibility()).map((alert) => alert.textContent.trim()),
    leads: [...document.querySelectorAll(".jp-RenderedMarkdown a:not(.anchor-link)")]
        .map((link) => new URL(link.href).pathname),
})"""


def read(root: Path, file: str) -> Any:
    notebook = nbformat.read(root / "notebooks" / file, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


@pytest.mark.parametrize("name", LESSONS)
def test_is_kept_without_outputs_and_says_what_it_takes(root: Path, name: str) -> None:
    lesson = LESSONS[name]
    notebook = read(root, lesson.file)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    opening, words = notebook.cells[0].source, "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert opening.startswith(f"# {lesson.title}\n") and notebook.metadata["title"] == lesson.title
    assert all(part in opening for part in ("**You learn**", f"**{lesson.minutes} minutes.", "You need**"))
    assert "## Your turn" in words and any("widgets.Question(" in cell.source for cell in code)


def test_the_list_of_the_course_is_complete(root: Path) -> None:
    table = re.findall(
        r"^\| \[(\w+)\]\((\S+)\) \| `([\w-]+)` \| (\d+) \|", (root / "notebooks/README.md").read_text(), re.M
    )
    stems = {name: Path(lesson.file).stem for name, lesson in LESSONS.items()}
    assert table == [(stems[name], page.file, name, str(page.minutes)) for name, page in LESSONS.items()]
    assert {file.name for file in (root / "notebooks").glob("*.ipynb")} == {page.file for page in PAGES.values()}


@dataclass(frozen=True)
class Read:
    """What a reader of a page meets: its facts, how it was answered, and what a person would not notice."""

    status: int
    facts: Mapping[str, Any]
    views: int
    errors: list[str]
    foreign: list[str]
    barriers: list[str] | None
    """What axe finds serious by day and by night; None where axe cannot be had."""


@pytest.fixture(scope="module")
def site(free_port: Callable[[], int]) -> Iterator[str]:
    """The address of ``explorer serve``, without a kernel kept warm for a page that nobody asks for here."""
    one_thread = {"OMP_NUM_THREADS": "1"}
    with serving(["serve", "--warm", "0", "--port", str(free_port())], one_thread) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as running:
        yield running


@pytest.fixture(scope="module")
def pages(site: str, browser: Browser, request: pytest.FixtureRequest) -> Mapping[str, Read | Exception]:
    """Page -> what was read there, or the error that ended it, of those that this run of the tests asks for."""
    asked = {item.name for item in request.session.items}
    tests = (test_runs_as_a_page, test_nobody_is_kept_out)
    waiting = [name for name in LESSONS if asked & {f"{test.__name__}[{name}]" for test in tests}]
    opened: list[tuple[str, Visit, int]] = []
    found: dict[str, Read | Exception] = {}
    while waiting or opened:
        while waiting and len(opened) < AT_ONCE:
            name = waiting.pop(0)
            seen = visit(browser.new_context())
            seen.page.set_default_timeout(MINUTES_MS)
            answer = seen.page.goto(f"{site}pages/{name}", wait_until="commit")
            opened.append((name, seen, answer.status if answer else 0))
        name, seen, status = opened.pop(0)
        try:
            found[name] = attend(seen, VIEWS[name], status)
        except Exception as error:
            found[name] = error
        leave(seen.page)
    return found


def attend(seen: Visit, views: int, status: int) -> Read:
    """Wait until a page is there, and have every question give its answer away."""
    page = seen.page
    page.wait_for_function(BUILT, arg=views)
    if broken := page.locator(".px-unbuilt").all_inner_texts():
        raise AssertionError(broken[0])
    answers = page.get_by_role("button", name="Show the answer")
    for button in answers.all():
        button.click()
    page.wait_for_function(ANSWERED, arg=answers.count())
    facts, drawn = page.evaluate(FACTS), page.evaluate(DRAWN)
    return Read(status, facts, drawn, seen.errors, seen.foreign, barriers(page))


def barriers(page: Page) -> list[str] | None:
    """Serious and critical violations in both themes."""
    try:
        by_day = violations(page)
    except pytest.skip.Exception:
        return None
    darken(page)
    return by_day + [f"dark: {each}" for each in violations(page)]


@pytest.mark.browser
@pytest.mark.parametrize("name", LESSONS)
def test_runs_as_a_page(pages: Mapping[str, Read | Exception], name: str) -> None:
    found = pages[name]
    if isinstance(found, Exception):
        raise found
    assert found.status == 200
    assert found.facts["heading"].startswith(LESSONS[name].title)
    assert (found.facts["silent"], found.facts["alerts"]) == ([], [])
    assert found.views == VIEWS[name]
    assert all(found.facts["said"])
    doors = {f"/pages/{page.file}" for page in LESSONS.values()}
    assert found.facts["leads"] and set(found.facts["leads"]) <= doors
    assert (found.errors, found.foreign) == ([], [])


@pytest.mark.browser
@pytest.mark.parametrize("name", LESSONS)
def test_nobody_is_kept_out(pages: Mapping[str, Read | Exception], name: str) -> None:
    """By axe's rules, with every answer shown."""
    found = pages[name]
    if isinstance(found, Exception):
        raise found
    if found.barriers is None:
        pytest.skip("npm is missing, which fetches axe-core: accessibility was not checked")
    assert found.barriers == []


@pytest.mark.browser
def test_the_site_lists_its_pages_in_order(site: str, browser: Browser) -> None:
    page = visit(browser.new_context()).page
    page.goto(f"{site}pages/")
    links = page.get_by_test_id("pages").get_by_role("link")
    assert [link.get_attribute("href") for link in links.all()] == [f"/pages/{name}" for name in PAGES]
    for link, listed in zip(links.all_inner_texts(), PAGES.values(), strict=True):
        assert listed.title in link and (f"{listed.minutes} min" in link) == bool(listed.minutes)
    page.context.close()
