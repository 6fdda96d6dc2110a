"""The page's state around a real session: the engine keeps the contract that the fake one keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import explorer as px
from widgets import messages, payloads, strips, timings
from widgets.sharing import state_of
from widgets.state import PageState
from widgets.views.casts_panel import CastsPanel
from widgets.views.culprits_panel import CulpritsPanel
from widgets.views.findings_panel import FindingsPanel

CONV = "layer1.0.conv1/conv2d"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageState]:
    told: list[tuple[int, int, str]] = []
    store = tmp_path_factory.mktemp("store") / "trials.sqlite"
    session = px.open("digits-cnn", store=store, progress=lambda *step: told.append(step))
    assert [(done, total) for done, total, _ in told] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    state = state_of(session)
    assert messages.answer(state, {"id": 0, "type": "hello"})["ok"]
    assert state.wait(120)
    yield state
    state.jobs.cancel()
    assert state.wait(60)


def ask(state: PageState, kind: str, /, **fields: Any) -> dict[str, Any]:
    reply = messages.answer(state, {"id": 1, "type": kind, **fields})
    assert reply["ok"], reply
    assert state.wait(120)
    return reply


def test_every_payload_is_strict_json(state: PageState) -> None:
    assert state.shown is not None
    table = payloads.table(state.session)
    assert len(table["ops"]) == len(state.session.ops)
    for payload in (
        table,
        payloads.plan(state.session, state.shown),
        timings.times(state),
        payloads.delta(state),
        payloads.top(state),
    ):
        json.dumps(payload, allow_nan=False)


def test_a_click_is_measured_and_undo_returns_the_same_numbers(state: PageState) -> None:
    before = measured(state)
    assert before["baseline"] is True
    assert before["quality"]["n"] == before["quality"]["total"] == state.session.samples
    ask(state, "set", ops=[CONV], precision="bf16")
    after = measured(state)
    assert after["casts"]["count"] > 0
    assert after["kl"]["value"] != before["kl"]["value"]
    assert after["latency"]["n"] > 0
    ask(state, "undo")
    assert measured(state) == before
    ask(state, "redo")
    assert measured(state) == after


def measured(state: PageState) -> dict[str, Any]:
    """What the delta bar shows, but for the predicted price: its band learns from every recipe that is measured."""
    shown = payloads.delta(state)
    return shown | {"kl": {name: value for name, value in shown["kl"].items() if name != "predicted"}}


def test_op_times_come_with_the_latency(state: PageState) -> None:
    times = timings.times(state)["ops"]
    assert all(entry is not None for entry in times)
    table = timings.time_table(state)
    assert table["sum_us"] + table["rest_us"] == pytest.approx(table["whole_us"])
    assert sum(row["us"] for row in table["rows"]) == pytest.approx(table["sum_us"])


def test_a_latency_stands_over_both_baselines(state: PageState) -> None:
    latency = payloads.delta(state)["latency"]
    json.dumps(timings.time_table(state), allow_nan=False)
    for name in ("over_eager", "over_fp32", "drift"):
        assert latency[name]["low"] <= latency[name]["value"] <= latency[name]["high"]
    assert latency["kernel_gain"] * latency["precision_gain"] == pytest.approx(
        latency["eager_ms"] / latency["candidate_ms"]
    )
    assert latency["engine"] == "eager"
    assert latency["throughput"] > 0


def test_ranges_are_shown_with_the_bands_of_the_recipe(state: PageState) -> None:
    ask(state, "set", ops=[CONV], precision="bf16")
    about, heights = strips.strips(state)
    json.dumps([about, strips.bands(state)], allow_nan=False)
    assert len(heights) == len(state.session.ops) * about["columns"]
    assert all(about["ops"]) and all(strips.bands(state)["ops"])
    at = list(state.session.ops.index).index(CONV)
    assert about["ops"][at][0] == "input"
    assert 40 < strips.bands(state)["ops"][at][4] < 70
    ask(state, "undo")


def test_casts_culprits_and_findings_are_answered(state: PageState) -> None:
    ask(state, "set", ops=[CONV], precision="bf16")
    panels = CastsPanel(state), CulpritsPanel(state), FindingsPanel(state)
    ask(state, "analyse", topic="culprits")
    casts, culprits, findings = panels
    json.dumps([casts.casts, casts.beyond, culprits.culprits, findings.findings], allow_nan=False)
    assert [shown["state"] for shown in (casts.beyond, culprits.culprits, findings.findings)] == ["ready"] * 3
    assert len(casts.casts["rows"]) == len(state.session.casts())
    change, before = casts.beyond["removals"]["rows"][0], len(state.session.casts())
    assert culprits.culprits["rows"][0]["size"] == [32, 32, 1]
    ask(state, "fewer_casts", kind="removals", row=0, hash=state.session.recipe.hash)
    assert len(state.session.casts()) == before + change["adds"] - change["removes"]
    for _ in range(2):
        ask(state, "undo")
    for panel in panels:
        panel.close()


def test_every_preset_can_be_chosen_and_shown(state: PageState) -> None:
    for name in state.presets:
        reply = messages.answer(state, {"id": 1, "type": "preset", "name": name})
        assert reply["ok"], reply
        assert payloads.top(state)["preset"]
    ask(state, "reset")


def test_a_recipe_travels_as_json(state: PageState) -> None:
    ask(state, "set", ops=[CONV], precision="bf16")
    words = ask(state, "recipe_json")["json"]
    ask(state, "reset")
    ask(state, "apply", json=words)
    assert state.session.recipe[CONV] == "bf16"
