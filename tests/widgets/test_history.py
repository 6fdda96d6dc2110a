"""The history panel: the tree of recipes with what was measured of each, and a click that goes anywhere in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.widgets.conftest import Ask
from tests.widgets.fake import FakeSession
from widgets import history_rows
from widgets.state import PageState
from widgets.views.history_panel import HistoryPanel

QKV, HEAD = "blocks.0.attn.qkv/linear", "head/linear"


@pytest.fixture
def panel(state: PageState) -> Iterator[HistoryPanel]:
    made = HistoryPanel(state)
    assert state.wait(10)
    yield made
    made.close()


def numbers(panel: HistoryPanel) -> dict[int, list[Any]]:
    json.dumps(panel.standing, allow_nan=False)
    return {row[0]: row for row in panel.standing["numbers"]}


def test_each_choice_is_a_child_of_where_it_was_made(ask: Ask, state: PageState, panel: HistoryPanel) -> None:
    assert panel.nodes == [[0, -1, "the start"]]
    ask("set", ops=[QKV], precision="int8")
    ask("undo")
    ask("set", ops=[HEAD], precision="fp16")
    assert state.wait(10)
    assert panel.nodes == [[0, -1, "the start"], [1, 0, "1 ops to int8"], [2, 0, "1 ops to fp16"]]
    assert (panel.standing["at"], panel.standing["name"], panel.standing["unit"]) == (2, "Accuracy", "%")


def test_a_click_goes_to_any_branch_and_undo_from_there_up(ask: Ask, state: PageState, panel: HistoryPanel) -> None:
    ask("set", ops=[QKV], precision="int8")
    was = state.session.recipe
    ask("undo")
    ask("set", ops=[HEAD], precision="bf16")
    assert ask("go_to", node=1)["ok"]
    assert state.session.recipe == was
    assert panel.standing["at"] == 1
    ask("undo")
    assert panel.standing["at"] == 0
    ask("redo")
    assert panel.standing["at"] == 1
    assert len(panel.nodes) == 3


def test_what_was_measured_stands_beside_its_recipe(ask: Ask, state: PageState, panel: HistoryPanel) -> None:
    ask("set", ops=[QKV], precision="int8")
    assert state.wait(10)
    ask("set", ops=[HEAD], precision="fp16")
    assert state.wait(10)
    ask("set", ops=[HEAD], precision="bf16")
    state.cancel()
    assert state.wait(10)
    found = numbers(panel)
    assert set(found) == {0, 1, 2}
    _, score, difference, low, high, kl, n, emulated, speed, slow, fast, unreal, least, most = found[1]
    assert (round(score - 0.982, 6), n, emulated, unreal) == (round(difference, 6), 397, False, False)
    assert low < difference < high
    assert 0 < least < kl < most
    assert slow < speed < fast
    assert found[2][7:12] == [True, None, None, None, True], "an emulated recipe has no speed"


def test_trials_of_before_are_known_at_once(session: FakeSession, state: PageState) -> None:
    tried = session.set([QKV], "int8")
    session.evaluate(tried)
    session.latency(tried)
    session.undo()
    state.recipe_changed()
    assert history_rows.standing(state)["numbers"][-1][0] == 0, "nobody has read the trial store yet"
    panel = HistoryPanel(state)
    assert state.wait(10)
    assert set(numbers(panel)) == {0, 1}
    panel.close()


@pytest.mark.parametrize("node", [1, -1, True, "0", None])
def test_a_node_that_is_not_there_is_an_answer(ask: Ask, state: PageState, node: object) -> None:
    reply = ask("go_to", node=node)
    assert not reply["ok"]
    assert state.message == reply["error"]


def test_without_a_model_it_waits() -> None:
    state = PageState()
    assert history_rows.nodes(state) == []
    assert history_rows.standing(state) == {}


def test_of_very_many_the_newest_are_on_show(ask: Ask, state: PageState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_rows, "MOST", 3)
    for precision in ("int8", "bf16", "w8", "fp32"):
        state.session.set([QKV], precision)
    assert [row[0] for row in history_rows.nodes(state)] == [2, 3, 4]
    assert [row[0] for row in history_rows.standing(state)["numbers"]] == [4], "FP32 was measured, under another node"
