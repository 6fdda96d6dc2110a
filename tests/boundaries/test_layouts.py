"""Layouts: predicted strides against those of a real run, and what kernels say they copy against what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from explorer.boundaries.layouts import find_reformats, reformats_table
from explorer.formats import Quantized
from explorer.graph import ModelGraph
from explorer.kernels import CARRIERS, Site, StaticScale
from explorer.kernels.layout import (
    ANY,
    CHANNELS_LAST,
    CONTIGUOUS,
    DENSE,
    FRAMED,
    PADDED,
    ROWS,
    describe_layout,
    lies_so,
)
from explorer.kernels.registry import rivals_of
from explorer.latency import LatencyTable
from explorer.measure import find_device
from explorer.run import Executor, KernelCache, Plan, Step


def test_strides_are_those_of_a_real_run(mix: tuple[Any, Plan]) -> None:
    bench, plan = mix
    _, layouts = find_reformats(plan)
    seen = []

    def compare(step: Step, output: Any) -> None:
        output = output.codes if isinstance(output, Quantized) else output
        found = layouts[step.op.name]
        if isinstance(output, Tensor) and output.dim():
            assert isinstance(found, Tensor), step.op.id
            seen.append(step.op.id)
            assert (found.shape, found.stride()) == (output.shape, output.stride()), step.op.id

    Executor(plan, KernelCache()).run(dict(zip(plan.graph.inputs, bench.inputs, strict=True)), observe=compare)
    assert len(seen) >= len(plan.graph.rows)


class Turned(nn.Module):
    """[n, 8, 6] -> [n, 6, 4]: a residual stream that lies turned, as patches from a convolution do, under a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(x.transpose(1, 2))
        return self.fc(self.norm(x)) + x.reshape(-1, 48)[:, :4].unsqueeze(1)


def test_a_norm_over_a_turned_stream_copies_it_and_so_does_a_view(
    make: Any, timed: Callable[..., LatencyTable]
) -> None:
    plan = make(Turned(), torch.randn(5, 8, 6)).plan()
    table = reformats_table(plan, timed(plan, of=lambda name: 9.0 if name == "reshape" else 1.0))
    assert table[["op", "where", "value", "wants", "arrives", "elements", "bytes"]].values.tolist() == [
        ["norm/layer_norm", "kernel", "tanh", "contiguous", "permuted 0 2 1", 240, 1920],
        ["reshape", "view", "tanh", "contiguous", "permuted 0 2 1", 240, 1920],
    ]
    assert table.kernel.tolist() == ["torch fp32", "torch"]
    assert table.time_us.isna().tolist() == [True, False] and table.time_us[1] == 9.0
    assert reformats_table(plan, LatencyTable()).time_us.isna().all()


def test_a_cast_that_copies_is_told_once_for_all_who_read_it(make: Any) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(x.transpose(1, 2))
            return self.left(x) + self.right(x)

    table = reformats_table(make(Shared(), torch.randn(5, 8, 6)).plan(linear="int8"), LatencyTable())
    assert table[["op", "where", "kernel"]].values.tolist() == [["left/linear", "cast", "cast to int8"]]
    assert table.bytes.tolist() == [240 * 8], "it is copied as FP32, and then cast"


def test_a_view_that_shares_its_time_with_one_that_copies_nothing_has_none(
    make: Any, timed: Callable[..., LatencyTable]
) -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            straight, turned = torch.tanh(x), torch.sigmoid(x.reshape(-1, 6, 8)).transpose(1, 2)
            return straight.reshape(-1, 48) + turned.reshape(-1, 48)

    plan = make(Twice(), torch.randn(5, 8, 6)).plan()
    table = reformats_table(plan, timed(plan, of=lambda name: 2.0))
    assert table.op.tolist() == ["reshape_2"] and table.time_us.isna().all()


def test_what_depends_on_data_is_not_guessed(make: Any) -> None:
    plan = make(Turned(), torch.randn(5, 8, 6)).plan()
    norm = plan.graph.by_id["norm/layer_norm"]

    def fail(*args: Any, **more: Any) -> Tensor:
        raise RuntimeError("a shape depends on data")

    def broken(step: Step) -> Step:
        return replace(step, site=replace(step.site, op=replace(norm, target=fail))) if step.op is norm else step

    found, layouts = find_reformats(replace(plan, steps=tuple(map(broken, plan.steps))))
    assert layouts[norm.name] is None and layouts[plan.graph.output.name] is None
    assert [each.op for each in found] == ["norm/layer_norm", "reshape"], "what comes before and beside it is known"


