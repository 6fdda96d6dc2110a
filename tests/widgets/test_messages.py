"""What the browser may ask, and that nothing else changes anything."""

from __future__ import annotations

from typing import Any

import pytest

from tests.widgets.conftest import Ask
from tests.widgets.fake import FakeSession
from widgets import messages
from widgets.state import PageState

QKV = "blocks.0.attn.qkv/linear"


def test_set_changes_the_recipe_and_is_answered(ask: Ask, session: FakeSession) -> None:
    assert ask("set", ops=[QKV], precision="int8") == {"id": "t-1", "ok": True, "type": "set"}
    assert session.recipe[QKV] == "int8"
    assert session.recipe.reason(QKV) == "user"


def test_undo_and_redo(ask: Ask, session: FakeSession) -> None:
    ask("set", ops=[QKV], precision="int8")
    assert ask("undo")["ok"]
    assert session.recipe[QKV] == "fp32"
    assert ask("redo")["ok"]
    assert session.recipe[QKV] == "int8"
    assert ask("redo")["ok"]


def test_preset_reset_and_recipe_json(ask: Ask, session: FakeSession) -> None:
    assert ask("preset", name="int8-dynamic")["ok"]
    reply = ask("recipe_json")
    assert reply["json"] == session.recipe.to_json()
    assert reply["name"].endswith(".recipe.json")
    assert ask("reset")["ok"]
    assert session.recipe.counts == {"fp32": len(session.ids)}


def test_selection_and_filter_are_shared(ask: Ask, state: PageState) -> None:
    assert ask("select", ops=[QKV])["ok"]
    assert ask("filter", text="mlp")["ok"]
    assert (state.selection, state.filter) == ((QKV,), "mlp")


BAD: list[Any] = [
    None,
    7,
    "set",
    [],
    {},
    {"id": "a"},
    {"id": "a", "type": "eval"},
    {"id": "a", "type": "__class__"},
    {"id": "a", "type": 3},
    {"type": "undo"},
    {"id": None, "type": "undo"},
    {"id": "x" * 65, "type": "undo"},
    {"id": 1.5, "type": "undo"},
    {"id": 2**60, "type": "undo"},
    {"id": "a", "type": "undo", "extra": 1},
    {"id": "a", "type": "set"},
    {"id": "a", "type": "set", "ops": [QKV]},
    {"id": "a", "type": "set", "ops": QKV, "precision": "int8"},
    {"id": "a", "type": "set", "ops": [1], "precision": "int8"},
    {"id": "a", "type": "set", "ops": [], "precision": "int8"},
    {"id": "a", "type": "set", "ops": ["nope"], "precision": "int8"},
    {"id": "a", "type": "set", "ops": ["blocks.*"], "precision": "int8"},
    {"id": "a", "type": "set", "ops": [QKV], "precision": "int9"},
    {"id": "a", "type": "set", "ops": [QKV], "precision": None},
    {"id": "a", "type": "set", "ops": ["/add"], "precision": "int8"},
    {"id": "a", "type": "set", "ops": [QKV] * 5001, "precision": "int8"},
    {"id": "a", "type": "preset", "name": "../../etc/passwd"},
    {"id": "a", "type": "open", "model": "/etc/passwd"},
    {"id": "a", "type": "open", "model": "hf:other"},
    {"id": "a", "type": "apply", "json": ""},
    {"id": "a", "type": "apply", "json": "{"},
    {"id": "a", "type": "apply", "json": "x" * 2_000_001},
    {"id": "a", "type": "apply", "json": {"a": 1}},
    {"id": "a", "type": "select", "ops": ["nope"]},
    {"id": "a", "type": "filter", "text": "x" * 201},
]


@pytest.mark.parametrize("content", BAD, ids=lambda content: str(content)[:60])
def test_anything_else_is_refused_in_words_and_changes_nothing(
    content: Any, state: PageState, session: FakeSession
) -> None:
    before = (session.recipe, state.selection, state.filter, state.opening, state.session)
    reply = messages.answer(state, content)
    assert reply["ok"] is False
    assert len(reply["error"]) > 10
    assert (session.recipe, state.selection, state.filter, state.opening, state.session) == before
    assert state.message == reply["error"]
    assert session.calls == []


def test_the_reply_carries_the_id_it_came_with(state: PageState) -> None:
    assert messages.answer(state, {"id": 12, "type": "undo"})["id"] == 12
    assert messages.answer(state, {"id": "q", "type": "nope"})["id"] == "q"
    assert messages.answer(state, {"id": {"a": 1}, "type": "undo"})["id"] is None


def test_an_error_goes_away_with_the_next_success(ask: Ask, state: PageState) -> None:
    ask("set", ops=["/add"], precision="int8")
    assert "no weights" in state.message
    ask("set", ops=[QKV], precision="int8")
    assert state.message == ""


def test_dismiss_clears_the_banner(ask: Ask, state: PageState) -> None:
    ask("preset", name="nope")
    assert state.message
    ask("dismiss")
    assert state.message == ""


def test_an_unexpected_failure_is_answered_and_logged(
    ask: Ask, session: FakeSession, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(session, "reset", broken)
    assert ask("reset")["error"] == "unexpected ZeroDivisionError: boom"
    assert "boom" in caplog.text


def test_before_a_model_is_open_every_request_says_so() -> None:
    state = PageState()
    for kind, fields in {
        "set": {"ops": [QKV], "precision": "int8"},
        "undo": {},
        "recipe_json": {},
        "measure": {},
    }.items():
        reply = messages.answer(state, {"id": 1, "type": kind, **fields})
        assert "no model is open" in reply["error"]
