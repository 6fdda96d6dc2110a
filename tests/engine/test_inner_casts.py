"""Products of few rows cast their operand in their own call: where, with which result, and how a search counts it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.kernels import simd
from explorer.run import inside_of, keys_of, lower
from explorer.search.additive import LatencyModel

WIDTH = 512
pytestmark = pytest.mark.skipif(not simd.here(), reason="our own products need AVX512-VNNI")


class Branches(nn.Module):
    """Two products of one value, then one of a value that nothing else reads."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.alone = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.alone(torch.tanh(self.left(x) + self.right(x)))
        return out


@pytest.fixture(scope="module")
def branches() -> nn.Module:
    torch.manual_seed(0)
    return Branches().eval()


@pytest.mark.parametrize(("precision", "carrier"), [("int8", "int8:token"), ("w4", "bf16"), ("w8", "bf16")])
def test_a_cast_that_nothing_shares_is_done_in_the_product(
    branches: nn.Module, make_bench: Any, precision: str, carrier: str
) -> None:
    bench = make_bench(branches, torch.randn(3, WIDTH))
    plan = bench.planner.plan(bench.recipe(linear=precision))
    lowered = lower(plan, bench.kernels)
    call = next(call for call in lowered.schedule.calls if call.id == "alone/linear")
    assert call.reads == (("tanh", "fp32"),) and call.inside == (f"cast:tanh:{carrier}",)
    assert inside_of(plan)[f"cast:tanh:{carrier}"] == "alone/linear"
    assert f"cast:x:{carrier}" not in inside_of(plan), "two products share its codes"
    assert call.key == keys_of(plan)["alone/linear"] and call.key.endswith(f" + cast {carrier}")
    assert f"cast:tanh:{carrier}" not in keys_of(plan)
    assert torch.equal(lowered(*bench.inputs), bench.run(plan.recipe))


def test_of_many_rows_the_cast_is_shared_work(branches: nn.Module, make_bench: Any) -> None:
    bench = make_bench(branches, torch.randn(200, WIDTH))
    plan = bench.planner.plan(bench.recipe(linear="int8"))
    assert "cast:tanh:int8:token" not in inside_of(plan)


def test_a_search_knows_what_the_joined_call_stands_for(branches: nn.Module, make_bench: Any) -> None:
    bench = make_bench(branches, torch.randn(3, WIDTH))
    plan = bench.planner.plan(bench.recipe(linear="int8"))
    options = {op.id: tuple(dict.fromkeys(("fp32", plan.recipe[op.id]))) for op in bench.graph.rows}
    model = LatencyModel.of(bench.planner, options, [bench.planner.plan(bench.base), plan])
    (pattern,) = (each for each in model.patterns.values() if each.op == "alone/linear")
    assert pattern.key == keys_of(plan)["alone/linear"]
    (cast,) = (cast for cast in plan.casts if cast.value == "tanh")
    assert pattern.apart == (plan.step_of["alone/linear"].key, cast.key)
    assert ("alone/linear", frozenset({"int8"})) in pattern.conditions
