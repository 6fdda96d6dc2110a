"""The map of a recording in which nobody had looked at costs and ranges, as a browser shows it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

import explorer as px
from tests.browser.alone import document_of
from tests.browser.driving import browsing
from tests.widgets.small import open_small
from widgets.measuring import measure
from widgets.state import PageState
from widgets.views.precision_map import PrecisionMap


def test_the_map_says_what_was_not_recorded_and_offers_no_second_try(tmp_path: Path) -> None:
    state = PageState()
    state.watched = True
    state.adopt(px.load(open_small(tmp_path / "trials.sqlite").save(tmp_path / "bare.pxb")))
    view = PrecisionMap(state)
    measure(state)
    assert state.wait(20)
    document = document_of(view)
    view.close()
    with browsing() as browser:
        _look(browser, document)


def _look(browser: Browser, document: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.set_content(document)
    notices = page.get_by_test_id("map-notices")
    expect(notices).to_contain_text("This recording holds no predicted costs and no ranges")
    expect(notices.get_by_role("button")).to_have_count(0)
    expect(page.locator(".px-header .px-col-range")).to_contain_text("not recorded")
    expect(page.get_by_test_id("cost-source")).to_have_text("no costs were recorded")
