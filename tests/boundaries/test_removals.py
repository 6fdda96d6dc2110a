"""Casts that could go: every row is planned anew here, by another planner."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from explorer.boundaries import boundaries
from explorer.boundaries import removals as removals_module
from explorer.boundaries.alternatives import Alternatives, describe, pattern_of
from explorer.boundaries.flow import find_flow
from explorer.boundaries.regions import find_regions
from explorer.boundaries.removals import find_removals, removals_table
from explorer.latency import LatencyTable
from explorer.run import Plan, Planner, inside_of, keys_of


def calls_of(plan: Plan) -> dict[str, int]:
    inside = inside_of(plan)
    return {cast.id: cast.bytes for cast in plan.casts if cast.id not in inside}


def toggled(bench: Any, plan: Plan, toggles: Any) -> Plan:
    recipe = plan.recipe
    for op, precision in toggles:
        recipe = recipe.with_precision([op], precision, "test")
    return bench.planner.plan(recipe)


def removals(plan: Plan, times: LatencyTable | None = None) -> pd.DataFrame:
    flow, times = find_flow(plan), times or LatencyTable()
    found = find_removals(plan, flow, find_regions(plan, flow), times, Alternatives(plan, times))
    return removals_table(found, times)


def test_every_change_does_what_its_row_says(mix: tuple[Any, Plan]) -> None:
    bench, plan = mix
    before, times = calls_of(plan), LatencyTable()
    times.add(plan, dict.fromkeys(keys_of(plan), 4.0))
    for row in removals(plan, times).itertuples():
        other = toggled(bench, plan, row.toggles)
        after = calls_of(other)
        assert set(row.removes) == before.keys() - after.keys() and row.removes
        assert set(row.adds) == after.keys() - before.keys()
        assert (row.casts_before, row.casts_after) == (len(before), len(after))
        assert row.bytes_saved == sum(before.values()) - sum(after.values())
        assert (len(after), sum(after.values())) < (len(before), sum(before.values()))
        assert row.bytes_saved >= 0
        assert row.ms_before == pytest.approx(4e-3 * len(keys_of(plan)))
        known = times.predict_ms(other)
        assert row.ms_after == (pytest.approx(known) if known is not None else pytest.approx(math.nan, nan_ok=True))
        assert not set(other.emulated) - set(plan.emulated), "a real kernel was given up for an emulation"


def test_the_boundaries_of_a_plan_are_its_four_tables(models: Any) -> None:
    plain = boundaries(models("tower").plan(), LatencyTable())
    assert plain.removals.empty and plain.redundant.empty and plain.reformats.empty
    assert len(plain.regions) == 1
    mixed = models("tower").plan({"conv2d": "bf16"})
    found = boundaries(mixed, LatencyTable())
    assert found.removals.change.tolist() == removals(mixed).change.tolist() != []
    assert found.redundant.through.tolist() == [("relu", "pool/max_pool2d")]
    assert found.regions.ops.tolist() == [1, 5, 1]
    assert found.reformats.op.tolist() == ["stem/conv2d", "flatten"], "channels-last from the first convolution on"


class Chain(nn.Module):
    """Three linears with an activation after each of the first two."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 64), nn.Linear(64, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.tanh(self.b(torch.relu(self.a(x)))))


def test_what_saves_most_measured_time_comes_first_and_what_costs_time_last(
    make: Any, timed: Callable[..., LatencyTable]
) -> None:
    bench = make(Chain(), torch.randn(5, 8))
    plan, lower = bench.plan(linear="bf16"), bench.plan(every="bf16")
    untimed = removals(plan)
    assert untimed.bytes_saved.is_monotonic_decreasing and untimed.saved_us.isna().all()
    assert untimed.change[0] == "relu → bf16", "its casts have most bytes"

    slow = {"tanh": 1.0, "relu": 50.0}
    costs = {"cast:linear_1:fp32": 30.0, "cast:tanh:bf16": 40.0}
    table = LatencyTable()
    table.add(lower, {name: slow.get(name, 1.0) for name in keys_of(lower)})
    table.add(plan, {name: costs.get(name, 1.0) for name in keys_of(plan)})
    measured = removals(plan, table)
    known = measured[measured.saved_us.notna()]
    assert known.change.iloc[0] == "tanh → bf16" and known.saved_us.iloc[0] == pytest.approx(70.0)
    assert known.casts_us.iloc[0] == pytest.approx(70.0)
    assert measured.change.iloc[-1] == "relu → bf16" and measured.saved_us.iloc[-1] == pytest.approx(-47.0)


def test_like_casts_of_like_layers_go_together(models: Any) -> None:
    plan = models("mixer").plan(linear="bf16")
    changes = set(removals(plan).change)
    assert "blocks.*/gelu (2 ops) → bf16" in changes
    assert not any("blocks.0" in change for change in changes if "gelu" in change)


@pytest.mark.usefixtures("plain")
def test_a_cast_that_is_fused_is_no_saving(make: Any) -> None:
    plan = make(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)), torch.randn(5, 8)).plan(
        linear="int8_static"
    )
    assert len(plan.casts) == 2 and len(calls_of(plan)) == 1
    table = removals(plan)
    assert all(row.casts_before == 1 and row.removes == ("cast:input:uint8:static",) for row in table.itertuples())


def test_nothing_is_calibrated_to_see_what_static_codes_would_do(make: Any) -> None:
    bench = make(Chain(), torch.randn(5, 8))
    bench.planner._scales = lambda: pytest.fail("asked for scales")
    assert not removals(bench.plan(linear="int8")).empty


def test_the_work_is_bounded_however_many_boundaries_there_are(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = models("mixer").plan({"linear": "int8", "gelu": "bf16", "softmax": "fp16", "mul": "fp16"})
    counted: list[Any] = []
    original = Planner.plan
    monkeypatch.setattr(Planner, "plan", lambda self, *args, **more: (counted.append(args), original(self, *args))[1])
    monkeypatch.setattr(removals_module, "MOST_BOUNDARIES", 2)
    few = removals(plan)
    assert 0 < len(counted) <= 2 * 8 + 4 and not few.empty


def test_toggles_in_words() -> None:
    toggles = (("blocks.0.fc/linear", "int8"), ("blocks.11.fc/linear", "int8"), ("relu_1", "bf16"))
    assert describe(toggles) == "blocks.*.fc/linear (2 ops) → int8; relu_1 → bf16"
    pieces = tuple((f"h.{layer}.act/{op}", "bf16") for layer in range(2) for op in ("mul", "tanh", "mul_1"))
    assert describe(pieces) == "h.*.act/{mul, tanh, mul_1} (6 ops) → bf16"
    assert [pattern_of(op) for op in ("0/linear", "layer1.0.conv2/conv2d", "h.3/add_1", "conv2d")] == [
        "*/linear",
        "layer1.*.conv2/conv2d",
        "h.*/add_1",
        "conv2d",
    ]


def test_only_what_can_run_is_toggled(models: Any) -> None:
    plan = models("mixer").plan(linear="bf16")
    alternatives = Alternatives(plan, LatencyTable())
    assert alternatives.toggle(["blocks.0/gelu", "blocks.0.fc1/linear"], "int8_static") == (
        ("blocks.0.fc1/linear", "int8_static"),
    )
    assert alternatives.toggle(["blocks.0.fc1/linear", "x", "output"], "bf16") == ()
    assert alternatives.plan(()) is None
