"""Round trips and repeated casts, on small chains where one sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from explorer.boundaries.alternatives import Alternatives
from explorer.boundaries.flow import find_flow
from explorer.boundaries.redundant import find_repeats, find_round_trips, redundant_table
from explorer.latency import LatencyTable
from explorer.run import Plan


class Mlp(nn.Module):
    """[n, 8] -> [n, 4]: linear, an activation, linear."""

    def __init__(self, activation: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.first, self.last, self.activation = nn.Linear(8, 12), nn.Linear(12, 4), activation

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.activation(self.first(x)))


def redundant(plan: Plan, times: LatencyTable | None = None) -> pd.DataFrame:
    times = times or LatencyTable()
    return redundant_table(plan, find_flow(plan), times, Alternatives(plan, times))


@pytest.mark.usefixtures("plain")
def test_int8_through_an_fp32_relu_is_a_round_trip_that_static_codes_avoid(make: Any) -> None:
    bench = make(Mlp(), torch.randn(5, 8))
    table = redundant(bench.plan(linear="int8"))
    assert len(table) == 1
    row = table.iloc[0]
    assert (row.kind, row.low, row.high) == ("up then down", "int8", "fp32")
    assert (row.raised_by, row.through, row.readers) == (("first/linear",), ("relu",), ("last/linear",))
    assert row.casts == ("cast:relu:int8:token",) and row.bytes == 60 * 5, "the product raises it; no cast does"
    assert dict(row.toggles) == {"first/linear": "int8_static", "last/linear": "int8_static"}
    assert redundant(bench.plan(linear="int8_static")).empty, "the product writes the codes"


@pytest.mark.usefixtures("plain")
def test_what_no_precision_avoids_is_not_redundant(make: Any) -> None:
    bench = make(Mlp(torch.tanh), torch.randn(5, 8))
    plan = bench.plan(linear="int8")
    assert [trip.through for trip in find_round_trips(plan, find_flow(plan))] == [("tanh",)]
    assert redundant(plan).empty, "no product takes a tanh in"


def test_bf16_through_fp32_is_avoided_in_bf16(make: Any, timed: Callable[..., LatencyTable]) -> None:
    plan = make(Mlp(), torch.randn(5, 8)).plan(linear="bf16")
    table = redundant(plan, timed(plan, of=lambda name: 3.0 if name.startswith("cast:relu") else 1.0))
    assert len(table) == 1
    row = table.iloc[0]
    assert (row.low, row.high, row.through) == ("bf16", "fp32", ("relu",))
    assert row.casts == ("cast:linear:fp32", "cast:relu:bf16")
    assert row.bytes == 2 * 60 * 6 and row.casts_us == 4.0
    assert row.toggles == (("relu", "bf16"),) and row.change == "relu → bf16"


def test_a_path_that_was_never_low_is_no_round_trip(make: Any) -> None:
    class Residual(nn.Module):
        def __init__(self, both: bool) -> None:
            super().__init__()
            self.left, self.right, self.last, self.both = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4), both

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.left(x) + (self.right(x) if self.both else x))

    for both, found in ((True, [("add",)]), (False, [])):
        plan = make(Residual(both), torch.randn(5, 8)).plan(linear="bf16")
        assert redundant(plan).through.tolist() == found


def test_what_computes_in_between_is_kept_high_on_purpose(make: Any) -> None:
    plan = make(Mlp(lambda x: torch.softmax(x, -1)), torch.randn(5, 8)).plan(linear="bf16")
    assert [cast.to for cast in plan.casts] == ["bf16", "fp32", "bf16", "fp32"]
    assert redundant(plan).empty


def test_a_value_cast_for_a_view_of_it_too_is_cast_twice(make: Any, timed: Callable[..., LatencyTable]) -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.router, self.expert = nn.Linear(8, 3), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(x)
            return self.expert(x).mean(-1) * self.router(x.reshape(-1, 8)).reshape(-1, 6, 3).mean(-1)

    bench = make(Experts(), torch.randn(5, 6, 8))
    for precision, bytes_ in (("bf16", 6), ("int8", 5)):
        plan = bench.plan(linear=precision)
        table = redundant(plan, timed(plan, of=lambda name: 2.5))
        twice = table[table.kind == "twice"]
        assert len(twice) == 1
        row = twice.iloc[0]
        assert (row.raised_by, row.low, row.high) == (("tanh",), precision, "fp32")
        assert set(row.readers) == {"expert/linear", "router/linear"}
        assert len(row.casts) == 1 and row.bytes == 240 * bytes_ and row.casts_us == 2.5
        assert row.toggles == () and row.change == ""


def test_parts_and_turned_rows_are_other_values(make: Any) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows, self.columns, self.part = nn.Linear(6, 3), nn.Linear(6, 3), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(x)
            return self.rows(x) + self.columns(x.transpose(1, 2)) + self.part(x[:, :1])

    bench = make(Turned(), torch.randn(5, 6, 6))
    int8, bf16 = (bench.plan(linear=precision) for precision in ("int8", "bf16"))
    assert find_repeats(int8, find_flow(int8)) == (), "a row's scale is not a column's"
    (pair,) = find_repeats(bf16, find_flow(bf16))
    assert [cast.value for cast in pair] == ["tanh", "transpose"], "rounding knows no rows"


@pytest.mark.usefixtures("plain")
def test_like_round_trips_of_like_layers_are_one_row(make: Any) -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(Mlp() for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = torch.tanh(nn.functional.pad(block(x), (0, 4)))
            return x

    table = redundant(make(Deep(), torch.randn(5, 8)).plan(linear="int8"))
    assert len(table) == 1 and len(table.casts[0]) == 3
    assert table.change[0] == "blocks.*.first/linear (3 ops), blocks.*.last/linear (3 ops) → int8_static"
