"""Casts, culprits and findings: asked for, answered, kept per recipe, and what a click on them does."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from explorer.errors import ExplorerError
from tests.widgets.conftest import Ask, until
from tests.widgets.fake import FakeSession
from tests.widgets.fake_analyses import WIDE
from widgets import boundary_rows, culprit_rows, finding_rows, payloads
from widgets.answers import KEPT, Answer, Answers
from widgets.answers import Ask as Question
from widgets.state import PageState
from widgets.views.casts_panel import CastsPanel
from widgets.views.culprits_panel import CulpritsPanel
from widgets.views.findings_panel import FindingsPanel

QKV = "blocks.0.attn.qkv/linear"


@pytest.fixture
def panels(state: PageState) -> Iterator[tuple[CastsPanel, CulpritsPanel, FindingsPanel]]:
    """All three, opened as their sections would."""
    made = CastsPanel(state), CulpritsPanel(state), FindingsPanel(state)
    assert state.wait(10)
    yield made
    for panel in made:
        panel.close()


def strict(payload: Any) -> Any:
    json.dumps(payload, allow_nan=False)
    return payload


def test_the_casts_panel_follows_the_recipe(ask: Ask, state: PageState, panels: Any, session: FakeSession) -> None:
    casts, _, _ = panels
    assert casts.casts["rows"] == []
    assert strict(casts.beyond)["removals"]["rows"] == []
    ask("set", ops=[QKV], precision="bf16")
    assert state.wait(10)
    assert [row["direction"] for row in strict(casts.casts)["rows"]] == ["down", "up"]
    assert casts.casts["rows"][0]["consumers"] == [QKV]
    assert casts.casts["rows"][0]["us"] == 11.0
    (change,) = strict(casts.beyond)["removals"]["rows"]
    assert (change["change"], change["before"], change["after"]) == ("all back to fp32", 2, 0)
    assert casts.beyond["redundant"]["rows"][0]["can"] is False
    assert casts.beyond["reformats"]["rows"][0]["where"] == "kernel"


def test_a_cast_inside_another_call_has_no_time(ask: Ask, state: PageState, panels: Any) -> None:
    ask("set", ops=[QKV], precision="bf16")
    assert state.wait(10)
    assert state.shown is not None
    table = state.shown.casts.assign(inside=["blocks.0.norm1/mul", ""], time_us=[math.nan, 11.0])
    state.shown = replace(state.shown, cast_rows=list(table.itertuples(index=False, name=None)))
    first, second = boundary_rows.casts(state)["rows"]
    assert (first["us"], first["inside"]) == (None, "blocks.0.norm1/mul")
    assert (second["us"], second["inside"]) == (11.0, "")
    assert payloads.delta(state)["casts"]["inside"] == 1


def test_a_change_is_applied_as_one_step_that_undo_takes_back(ask: Ask, state: PageState, panels: Any) -> None:
    ask("set", ops=[QKV, "norm/layer_norm"], precision="bf16")
    assert state.wait(10)
    was = state.session.recipe
    assert ask("fewer_casts", kind="removals", row=0, hash=was.hash)["ok"]
    assert len(state.session.casts()) == 0
    assert state.session.recipe.reason(QKV) == "fewer casts"
    ask("undo")
    assert state.session.recipe == was


def test_culprits_are_found_on_demand_and_kept_with_their_recipe(ask: Ask, state: PageState, panels: Any) -> None:
    _, culprits, _ = panels
    assert (culprits.culprits["state"], culprits.culprits["baseline"]) == ("idle", True)
    ask("set", ops=[WIDE], precision="fp16")
    assert ask("analyse", topic="culprits")["ok"]
    assert culprits.culprits["state"] == "waiting"
    assert state.wait(10)
    first, second = strict(culprits.culprits)["rows"]
    assert (first["before"], first["after"], first["target"], first["op"]) == ("7", "1", "7", WIDE)
    assert (second["kl"], culprits.culprits["kind"]) == (None, "emulated")
    assert first["size"] == [8, 8, 1]
    ask("undo")
    assert culprits.culprits["state"] == "idle"
    ask("redo")
    assert len(culprits.culprits["rows"]) == 2
    assert state.session.calls.count("culprits") == 1


def test_findings_follow_and_say_when_there_are_none(ask: Ask, state: PageState, panels: Any) -> None:
    _, _, findings = panels
    assert strict(findings.findings)["rows"] == []
    ask("set", ops=[WIDE], precision="fp16")
    assert state.wait(10)
    (row,) = strict(findings.findings)["rows"]
    assert (row["breaks"], row["severity"], row["evidence"][0]) == (True, None, ["above", "0.0078"])
    assert [remedy["can"] for remedy in row["remedies"]] == [True, True, False]


def test_a_remedy_is_tried_then_applied_and_undone(ask: Ask, state: PageState, panels: Any) -> None:
    _, _, findings = panels
    ask("set", ops=[WIDE], precision="fp16")
    assert state.wait(10)
    name = state.session.recipe.hash
    assert ask("preview", finding=0, remedy=0, hash=name)["ok"]
    assert state.wait(10)
    tried = findings.findings["rows"][0]["remedies"][0]
    assert (tried["before"], tried["after"], tried["helps"], tried["kind"]) == (None, 2e-6, True, "measured")
    assert state.session.recipe[WIDE] == "fp16"
    assert ask("remedy", finding=0, remedy=0, hash=name)["ok"]
    assert state.session.recipe[WIDE] == "bf16"
    ask("undo")
    assert state.session.recipe[WIDE] == "fp16"


def test_other_scales_make_every_number_be_measured_again(ask: Ask, state: PageState, panels: Any) -> None:
    ask("set", ops=[WIDE], precision="fp16")
    assert state.wait(10)
    state.session.store.clear()
    assert ask("remedy", finding=0, remedy=1, hash=state.session.recipe.hash)["ok"]
    state.session.calls.clear()
    assert state.wait(10)
    assert [call for call in state.session.calls if call in ("evaluate", "latency")] == ["evaluate", "latency"]


def test_a_remedy_that_gives_another_session_is_shown_and_undo_returns(
    ask: Ask, state: PageState, panels: Any, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FakeSession()
    other.apply(other.recipe.put([WIDE], "fp16", "user"))
    monkeypatch.setattr(session, "treat", lambda remedy: other)
    ask("set", ops=[WIDE], precision="fp16")
    assert state.wait(10)
    assert ask("remedy", finding=0, remedy=1, hash=session.recipe.hash)["ok"]
    assert state.wait(10)
    assert state.session is other
    assert "find static scales by mse" in payloads.top(state)["data"]
    assert "the model as it was before (find static scales by mse" in payloads.top(state)["undo"]
    ask("set", ops=[QKV], precision="bf16")
    ask("undo")
    assert state.session is other
    assert payloads.top(state)["can_undo"] is True and payloads.top(state)["undo"]
    ask("undo")
    assert state.session is session and payloads.top(state)["undo"] == ""
    assert session.recipe[WIDE] == "fp16"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("analyse", {"topic": "everything"}),
        ("analyse", {"topic": 3}),
        ("fewer_casts", {"kind": "removals", "row": 0, "hash": "another"}),
        ("fewer_casts", {"kind": "removals", "row": 7}),
        ("fewer_casts", {"kind": "__dict__", "row": 0}),
        ("fewer_casts", {"kind": "regions", "row": 0}),
        ("fewer_casts", {"kind": "removals", "row": -1}),
        ("preview", {"finding": 0, "remedy": 2}),
        ("preview", {"finding": 5, "remedy": 0}),
        ("remedy", {"finding": 0, "remedy": True}),
        ("remedy", {"finding": 0, "remedy": 0, "hash": "another"}),
    ],
    ids=str,
)
def test_what_is_not_on_show_is_refused_and_changes_nothing(
    kind: str, fields: dict[str, Any], ask: Ask, state: PageState, panels: Any
) -> None:
    ask("set", ops=[WIDE], precision="fp16")
    assert state.wait(10)
    was = state.session.recipe
    hashed = {} if kind == "analyse" else {"hash": was.hash}
    reply = ask(kind, **{**hashed, **fields})
    assert reply["ok"] is False and len(reply["error"]) > 10
    assert state.session.recipe == was


def test_a_question_that_fails_is_answered_in_its_panel_and_stops_nothing(
    ask: Ask, state: PageState, panels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ExplorerError("run an op", "out of memory", "a smaller batch")

    _, culprits, _ = panels
    monkeypatch.setattr(state.session, "culprits", refuse)
    ask("set", ops=[QKV], precision="int8")
    ask("analyse", topic="culprits")
    assert state.wait(10)
    assert culprits.culprits["state"] == "failed"
    assert "out of memory" in culprits.culprits["error"]
    assert (state.message, state.missing) == ("", False)


def test_cancel_takes_questions_back_and_they_can_be_asked_again(
    ask: Ask, state: PageState, panels: Any, session: FakeSession
) -> None:
    _, culprits, findings = panels
    session.gate.clear()
    ask("set", ops=[WIDE], precision="fp16")
    ask("analyse", topic="culprits")
    until(lambda: "culprits" in session.calls)
    ask("cancel")
    assert state.wait(10)
    assert (culprits.culprits["state"], findings.findings["state"]) == ("idle", "idle")
    session.gate.set()
    ask("analyse", topic="findings")
    assert state.wait(10)
    assert findings.findings["state"] == "ready"


def test_a_click_drops_what_was_asked_of_the_former_recipe(
    ask: Ask, state: PageState, panels: Any, session: FakeSession
) -> None:
    session.gate.clear()
    ask("set", ops=[WIDE], precision="fp16")
    ask("analyse", topic="culprits")
    until(lambda: "culprits" in session.calls)
    ask("set", ops=[QKV], precision="int8")
    session.gate.set()
    assert state.wait(10)
    assert culprit_rows.culprits(state)["state"] == "idle"
    assert not state.missing


def test_answers_are_few_and_forgotten_with_their_model() -> None:
    answers, question = Answers(), Question("t", "asking", lambda *_: None)
    for at in range(KEPT + 3):
        answers.turn_to(f"recipe {at}")
        answers.take(question, Answer("ready", at))
    assert answers.read("t").value == KEPT + 2
    answers.turn_to("recipe 0")
    assert answers.read("t").state == "idle"
    answers.turn_to(f"recipe {KEPT}")
    assert answers.read("t").value == KEPT
    answers.forget()
    answers.turn_to(f"recipe {KEPT}")
    assert answers.read("t").state == "idle"


def test_inputs_become_pictures_or_tokens() -> None:
    picture = culprit_rows.picture(torch.tensor([[[0.0, 1.0], [0.5, float("nan")]]]))
    assert picture is not None and picture["size"] == [2, 2, 1]
    large = culprit_rows.picture(torch.rand(3, 224, 200))
    assert large is not None and max(large["size"]) <= culprit_rows.MOST_PIXELS and large["size"][2] == 3
    assert culprit_rows.picture(torch.rand(2, 3, 4, 5)) is None
    shown = culprit_rows.tokens(torch.arange(13), 9, "0123456789+=^")
    assert shown is not None and (shown["tokens"][9], shown["moved"], shown["skipped"]) == ("9", 9, 0)
    far = culprit_rows.tokens(torch.arange(500), 400, "")
    assert far is not None and far["tokens"][far["moved"]] == "400" and len(far["tokens"]) == culprit_rows.MOST_TOKENS
    assert culprit_rows.tokens(torch.rand(4), 0, "") is None


def test_a_position_that_is_not_scored_has_no_right_answer() -> None:
    row = {"kl": 0.5, "target": -100.0}
    assert [culprit_rows._target({**row, "target": x}, "abc") for x in (-100.0, math.nan, 1.0)] == ["", "", "b"]
    assert culprit_rows._target({"kl": math.nan, "target": -3.5}, "") == "-3.5"


def test_before_a_model_is_open_panels_wait() -> None:
    state = PageState()
    assert boundary_rows.casts(state)["state"] == "opening"
    assert culprit_rows.culprits(state)["state"] == "opening"
    assert finding_rows.findings(state)["state"] == "opening"
