"""The exported page: what it holds of a recorded exploration, and what it refuses."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

import explorer as px
from explorer.errors import BundleError
from tests.browser.driving import READY, launch
from tests.widgets.small import FIRST, LAST
from widgets import export
from widgets.export import filming
from widgets.export.document import document_of
from widgets.export.filming import Filmed, film_page


@pytest.fixture(scope="session")
def filmed(saved: Path) -> Filmed:
    """Of two recipes, the one that was saved and the other that was measured: each takes a second."""
    recorded = px.load(saved)
    before = recorded.history
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filming, "MOST_RECIPES", 2)
        found = film_page(recorded)
    assert recorded.history == before, "filming leaves the recording as it was"
    return found


def shown(filmed: Filmed, recipe: str, view: str) -> dict[str, Any]:
    """What a view shows of a recipe."""
    return {name: filmed.film.values[number] for name, number in filmed.frames[recipe][filmed.nodes[view]].items()}


def planned(filmed: Filmed, recipe: str) -> str:
    """The hash of the recipe whose plan the map shows: that of the whole plan, or what differs from it."""
    found = shown(filmed, recipe, "map")
    plan = found["plan"]["value"] | found["plan_since"].get("rest", {})
    return str(plan["hash"])


def test_every_recipe_has_its_own_frame(explored: Any, filmed: Filmed) -> None:
    now, before = explored.recipe.hash, explored.history[0].recipe.hash
    assert {now, before} <= filmed.frames.keys()
    assert filmed.facts["start"] == now
    assert (planned(filmed, now), planned(filmed, before)) == (now, before)
    assert shown(filmed, now, "map")["table"] == shown(filmed, before, "map")["table"]
    first = next(iter(filmed.inspections[now].values()))
    inspected = filmed.inspector[first[0]][filmed.nodes["inspector"]]["inspected"]
    assert filmed.film.values[inspected]["state"] == "ready"
    assert f"{now} {before}" in filmed.pairs
    lowered = next(op for op, precision in explored.recipe.precisions.items() if precision != "fp32")
    errors, causes = (filmed.film.values[number] for number in filmed.details[now][lowered])
    assert {figure["kind"] for figure in errors["figures"]} == {"recorded"} and causes["state"] == "ready"
    assert "not recorded" in filmed.film.values[filmed.details[before][lowered][0]]["error"]
    drawn = [filmed.film.values[traits["drawn"]] for traits in filmed.frames[now].values() if "drawn" in traits]
    assert any(now in figure for figure in drawn), "its point in the frontier says which recipe it is"


def test_the_file_holds_everything(filmed: Filmed) -> None:
    text = document_of(filmed)
    film = re.search(r'id="px-film">([^<]*)<', text)
    assert film is not None
    contents = json.loads(gzip.decompress(base64.b64decode(film[1])))
    assert contents["frames"] == filmed.frames
    assert filmed.facts["mark"] in text
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert text.count("</script>") == text.count("<script")


def test_what_cannot_be_written_is_refused(
    recorded: px.Recorded, filmed: Filmed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match="there is no folder"):
        export.export_html(recorded, tmp_path / "nowhere" / "x.html")
    monkeypatch.setattr(export, "LARGEST_BYTES", 1000)
    monkeypatch.setattr(export, "film_page", lambda *_: filmed)
    with pytest.raises(BundleError, match="explorer show"):
        export.export_html(recorded, tmp_path / "x.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.browser
def test_it_works_from_disk_and_asks_nobody(explored: Any, filmed: Filmed, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(document_of(filmed), encoding="utf-8")
    asked: list[str] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        expect(page.locator(READY)).to_be_visible()
        expect(page.get_by_test_id("recorded-mark")).to_have_text(f"R{filmed.facts['mark'][1:]}")
        _switch_sort_and_filter(page)
        _turn_dark(page)
        browser.close()
    assert (asked, errors) == ([path.as_uri()], [])


def _switch_sort_and_filter(page: Page) -> None:
    quality = page.get_by_test_id("delta-quality")
    expect(page.get_by_test_id(f"cell:{FIRST}:int8")).to_have_attribute("data-chosen", "true")
    before = quality.inner_text()
    page.get_by_test_id("preset").select_option("fp32")
    expect(page.get_by_test_id(f"cell:{FIRST}:fp32")).to_have_attribute("data-chosen", "true")
    expect(quality).not_to_have_text(before)
    page.get_by_test_id("undo").click()
    expect(page.get_by_test_id(f"cell:{FIRST}:int8")).to_have_attribute("data-chosen", "true")
    page.get_by_test_id("filter").fill("last")
    expect(page.get_by_test_id(f"row:{FIRST}")).to_have_count(0)
    expect(page.get_by_test_id(f"row:{LAST}")).to_be_visible()


def _turn_dark(page: Page) -> None:
    """The reader's system turns dark while the page is open: so do the page and the colours of its cells."""
    cell = page.locator(".px-cell[data-step='0'] > span").first
    before = cell.evaluate("(one) => getComputedStyle(one).backgroundColor")
    page.emulate_media(color_scheme="dark")
    expect(cell).not_to_have_css("background-color", before)
