"""What was timed, as it crosses: both baselines, each op's time and host, sum beside whole; older measurements too."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tests.widgets.conftest import Ask
from tests.widgets.fake import FakeSession
from widgets import timings
from widgets.op_times import OpTime, read_op_times
from widgets.state import PageState

FC1, GELU = "blocks.0.mlp.fc1/linear", "blocks.0.mlp.act/gelu"
OLD_COLUMNS = ["id", "what", "kernel", "time_us", "baseline_us", "emulated"]


def card(state: PageState) -> dict[str, Any]:
    assert state.shown is not None
    payload = timings.latency(state, state.shown)
    json.dumps(payload, allow_nan=False)
    return payload


def entry(state: PageState, op: str) -> Any:
    return timings.times(state)["ops"][state.session.ids.index(op)]


def test_both_baselines_and_the_split_cross(ask: Ask, state: PageState) -> None:
    ask("set", ops=[FC1], precision="int8")
    assert state.wait(10)
    shown = card(state)
    assert shown["over_eager"]["value"] == pytest.approx(shown["eager_ms"] / shown["candidate_ms"])
    assert shown["over_fp32"]["low"] < shown["fp32_ms"] / shown["candidate_ms"] < shown["over_fp32"]["high"]
    assert shown["kernel_gain"] * shown["precision_gain"] == pytest.approx(shown["over_eager"]["value"])
    assert set(shown["percentiles"]) == {"p50", "p90"}
    assert shown["steady"] is True


def test_a_drift_is_told(ask: Ask, state: PageState, session: FakeSession) -> None:
    session.steady = False
    ask("set", ops=[FC1], precision="int8")
    assert state.wait(10)
    assert card(state)["steady"] is False
    assert card(state)["drift"] == {"value": 1.07, "low": 1.05, "high": 1.09}


def test_an_unsteady_first_look_is_followed_by_a_longer_one(ask: Ask, state: PageState, session: FakeSession) -> None:
    ask("set", ops=[FC1], precision="int8")
    assert state.wait(10)
    assert session.calls.count("latency") == 1
    session.steady = False
    settled: list[bool] = []
    state.subscribe(lambda topics: settled.append(state.settled) if "times" in topics else None)
    ask("set", ops=[FC1], precision="bf16")
    assert state.wait(10)
    assert session.calls.count("latency") == 3
    assert settled == [False, True], "what moves no more is said to have settled, and not before"


def test_an_op_done_inside_another_names_it_and_adds_no_time(ask: Ask, state: PageState) -> None:
    ask("set", ops=[FC1], precision="int8")
    assert state.wait(10)
    now, before, emulated, floor, inside, holds = entry(state, GELU)
    assert (now, before, emulated, floor, inside, holds) == (0.0, 0.0, False, None, FC1, 0)
    host = entry(state, FC1)
    row = state.latency.table.set_index("id").loc[FC1]
    assert host[:2] == [row["time_us"], row["baseline_us"] + 60]
    assert host[3] == pytest.approx(host[0] * 2 / 3)
    assert host[5] == 1


def test_what_one_call_does_for_several_ops_is_forgotten_with_its_recipe(ask: Ask, state: PageState) -> None:
    ask("set", ops=[FC1], precision="int8")
    assert state.wait(10)
    state.session.gate.clear()
    ask("set", ops=["blocks.1.mlp.fc1/linear"], precision="bf16")
    assert entry(state, GELU) is None
    assert entry(state, FC1) is None
    assert entry(state, "head/linear") is not None
    state.session.gate.set()
    assert state.wait(10)
    assert entry(state, GELU)[4] == FC1


def test_the_table_has_casts_sum_whole_and_rest(ask: Ask, state: PageState) -> None:
    ask("set", ops=[FC1], precision="int8")
    assert state.wait(10)
    table = timings.time_table(state)
    json.dumps(table, allow_nan=False)
    slowest = [row["us"] for row in table["rows"]]
    assert slowest == sorted(slowest, reverse=True)
    assert [row["kernel"] for row in table["rows"]].count("cast") == len(state.session.casts())
    assert [row["id"] for row in table["inside"]] == [GELU]
    assert table["sum_us"] == pytest.approx(sum(slowest))
    assert table["sum_us"] == pytest.approx(sum(group["us"] for group in table["groups"]))
    assert sum(group["n"] for group in table["groups"]) == len(table["rows"])
    kinds = {(group["what"], group["kernel"]): group for group in table["groups"]}
    assert kinds["linear", "onednn_fp32_linear"]["n"] == 8
    assert kinds["linear", "onednn_int8_linear"]["holds"] == 1
    assert kinds["cast fp32 \u2192 int8", "cast"]["n"] == 1
    assert table["sum_us"] + table["rest_us"] == pytest.approx(table["whole_us"])


def test_a_long_table_keeps_its_sum(ask: Ask, state: PageState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "MAX_ROWS", 3)
    table = timings.time_table(state)
    assert len(table["rows"]) == 3
    assert sum(row["us"] for row in table["rows"]) + table["more_us"] == pytest.approx(table["sum_us"])


def test_the_table_says_why_it_is_empty(state: PageState) -> None:
    state.latency = None
    assert timings.time_table(state) == {"state": "idle", "rows": []}
    assert timings.time_table(PageState()) == {"state": "opening", "rows": []}
    state.session.marked = "recorded on a CPU, today"
    assert timings.time_table(state) == {"state": "recorded", "rows": []}, "there is no Measure to press"


def test_an_older_measurement_shows_what_it_has(state: PageState) -> None:
    table = state.latency.table[OLD_COLUMNS]
    known = ("baseline_ms", "candidate_ms", "speedup", "interval", "n", "predicted_ms", "conditions", "emulated")
    state.take_latency(SimpleNamespace(**{name: getattr(state.latency, name) for name in known}, table=table))
    shown = card(state)
    assert shown["over_eager"]["value"] == state.latency.speedup
    assert shown["eager_ms"] == state.latency.baseline_ms
    assert shown["percentiles"] == {}
    for name in ("over_fp32", "fp32_ms", "kernel_gain", "precision_gain", "steady", "drift", "throughput"):
        assert shown[name] is None
    assert all(one[3:] == [None, "", 0] for one in timings.times(state)["ops"])
    assert all(row["floor_us"] is None for row in timings.time_table(state)["rows"])


def test_fields_that_are_there_but_empty_are_unknown(state: PageState) -> None:
    empty = dict.fromkeys(("over_eager", "over_fp32", "fp32_ms", "eager_ms", "percentiles", "drift", "rest_us"))
    state.take_latency(replace(state.latency, **empty))
    assert card(state)["eager_ms"] == state.latency.baseline_ms
    table = timings.time_table(state)
    assert table["rest_us"] == pytest.approx(table["whole_us"] - table["sum_us"])


def test_a_host_that_the_table_lacks_is_no_host() -> None:
    rows = [("a/gelu", 5.0, 6.0, "gone/linear", 2.0, 0.4), ("b/add", 3.0, 4.0, None, None, None)]
    columns = ["id", "time_us", "baseline_us", "inside", "floor_us", "of_limit"]
    table = pd.DataFrame(rows, columns=columns).assign(emulated=False)
    assert read_op_times(table) == {"a/gelu": OpTime(5.0, 6.0, False, 2.0), "b/add": OpTime(3.0, 4.0, False)}