@pytest.mark.parametrize(
    ("x", "layouts", "words"),
    [
        (torch.empty(2, 3, 4), {ROWS, CONTIGUOUS, DENSE}, "contiguous"),
        (torch.empty(2, 3, 4).transpose(1, 2), {CHANNELS_LAST}, "permuted 0 2 1"),
        (torch.empty(2, 3, 4)[:, 0], {ROWS}, "with gaps"),
        (torch.empty(2, 3, 4)[:, :2], set(), "with gaps"),
        (torch.empty(2, 1, 4).expand(2, 3, 4), set(), "expanded"),
        (torch.empty(2, 4, 5, 3).permute(0, 3, 1, 2), {CHANNELS_LAST, DENSE}, "channels_last"),
        (torch.empty(2, 3, 4, 5).permute(1, 0, 2, 3), set(), "permuted 1 0 2 3"),
        (torch.empty(()), {ROWS, CONTIGUOUS, DENSE}, "contiguous"),
    ],
)
def test_how_a_tensor_lies(x: Tensor, layouts: set[str], words: str) -> None:
    assert {each for each in (ROWS, CONTIGUOUS, CHANNELS_LAST, DENSE, PADDED, FRAMED) if lies_so(x, each)} == layouts
    assert lies_so(x, ANY) and describe_layout(x) == words


class Ops(nn.Module):
    """[n, 8, 6, 64] -> one op of each kind whose kernels want a layout."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.op = kind, {"linear": nn.Linear(64, 32), "layer_norm": nn.LayerNorm(64)}.get(kind)
        if kind.startswith("conv2d"):
            self.op = nn.Conv2d(int(kind[6:]), 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "softmax":
            return torch.softmax(x, -1)
        assert self.op is not None
        out: Tensor = self.op(x)
        return out


CASES = [
    *(("linear", precision) for precision in ("int8", "int8_static", "w8", "w4", "w16")),
    *(("conv2d8", precision) for precision in ("bf16", "int8", "int8_static")),
    ("conv2d3", "int8"),
    ("layer_norm", "fp32"),
    ("softmax", "fp32"),
]


def copies_in(run: Callable[[], Any], elements: int) -> int:
    """How often so many elements are copied by torch, at once or in parts, while ``run`` runs, warm."""
    run()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        run()
    shapes = [event.input_shapes[0] for event in found.events() if event.name == "aten::copy_"]
    return sum(torch.Size(shape).numel() for shape in shapes) // elements


@pytest.fixture(scope="module")
def sites(make: Any) -> Callable[[str], Site]:
    """The site of the one op of ``Ops(kind)``, captured once."""

    @cache
    def find(kind: str) -> Site:
        plan = make(Ops(kind), torch.randn(shape_of(kind))).plan()
        (step,) = (step for step in plan.steps if step.op.has_precision)
        return step.site

    return find


def shape_of(kind: str) -> tuple[int, ...]:
    return (5, int(kind[6:]), 8, 6) if kind.startswith("conv2d") else (5, 8, 6, 64)


@pytest.mark.parametrize(("kind", "precision"), CASES)
def test_kernels_copy_what_lies_otherwise_and_nothing_else(sites: Any, kind: str, precision: str) -> None:
    site = sites(kind)
    kernels, refusals = rivals_of(site, precision, find_device("cpu"))
    if not kernels:
        pytest.skip(f"this CPU has no {precision} kernel for {kind}: {refusals}")
    for kernel in kernels:
        run, wants, carrier = kernel.build(site).run, kernel.layout(site), CARRIERS[kernel.takes]
        made = carrier.convert(torch.randn(shape_of(kind)), *([StaticScale(0.05, 128)] if carrier.static else []))
        reference = run(made)
        for order in ((0, 1, 2, 3), (0, 2, 3, 1), (1, 0, 3, 2)):
            x = lay(made, order)
            laid = x.codes if isinstance(x, Quantized) else x
            copied = copies_in(partial(run, x), laid.numel())
            assert (copied > 0) == (not lies_so(laid, wants)), (kernel.name, order)
            assert torch.equal(run(x), reference), (kernel.name, order)


def lay(x: Any, order: tuple[int, ...]) -> Any:
    """The same tensor, or codes, with its dimensions in another order in memory, outermost first."""
    if isinstance(x, Quantized):
        return replace(x, codes=lay(x.codes, order))
    return x.permute(order).contiguous().permute([order.index(dim) for dim in range(4)])


def test_a_graph_without_ops_copies_nothing(models: Any) -> None:
    plan = models("tower").plan()
    graph = plan.graph
    empty = ModelGraph("empty", (), {}, {}, graph.inputs, replace(graph.output, name="x"), "0", graph.input_types)
    assert reformats_table(replace(plan, graph=empty, steps=(), casts=()), LatencyTable()).empty
