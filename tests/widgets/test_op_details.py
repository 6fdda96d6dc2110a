"""Expanded rows of the map: what they ask, for which op alone, when, and what their messages accept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import explorer as px
from explorer.errors import BundleError
from tests.widgets.conftest import Ask, until
from tests.widgets.fake import FakeSession
from tests.widgets.fake_analyses import WIDE
from widgets.op_details import MOST, OpErrors, compared, recorded
from widgets.state import PageState
from widgets.views.precision_map import PrecisionMap

QKV = "blocks.0.attn.qkv/linear"
Send = Callable[..., dict[str, Any]]


@pytest.fixture
def view(state: PageState) -> Iterator[PrecisionMap]:
    made = PrecisionMap(state)
    yield made
    made.close()


@pytest.fixture
def send(view: PrecisionMap) -> Send:
    return lambda kind, **fields: view.answer({"id": 1, "type": kind, **fields})


def row(view: PrecisionMap, op: str) -> dict[str, Any]:
    json.dumps(view.details, allow_nan=False)
    found: dict[str, Any] = view.details["ops"][op]
    return found


def test_an_open_row_shows_the_errors_of_its_op_alone(
    ask: Ask, state: PageState, session: FakeSession, view: PrecisionMap, send: Send
) -> None:
    ask("set", ops=[WIDE], precision="fp16")
    assert state.wait(10)
    session.calls.clear()
    assert view.details == {}
    assert send("detail", ops=[WIDE])["ok"]
    assert state.wait(10)
    assert session.calls == [f"errors {WIDE}", "diagnose"]
    found = row(view, WIDE)
    figures = {figure["term"]: figure for figure in found["errors"]["figures"]}
    assert [figures[name]["big"] for name in ("local", "isolated", "cumulative")] == ["38.2 dB", "51.0 dB", "33.4 dB"]
    assert {figure["kind"] for figure in figures.values()} == {"emulated"}
    assert "2.0e-6 nats" in figures["isolated"]["sub"]
    assert (found["errors"]["samples"], found["causes"]["findings"][0]["rule"]) == (64, "overflow")
    assert found["causes"]["findings"][0]["remedies"][0] == {
        "words": "run it in BF16", "ops": [WIDE], "precision": "bf16",
    }  # fmt: skip
    assert {what: words for what, words, _ in found["facts"]}["source"] == "vit.py:40"


def test_a_toggle_cancels_and_open_rows_follow_after_the_numbers(
    ask: Ask, state: PageState, session: FakeSession, view: PrecisionMap, send: Send
) -> None:
    session.gate.clear()
    send("detail", ops=[QKV])
    until(lambda: session.waiting)
    assert row(view, QKV)["errors"]["state"] == "waiting"
    ask("set", ops=[QKV], precision="int8")
    session.gate.set()
    assert state.wait(10)
    session.calls.clear()
    ask("set", ops=[QKV], precision="bf16")
    assert state.wait(10)
    assert session.calls.index("evaluate") < session.calls.index(f"errors {QKV}")
    assert row(view, QKV)["errors"]["figures"][0]["kind"] == "measured"
    session.calls.clear()
    ask("undo")
    assert state.wait(10)
    assert f"errors {QKV}" not in session.calls
    assert row(view, QKV)["errors"]["state"] == "ready"


def test_what_failed_or_was_cancelled_is_asked_again_only_by_hand(
    ask: Ask, state: PageState, session: FakeSession, view: PrecisionMap, send: Send
) -> None:
    session.fail = px.ExplorerError("measure errors", "the kernel failed", "another precision")
    send("detail", ops=[QKV])
    assert state.wait(10)
    assert row(view, QKV)["errors"]["state"] == "failed"
    assert "the kernel failed" in row(view, QKV)["errors"]["error"]
    session.fail = None
    session.calls.clear()
    send("detail", ops=[QKV, WIDE])
    assert state.wait(10)
    assert f"errors {QKV}" not in session.calls
    assert send("look", op=QKV)["ok"]
    assert state.wait(10)
    assert row(view, QKV)["errors"]["state"] == "ready"
    ask("cancel")
    assert row(view, QKV)["errors"]["state"] == "ready"


def test_a_closed_row_is_measured_no_more(
    ask: Ask, state: PageState, session: FakeSession, view: PrecisionMap, send: Send
) -> None:
    send("detail", ops=[QKV])
    assert state.wait(10)
    send("detail", ops=[])
    assert view.details["ops"] == {}
    ask("set", ops=[QKV], precision="int8")
    assert state.wait(10)
    assert f"errors {QKV}" not in session.calls[session.calls.index("evaluate") :]


def test_another_model_closes_every_row(state: PageState, view: PrecisionMap, send: Send) -> None:
    send("detail", ops=[QKV])
    assert state.wait(10)
    state.adopt(FakeSession(1))
    assert view.details["ops"] == {}
    assert state.answers.next_following() is None


@pytest.mark.parametrize(
    "fields",
    [{}, {"ops": QKV}, {"ops": ["nope"]}, {"ops": [1]}, {"ops": [QKV] * (MOST + 1)}, {"ops": None}, {"op": QKV}],
    ids=str,
)
def test_anything_else_is_refused(view: PrecisionMap, send: Send, fields: dict[str, Any]) -> None:
    assert send("detail", **fields)["ok"] is False
    assert view.details == {}
    assert send("look", op="nope")["ok"] is False
    assert send("look", op=QKV)["ok"] is False  # its row is not open


def test_a_recorded_exploration_says_what_it_lacks(
    state: PageState, session: FakeSession, view: PrecisionMap, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*_: Any, **__: Any) -> None:
        raise BundleError("errors", "not recorded for this recipe", "the model itself")

    monkeypatch.setattr(session, "errors", lacks)
    send("detail", ops=[QKV])
    assert state.wait(10)
    assert row(view, QKV)["errors"]["state"] == "failed"
    assert "not recorded" in row(view, QKV)["errors"]["error"]
    assert row(view, QKV)["causes"]["findings"] == []
    errors, causes = recorded(state, QKV)
    assert (errors["state"], errors["error"], causes) == (
        "failed",
        "not recorded for this recipe",
        row(view, QKV)["causes"],
    )


@pytest.mark.parametrize(
    ("local", "isolated", "words"),
    [
        (20.0, 40.0, "10 times smaller at the output"),
        (40.0, 20.0, "10 times larger at the output"),
        (30.0, 31.0, "about as large"),
        (math.inf, math.inf, "no error of its own"),
        (30.0, math.inf, "Not a trace"),
        (-math.inf, -math.inf, ""),
    ],
)
def test_what_becomes_of_an_error_is_a_sentence(local: float, isolated: float, words: str) -> None:
    said = compared(OpErrors(local, isolated, 30.0, 0.0, 64))
    assert words in said if words else said == ""
