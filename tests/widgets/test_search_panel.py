"""The search panel: goal and locks, the worker's part, a slider whose last position wins, applying and measuring."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from explorer.errors import RecipeError
from tests.widgets.conftest import Ask, until
from tests.widgets.fake import FakeSession
from widgets import map_costs, search_rows
from widgets.measuring import measure
from widgets.state import PageState

QKV = "blocks.0.attn.qkv/linear"
FC1 = "blocks.1.mlp.fc1/linear"


@pytest.fixture
def found(ask: Ask, state: PageState, session: FakeSession) -> dict[str, Any]:
    """The panel's payload after a search."""
    assert ask("search")["ok"]
    assert state.wait(20)
    session.calls.clear()
    return search_rows.search(state)


def test_before_a_search_the_goal_is_what_is_real_here(state: PageState) -> None:
    panel = search_rows.search(state)
    json.dumps(panel, allow_nan=False)
    assert (panel["state"], panel["objective"]) == ("none", "latency")
    assert {name for name, on, _ in panel["precisions"] if on} == {"bf16", "int8", "int8_static", "w8"}
    assert [name for name, _, real in panel["precisions"] if not real] == ["fp16", "fp8", "w4"]


def test_a_search_gives_a_slider_and_a_proposal(found: dict[str, Any], state: PageState) -> None:
    json.dumps(found, allow_nan=False)
    low, high = state.frontier.limits
    assert (found["state"], found["low"], found["high"]) == ("ready", low, high)
    assert found["budget"] == (low + high) / 2 == found["proposal"]["solved"]
    assert found["proposal"]["changes"] > 0
    assert found["proposal"]["latency_ms"] <= found["budget"]
    assert len(found["points"]) == len(state.frontier.proposals)


def test_the_proposal_is_on_the_map_before_it_is_taken(
    found: dict[str, Any], ask: Ask, state: PageState, session: FakeSession
) -> None:
    wish = map_costs.proposed(state)
    assert [session.precisions[at] for at in wish] == [state.proposal.recipe[op] for op in session.ids]
    assert session.recipe == session.presets()["fp32"]
    assert ask("take_proposal", hash=found["proposal"]["hash"])["ok"]
    assert session.recipe == state.proposal.recipe
    assert session.node.words.startswith("search, at most ")
    assert search_rows.search(state)["proposal"]["changes"] == 0
    assert state.wait(20)
    assert "evaluate" in session.calls


def test_a_proposal_that_has_changed_since_is_not_taken(
    found: dict[str, Any], ask: Ask, state: PageState, session: FakeSession
) -> None:
    ask("budget", value=found["low"])
    assert state.wait(20)
    assert not ask("take_proposal", hash=found["proposal"]["hash"])["ok"]
    assert session.recipe == session.presets()["fp32"]


