"""A recording that lacks ranges, costs and numbers says so, and waits for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import explorer as px
from tests.widgets.small import FIRST, open_small
from widgets import map_costs, payloads, strips
from widgets.measuring import measure
from widgets.plain import why_none
from widgets.state import PageState
from widgets.views.inspector import InspectorHead

LACKING = "not measured when this was recorded"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exploration in which nobody had looked at anything."""
    folder = tmp_path_factory.mktemp("bare")
    path: Path = open_small(folder / "trials.sqlite").save(folder / "bare.pxb")
    return path


@pytest.fixture
def shown(bare: Path) -> PageState:
    """A page on it that a browser watches."""
    state = PageState()
    state.watched = True
    state.adopt(px.load(bare))
    measure(state)
    assert state.wait(20)
    return state


def test_ranges_and_costs_that_were_not_recorded_are_absent_and_did_not_fail(shown: PageState) -> None:
    assert shown.range_error and shown.map_error
    assert strips.strips(shown)[0]["state"] == "absent"
    assert map_costs.costs(shown)[0]["state"] == "absent"
    head = InspectorHead(shown)
    shown.selection = (FIRST,)
    shown.changed("selection")
    assert head.inspected["state"] == "absent"
    head.close()


def test_numbers_that_were_not_recorded_are_absent_and_not_pending(shown: PageState) -> None:
    found = payloads.delta(shown)
    parts = {name: part for name, part in found.items() if isinstance(part, dict)}
    assert "pending" not in {part["kind"] for part in parts.values()}
    assert {name for name, part in parts.items() if part["kind"] == "absent"} == {"quality", "kl", "latency"}
    assert {found[name]["error"] for name in ("quality", "kl", "latency")} == {LACKING}


def test_only_a_recording_lacks_for_good(shown: PageState) -> None:
    assert [why_none(shown.session, ""), why_none(shown.session, "x"), why_none(None, "x")] == ["", "absent", "failed"]
