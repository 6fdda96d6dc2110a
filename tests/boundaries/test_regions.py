"""Coherent regions, against a search that knows nothing of how they are found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from math import prod
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from explorer.boundaries.flow import find_flow
from explorer.boundaries.regions import find_regions, regions_table
from explorer.latency import LatencyTable
from explorer.run import Plan, inside_of


def paths(plan: Plan, reader: str) -> Iterator[tuple[str, bool]]:
    """Every op whose result reaches ``reader``, through any views, and whether a call converts it on that way."""
    graph, inside = plan.graph, inside_of(plan)

    def climb(op: Any, converted: bool) -> Iterator[tuple[str, bool]]:
        for name, carrier in plan.step_of[op.id].takes.items():
            now = converted or (plan.format_of[name] != carrier and f"cast:{name}:{carrier}" not in inside)
            maker = graph.producer.get(name)
            if maker is not None and maker.has_precision:
                yield maker.id, now
            elif maker is not None:
                yield from climb(maker, now)

    return climb(graph.by_id[reader], False)


def tabulate(plan: Plan, times: LatencyTable | None = None) -> pd.DataFrame:
    flow = find_flow(plan)
    return regions_table(plan, flow, find_regions(plan, flow), times or LatencyTable())


def test_regions_hold_every_op_once_and_no_cast(mix: tuple[Any, Plan]) -> None:
    _, plan = mix
    regions = find_regions(plan, find_flow(plan))
    ops = [op for region in regions for op in region]
    assert sorted(ops) == sorted(op.id for op in plan.graph.rows)
    region_of = {op: index for index, region in enumerate(regions) for op in region}
    joined, parted = set(), set()
    for op in ops:
        for source, converted in paths(plan, op):
            pair = frozenset((region_of[source], region_of[op]))
            (parted if converted else joined).add(pair)
    assert not any(len(pair) == 1 for pair in parted), "a cast lies inside a region"
    assert {pair for pair in joined if len(pair) == 2} <= parted, "two regions could be one"


def test_a_region_hangs_together(mix: tuple[Any, Plan]) -> None:
    _, plan = mix
    for region in find_regions(plan, find_flow(plan)):
        links = [{op, source} for op in region for source, converted in paths(plan, op) if not converted]
        reached = {region[0]}
        while grown := {op for link in links if link & reached and link <= set(region) for op in link} - reached:
            reached |= grown
        assert reached == set(region)


def test_casts_and_elements_are_those_between_regions(mix: tuple[Any, Plan]) -> None:
    _, plan = mix
    table = tabulate(plan)
    inside = inside_of(plan)
    to_output = [cast for cast in plan.casts if "output" in cast.consumers]
    calls = [cast for cast in plan.casts if cast.id not in inside]
    assert table.casts_in.sum() >= len(calls) - len(to_output), "a shared cast leads into each region that reads it"
    assert (table.casts_in.sum() > 0) == (len(calls) > len(to_output))
    assert (table.elements_out > 0).all(), "what nobody reads is not computed"
    last = table[[plan.graph.output.name in [plan.graph.by_id[op].name for op in ops] for ops in table.members]]
    assert len(last) <= 1


class Chain(nn.Module):
    """[n, 8] -> [n, 4] through three linears, the middle one alone in a view."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(8, 12), nn.Linear(6, 6), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.tanh(self.middle(x.reshape(-1, 2, 6)))
        return self.last(x.flatten(1))


@pytest.fixture
def chain(make: Any) -> Any:
    return make(Chain(), torch.randn(5, 8))


def test_the_table_of_a_chain_is_what_one_counts_by_hand(chain: Any, timed: Callable[..., LatencyTable]) -> None:
    plan = chain.plan({"middle/linear": "bf16", "tanh": "bf16"})
    times = {"cast:reshape:bf16": 7.0, "middle/linear": 100.0, "tanh": 10.0}
    table = tabulate(plan, timed(plan, of=lambda name: times.get(name, 1.0)))
    assert table.members.tolist() == [("first/linear", "relu"), ("middle/linear", "tanh"), ("last/linear",)]
    assert table.format.tolist() == ["fp32", "bf16", "fp32"]
    assert table.reads.tolist() == ["fp32", "bf16", "fp32"]
    assert table.elements_in.tolist() == [40, 60, 60] and table.elements_out.tolist() == [60, 60, 20]
    assert table.casts_in.tolist() == [0, 1, 1] and table.casts_out.tolist() == [1, 1, 0]
    assert table.time_us.tolist() == [3.0, 111.0, 1.0], "each region's own calls, with the views of its results"
    assert table.casts_us.tolist() == [0.0, 7.0, 1.0]


def test_what_was_never_timed_is_not_a_number(chain: Any) -> None:
    table = tabulate(chain.plan(linear="bf16"))
    assert table.time_us.isna().all()
    assert math.isnan(table.casts_us.iloc[0])


@pytest.mark.usefixtures("plain")
def test_codes_that_a_product_writes_itself_flow_without_a_cast(make: Any) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    plan = make(model, torch.randn(5, 8)).plan(linear="int8_static")
    assert len(plan.casts) == 3
    table = tabulate(plan)
    assert len(table) == 1 and table.casts_in.tolist() == [1]
    assert table.format.tolist() == ["uint8 + fp32"], "two results of 40 codes, one of 20 floats"
    assert table.reads.tolist() == ["uint8"]


def test_a_value_read_both_ways_parts_what_would_hold_a_cast(make: Any) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(x)
            return x * torch.sigmoid(self.gate(x))

    plan = make(Gated(), torch.randn(5, 8)).plan(linear="int8")
    assert find_regions(plan, find_flow(plan)) == (("tanh", "mul"), ("gate/linear", "sigmoid"))


def test_no_two_regions_share_an_op_and_all_are_named_by_their_ends(mix: tuple[Any, Plan]) -> None:
    _, plan = mix
    regions, table = find_regions(plan, find_flow(plan)), tabulate(plan)
    for left, right in combinations(regions, 2):
        assert not set(left) & set(right)
    assert [(row.first, row.last, row.ops) for row in table.itertuples()] == [(r[0], r[-1], len(r)) for r in regions]
    assert table.elements_in.max() <= sum(prod(shape) for shape in plan.shapes.values())
