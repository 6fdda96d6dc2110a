"""Two recipes side by side: which can be chosen, what is said of each, what differs and what matters first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.widgets.conftest import until
from tests.widgets.fake import FakeSession
from widgets import recipe_pair
from widgets.map_costs import read_costs
from widgets.state import PageState
from widgets.views.compare_recipes import CompareRecipes

QKV, FC1, NORM = "blocks.0.attn.qkv/linear", "blocks.0.mlp.fc1/linear", "norm/layer_norm"


@pytest.fixture
def panel(state: PageState) -> Iterator[CompareRecipes]:
    made = CompareRecipes(state)
    assert state.wait(10)
    yield made
    made.close()


def tell(panel: CompareRecipes, kind: str, **fields: Any) -> dict[str, Any]:
    return panel.answer({"id": 1, "type": kind, **fields})


def shown(panel: CompareRecipes) -> dict[str, Any]:
    json.dumps([panel.pair, panel.choices], allow_nan=False)
    return panel.pair


def row(panel: CompareRecipes, name: str) -> dict[str, Any]:
    (found,) = [each for each in shown(panel)["figures"] if each["name"] == name]
    return found


def test_the_last_change_is_compared_at_first(panel: CompareRecipes) -> None:
    assert shown(panel)["same"]
    tell(panel, "set", ops=[QKV, FC1], precision="int8")
    assert {each["op"] for each in shown(panel)["ops"]} == {FC1, QKV}
    assert (shown(panel)["ops"][0]["one"], shown(panel)["ops"][0]["other"]) == ("fp32", "int8")
    assert shown(panel)["now"] == [False, True]
    tell(panel, "swap")
    assert shown(panel)["ops"][0]["other"] == "fp32"


def test_presets_history_and_trials_can_be_chosen(
    session: FakeSession, state: PageState, panel: CompareRecipes
) -> None:
    session.evaluate(session.recipe.put([NORM], "bf16", "by a script"))
    tell(panel, "set", ops=[QKV], precision="int8")
    assert state.wait(10)
    groups = dict(panel.choices["groups"])
    assert list(groups) == ["at hand", "presets", "history, newest first", "measured before"]
    assert [key for key, _ in groups["history, newest first"]] == ["node:1", "node:0"]
    (trial,) = groups["measured before"]
    for key in ("preset:w4", "node:0", trial[0]):
        assert tell(panel, "compare", side="one", key=key)["ok"]
        assert panel.choices["one"] == key
    assert [each["op"] for each in shown(panel)["ops"]] == [QKV, NORM]
    assert "no recipe 'node:99'" in tell(panel, "compare", side="one", key="node:99")["error"]
    assert "side must be" in tell(panel, "compare", side="left", key="now")["error"]


def test_numbers_of_both_with_their_difference(state: PageState, panel: CompareRecipes) -> None:
    tell(panel, "set", ops=[QKV, FC1], precision="int8")
    assert state.wait(10)
    score, speed, weights = (row(panel, name) for name in ("score", "speed", "weights"))
    assert score["change"] == pytest.approx(score["other"]["value"] - score["one"]["value"])
    halves = [each["high"] - each["moved"] for each in (score["one"], score["other"])]
    assert score["high"] - score["change"] == pytest.approx(sum(halves)), "no narrower than both intervals together"
    assert speed["change"] == pytest.approx(speed["other"]["value"] / speed["one"]["value"])
    assert speed["low"] == pytest.approx(speed["other"]["low"] / speed["one"]["high"])
    assert speed["low"] < speed["change"] < speed["high"]
    assert weights["change"] < 1
    assert not shown(panel)["missing"]
    assert {each["kind"] for each in (score["one"], speed["other"], weights["one"])} == {"measured"}


def test_an_emulated_recipe_has_no_speed(state: PageState, panel: CompareRecipes) -> None:
    tell(panel, "set", ops=[QKV], precision="fp16")
    assert state.wait(10)
    assert row(panel, "speed")["other"] is None
    assert row(panel, "speed")["change"] is None
    assert row(panel, "kl")["other"]["kind"] == "emulated"


def test_ops_are_in_the_order_of_what_they_change(
    session: FakeSession, state: PageState, panel: CompareRecipes
) -> None:
    tell(panel, "set", ops=[QKV, FC1, NORM], precision="bf16")
    assert state.wait(10)
    found = session.predicted_map()
    table = found.costs.copy()
    table.loc[QKV, "bf16"], table.loc[FC1, "bf16"], table.loc[NORM, "bf16"] = 1e-5, 2e-3, 3e-5
    state.times = {}
    state.take_map(found, read_costs(replace(found, costs=table), list(session.ids), session.precisions), samples=397)
    ops = shown(panel)["ops"]
    assert [each["op"] for each in ops] == [FC1, NORM, QKV]
    assert [round(each["share"], 3) for each in ops] == [1.0, 0.015, 0.005]
    assert ops[0]["cost"] == pytest.approx(2e-3)
    price = row(panel, "price")
    assert price["one"]["value"] == 0
    assert price["other"]["kind"] == "predicted"
    assert price["other"]["low"] < price["other"]["value"] < price["other"]["high"]


def test_as_long_as_nothing_else_is_known_the_largest_weights_come_first(state: PageState) -> None:
    state.costs, state.times, fp32 = None, {}, state.presets["fp32"]
    ops = recipe_pair.differing(state, fp32, fp32.put([QKV, FC1, NORM], "bf16", "user"))
    assert [row["op"] for row in ops] == [FC1, QKV, NORM]
    assert [row["cost"] for row in ops] == [None] * 3


def test_what_breaks_the_output_comes_first(session: FakeSession, state: PageState, panel: CompareRecipes) -> None:
    wide = "blocks.1.mlp.fc2/linear"
    tell(panel, "set", ops=[QKV, wide], precision="fp16")
    assert state.wait(10)
    found = session.predicted_map()
    state.take_map(found, read_costs(found, list(session.ids), session.precisions), samples=397)
    first, second = shown(panel)["ops"]
    assert (first["op"], first["breaks"], first["cost"]) == (wide, True, None)
    assert not second["breaks"]


def test_both_are_measured_when_asked_and_nothing_known_again(
    session: FakeSession, state: PageState, panel: CompareRecipes
) -> None:
    tell(panel, "compare", side="one", key="preset:int8-dynamic")
    assert shown(panel)["missing"]
    assert state.wait(10)
    session.calls.clear()
    assert tell(panel, "measure_both")["ok"]
    until(lambda: shown(panel)["state"] == "ready" and not shown(panel)["missing"])
    assert session.calls.count("evaluate") == 1, "the recipe now was measured already"
    assert row(panel, "speed")["change"] is not None
    assert row(panel, "weights")["one"]["value"] < row(panel, "weights")["other"]["value"]


def test_a_failure_is_said_where_it_was_asked(session: FakeSession, state: PageState, panel: CompareRecipes) -> None:
    tell(panel, "compare", side="one", key="preset:int8-dynamic")
    session.fail = ValueError("out of memory")
    tell(panel, "measure_both")
    until(lambda: shown(panel)["error"] == "out of memory")
    session.fail = None


def test_either_is_restored_and_undo_brings_the_former_back(state: PageState, panel: CompareRecipes) -> None:
    was = state.session.recipe
    tell(panel, "compare", side="other", key="preset:w4")
    assert tell(panel, "restore", side="other")["ok"]
    assert state.session.recipe == state.presets["w4"]
    tell(panel, "undo")
    assert state.session.recipe == was


def test_without_a_model_it_waits() -> None:
    panel = CompareRecipes(PageState())
    assert panel.pair == {"state": "none"}
    assert "no model is open" in tell(panel, "swap")["error"]
    assert recipe_pair.choices(panel.page_state) == []
    panel.close()