def test_the_last_position_of_the_slider_wins(
    found: dict[str, Any], ask: Ask, state: PageState, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, solved = threading.Event(), []
    at = type(state.frontier).at

    def slow(frontier: Any, budget: float) -> Any:
        solved.append(budget)
        assert gate.wait(10)
        return at(frontier, budget)

    monkeypatch.setattr(type(state.frontier), "at", slow)
    low, high = found["low"], found["high"]
    moves = [low + (high - low) * part / 10 for part in range(10)]
    assert ask("budget", value=moves[0])["ok"]
    until(lambda: len(solved) == 1)
    for move in moves[1:]:
        assert ask("budget", value=move)["ok"]
        meanwhile = search_rows.search(state)["proposal"]
        assert meanwhile["latency_ms"] <= move and meanwhile["solved"] is None, "the front has an answer at once"
    gate.set()
    assert state.wait(20)
    assert solved == [moves[0], moves[-1]], "what the slider has left is not solved"
    assert search_rows.search(state)["proposal"]["solved"] == moves[-1]


def test_a_budget_is_held_to_the_front_and_checked(found: dict[str, Any], ask: Ask, state: PageState) -> None:
    assert ask("budget", value=1e9)["ok"]
    assert state.wait(20)
    assert state.search.budget == found["high"]
    assert search_rows.search(state)["proposal"]["counts"][0][0] == "fp32"
    for value in ("12", None, True, float("nan")):
        assert not ask("budget", value=value)["ok"]


def test_a_budget_that_nothing_meets_is_told(
    found: dict[str, Any], ask: Ask, state: PageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(frontier: Any, budget: float) -> Any:
        raise RecipeError("keep to 1 ms", "no recipe does", "a larger budget")

    monkeypatch.setattr(type(state.frontier), "at", refuse)
    ask("budget", value=found["low"])
    assert state.wait(20)
    panel = search_rows.search(state)
    assert panel["proposal"] is None and "no recipe does" in panel["error"]
    assert map_costs.proposed(state) == b""


def test_locked_ops_stay_and_a_new_lock_makes_the_front_old(ask: Ask, state: PageState) -> None:
    ask("set", ops=[QKV], precision="bf16")
    ask("lock_mine")
    assert search_rows.search(state)["locked"] == [QKV]
    ask("search")
    assert state.wait(20)
    assert all(proposal.recipe[QKV] == "bf16" for proposal in state.frontier.proposals)
    assert search_rows.search(state)["state"] == "ready"
    ask("lock", ops=[FC1], on=True)
    assert search_rows.search(state)["state"] == "stale"
    ask("lock", ops=[FC1], on=False)
    assert search_rows.search(state)["state"] == "ready"
    ask("set", ops=[QKV], precision="int8")
    assert search_rows.search(state)["state"] == "stale", "a locked op has another precision now"


def test_what_is_asked_for_is_checked(ask: Ask, state: PageState) -> None:
    assert not ask("search_for", objective="beauty", precisions=[])["ok"]
    assert not ask("search_for", objective="bits", precisions=["fp1"])["ok"]
    assert not ask("lock", ops=["nowhere"], on=True)["ok"]
    assert not ask("lock", ops=[QKV], on=1)["ok"]
    assert not ask("verify")["ok"]
    assert not ask("budget", value=3)["ok"]
    assert ask("search_for", objective="bits", precisions=["w4"])["ok"]
    assert [name for name, on, _ in search_rows.search(state)["precisions"] if on] == ["w4"]


def test_a_search_that_fails_says_why_in_its_panel(ask: Ask, state: PageState, session: FakeSession) -> None:
    session.no_search = RecipeError("search", "no op may change", "fewer locks")
    ask("search")
    assert state.wait(20)
    panel = search_rows.search(state)
    assert (panel["state"], panel["error"]) == ("failed", "search: no op may change. Try: fewer locks.")


def test_a_click_during_a_search_is_measured_first_and_the_search_goes_on(
    ask: Ask, state: PageState, session: FakeSession
) -> None:
    session.gate.clear()
    ask("search")
    until(lambda: session.calls == ["search latency"])
    ask("set", ops=[QKV], precision="int8")
    session.gate.set()
    assert state.wait(20)
    assert session.calls[:4] == ["search latency", "evaluate", "latency", "search latency"]
    assert search_rows.search(state)["state"] == "ready"


def test_cancel_ends_a_search(ask: Ask, state: PageState, session: FakeSession) -> None:
    session.gate.clear()
    ask("search")
    until(lambda: session.calls == ["search latency"])
    ask("cancel")
    assert state.wait(20)
    assert search_rows.search(state)["state"] == "none"


def test_verifying_fills_the_points_as_they_come(
    found: dict[str, Any], ask: Ask, state: PageState, session: FakeSession
) -> None:
    counts = []
    state.subscribe(lambda topics: counts.append(_measured(state)) if "frontier" in topics else None)
    ask("verify")
    assert search_rows.search(state)["state"] == "verifying"
    assert state.wait(20)
    assert counts == sorted(counts) and 1 in counts and counts[-1] == len(found["points"])
    panel = search_rows.search(state)
    lowered = [point for point in panel["points"] if point["price"]["cost"]]
    assert all(point["price"]["low"] <= point["kl"] <= point["price"]["high"] for point in lowered)
    assert all(point["lo"] < point["kl"] < point["hi"] for point in lowered)
    assert panel["state"] == "ready"


def test_a_front_is_found_anew_when_the_map_becomes_more_precise(
    found: dict[str, Any], state: PageState, session: FakeSession
) -> None:
    state.search.take(state.search.frontier.verify())
    session.calls.clear()
    state.map_samples = 64
    assert not state.search.rough
    state.take_map(state.predicted_map, state.costs, samples=128)
    again = search_rows.search(state)
    assert (again["state"], again["again"], again["samples"]) == ("waiting", 64, 128)
    measure(state)
    assert state.wait(20)
    panel = search_rows.search(state)
    assert session.calls.count("search latency") == 1
    assert (panel["state"], panel["again"]) == ("ready", 0)
    assert all("kl" in point for point in panel["points"]), "what was measured of the same recipes is kept"


def test_a_front_for_another_goal_waits_for_who_changed_it(
    found: dict[str, Any], ask: Ask, state: PageState, session: FakeSession
) -> None:
    ask("search_for", objective="bits", precisions=["int8"])
    state.map_samples = 64
    state.take_map(state.predicted_map, state.costs, samples=128)
    panel = search_rows.search(state)
    assert (panel["state"], panel["again"]) == ("stale", 64)


def _measured(state: PageState) -> int:
    return sum("kl" in point for point in search_rows.search(state)["points"])
