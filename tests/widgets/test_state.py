"""The loop after a click: known numbers first, then streaming, latest wins, undo exact, errors in sight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import explorer as px
from explorer.errors import ModelError
from tests.widgets.conftest import Ask, until
from tests.widgets.fake import FakeSession
from tests.widgets.small import state_on
from widgets import messages, payloads, timings
from widgets.measuring import open_model
from widgets.sharing import follow_code, state_of
from widgets.state import PageState

QKV = "blocks.0.attn.qkv/linear"
FC1 = "blocks.1.mlp.fc1/linear"


def watch(state: PageState) -> list[dict[str, Any]]:
    """Every delta payload that a bar would have shown."""
    seen: list[dict[str, Any]] = []
    state.subscribe(lambda topics: seen.append(payloads.delta(state)))
    return seen


def test_a_choice_is_measured_streaming_then_timed(ask: Ask, state: PageState, session: FakeSession) -> None:
    session.pace = 0.11
    seen = watch(state)
    ask("set", ops=[QKV], precision="int8")
    assert seen[0]["quality"]["kind"] == "pending"
    assert seen[0]["casts"]["count"] == 1
    assert state.wait(10)
    counts = [delta["quality"].get("n") for delta in seen]
    assert 64 in counts
    assert counts[-1] == 397
    assert seen[-1]["latency"]["kind"] == "measured"
    assert session.calls == ["evaluate", "latency"]
    assert state.job.state == "idle"
    assert not state.missing
    assert [delta["settled"] for delta in seen if delta["quality"].get("n") == 64] == [False] * counts.count(64)
    assert seen[-1]["settled"]


def test_what_code_sets_in_the_session_is_shown(state: PageState, session: FakeSession) -> None:
    """After the cell that set it, in views that are there, and in one that is made in the same cell."""
    first = session.recipe.hash
    session.set(QKV, "int8")
    follow_code()
    assert state.shown is not None
    assert state.shown.recipe.hash == session.recipe.hash != first
    session.undo()
    assert state_of(session) is state
    assert state.shown.recipe.hash == first
    assert state.wait(10)


def test_what_is_known_is_shown_and_nothing_is_run(ask: Ask, state: PageState, session: FakeSession) -> None:
    ask("set", ops=[QKV], precision="int8")
    assert state.wait(10)
    former = payloads.delta(state)
    times = timings.times(state)
    ask("set", ops=[QKV], precision="bf16")
    assert state.wait(10)
    assert payloads.delta(state)["quality"] != former["quality"]
    session.calls.clear()
    ask("undo")
    assert payloads.delta(state) == former
    assert timings.times(state) == times
    assert state.wait(10)
    assert session.calls == []


def test_a_new_choice_cancels_the_running_measurement(ask: Ask, state: PageState, session: FakeSession) -> None:
    session.gate.clear()
    ask("set", ops=[QKV], precision="int8")
    until(lambda: session.calls == ["evaluate"])
    ask("set", ops=[QKV], precision="bf16")
    last = session.recipe
    session.gate.set()
    assert state.wait(10)
    assert state.quality == session.store[last.hash][0]
    assert len(session.store) == 2
    assert state.message == ""


def test_a_click_during_a_job_is_answered_at_once(ask: Ask, state: PageState, session: FakeSession) -> None:
    import time

    session.gate.clear()
    ask("set", ops=[QKV], precision="int8")
    until(lambda: session.calls == ["evaluate"])
    start = time.perf_counter()
    assert ask("set", ops=[FC1], precision="int8")["ok"]
    assert time.perf_counter() - start < 1, "the job would last until its gate opens"


def test_cancel_stops_and_leaves_the_recipe(ask: Ask, state: PageState, session: FakeSession) -> None:
    session.gate.clear()
    ask("set", ops=[QKV], precision="int8")
    until(lambda: session.calls == ["evaluate"])
    ask("cancel")
    assert state.wait(10)
    assert (state.job.state, state.job.text) == ("idle", "cancelled")
    assert session.recipe[QKV] == "int8"
    assert state.missing
    session.gate.set()
    ask("measure")
    assert state.wait(10)
    assert not state.missing


def test_a_failed_measurement_shows_in_banner_and_card(ask: Ask, state: PageState, session: FakeSession) -> None:
    session.fail = px.ExplorerError("time the recipe", "out of memory", "a smaller batch")
    ask("set", ops=[QKV], precision="int8")
    assert state.wait(10)
    assert state.message == "Measuring failed: time the recipe: out of memory. Try: a smaller batch."
    assert payloads.delta(state)["quality"]["error"] == "time the recipe: out of memory. Try: a smaller batch."
    assert state.job.text == "failed"
    session.fail = None
    ask("measure")
    assert state.wait(10)
    assert (state.message, state.missing) == ("", False)


def test_emulated_ops_are_said_everywhere(ask: Ask, state: PageState) -> None:
    ask("set", ops=[QKV], precision="w4")
    assert payloads.delta(state)["latency"]["kind"] == "emulated"
    assert state.wait(10)
    delta = payloads.delta(state)
    assert (delta["quality"]["kind"], delta["kl"]["kind"], delta["latency"]["kind"]) == ("emulated",) * 3
    assert delta["latency"]["emulated_ops"] == 1
    assert timings.times(state)["ops"][state.session.ids.index(QKV)][2] is True


def test_the_baseline_is_known_as_such(state: PageState) -> None:
    delta = payloads.delta(state)
    assert delta["baseline"] is True
    assert delta["casts"]["count"] == 0


def test_a_listener_that_fails_is_named_and_the_others_hear(state: PageState, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[frozenset[str]] = []

    def broken(topics: frozenset[str]) -> None:
        raise RuntimeError("cannot draw")

    state.subscribe(broken)
    stop = state.subscribe(heard.append)
    state.changed("recipe")
    stop()
    state.changed("recipe")
    assert heard == [frozenset({"message"}), frozenset({"recipe"})]
    assert "cannot draw" in state.message


def test_opening_replaces_the_model_and_measures_it(state: PageState) -> None:
    other = FakeSession(blocks=1)
    open_model(state, "digits-cnn", lambda name, progress: other)
    assert state.opening == "digits-cnn"
    assert payloads.top(state)["ready"] is False
    until(lambda: state.session is other)
    assert state.wait(10)
    assert state.opening == ""
    assert not state.missing


def test_opening_shows_its_steps_and_ends_between_them_when_cancelled(state: PageState, session: FakeSession) -> None:
    import threading

    gate, finished = threading.Event(), threading.Event()

    def opener(name: str, progress: Any) -> FakeSession:
        progress(1, 4, "capturing its graph")
        assert gate.wait(10)
        progress(2, 4, "preparing the kernels")
        finished.set()
        return FakeSession(blocks=1)

    open_model(state, "digits-cnn", opener)
    until(lambda: state.job.done == 1)
    assert payloads.job(state) == {
        "state": "running", "text": "Opening digits-cnn: capturing its graph\u2026", "done": 1, "total": 4,
    }  # fmt: skip
    state.cancel()
    gate.set()
    assert state.wait(10)
    assert not finished.is_set()
    assert state.session is session
    assert (state.opening, state.message) == ("", "")


def test_a_model_that_does_not_open_leaves_the_former(state: PageState, session: FakeSession) -> None:
    def refuse(name: str, progress: Any) -> Any:
        raise ModelError(f"open {name!r}", "its weights are missing", "another model")

    open_model(state, "digits-cnn", refuse)
    assert state.wait(10)
    assert state.session is session
    assert state.message == "Opening digits-cnn failed: open 'digits-cnn': its weights are missing. Try: another model."
    assert payloads.top(state)["model"] == "digits-vit"


def test_choices_made_while_a_model_opens_do_not_stop_it(ask: Ask, state: PageState, session: FakeSession) -> None:
    import threading

    gate, other = threading.Event(), FakeSession(blocks=1)
    open_model(state, "digits-cnn", lambda name, progress: other if gate.wait(10) else None)
    assert ask("set", ops=[QKV], precision="int8")["ok"]
    gate.set()
    until(lambda: state.session is other)
    assert session.calls == []


def test_nothing_is_measured_before_a_browser_shows_the_page(session: FakeSession) -> None:
    state = state_of(session)
    assert state.wait(10)
    assert session.calls == []
    messages.answer(state, {"id": 0, "type": "hello"})
    assert state.wait(10)
    assert session.calls == ["range_set", "map", "map", "evaluate", "latency", "range_set", "map"]
    messages.answer(state, {"id": 1, "type": "hello"})
    assert state.wait(10)
    assert session.calls == ["range_set", "map", "map", "evaluate", "latency", "range_set", "map"]


def test_undo_shows_its_own_numbers_though_another_process_measured_since(
    ask: Ask, state: PageState, session: FakeSession
) -> None:
    before = payloads.delta(state)
    ask("set", ops=[QKV], precision="int8")
    assert state.wait(10)
    first = session.store[session.presets()["fp32"].hash]
    first[1] = replace(first[1], speedup=9.0)
    ask("undo")
    assert payloads.delta(state) == before


def test_one_session_has_one_state(session: FakeSession, state: PageState) -> None:
    assert state_of(session) is state
    assert state_of(state) is state
    with pytest.raises(TypeError, match="a view shows a session"):
        state_of(3)


@pytest.mark.parametrize("served", [True, False])
def test_an_idle_visitor_holds_no_activations(small: Any, served: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    small.reset()
    state = state_on(small)
    monkeypatch.setattr(state.loading, "limits", replace(state.loading.limits, served=served))
    replay = small._evaluator.replay
    quality = small._evaluator.evaluate(small.plan, small.plan, small._kernels)
    assert replay.bytes > 0
    state._rest()
    assert (replay.bytes == 0) == served
    assert small._evaluator.evaluate(small.plan, small.plan, small._kernels) == quality
