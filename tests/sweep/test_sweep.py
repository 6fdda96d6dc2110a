"""Costs of cells and pairs against brute force, with what is told on the way and what fails."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.compare import compare
from explorer.errors import Cancelled, PrecisionError, SelectionError
from explorer.run import KernelCache
from explorer.subject import Subject
from explorer.sweep import SweepResult, choose_cells, interactions, sweep
from explorer.sweep.bench import Bench
from explorer.sweep.deal import Deal
from tests.sweep.conftest import Force

PRECISIONS = ("bf16", "int8", "int8_static", "w4")


def close(cost: float) -> Any:
    """In a wave, sums may be rounded in another order: 1e-6 of an output, whose square is seen, and the rounding of
    FP64 sums."""
    return pytest.approx(cost, rel=1e-4, abs=1e-11)


@pytest.mark.parametrize("name", ["vit", "cnn"])
def test_every_cell_costs_what_brute_force_finds(name: str, by_force: Force, request: pytest.FixtureRequest) -> None:
    subject: Subject = request.getfixturevalue(name)
    cells = choose_cells(subject, PRECISIONS)
    n = len(subject.samples) - 2
    deal = Deal.of(Bench.of(subject), [(cell,) for cell in cells], n, 512 << 20)
    assert max(len(wave.task.changes) for wave in deal.waves) > 8, "copies run together"
    result = sweep(subject, reversed(cells), n)
    assert list(result.ops) == [op.id for op in subject.graph.rows]
    assert set(result.cells) == set(cells)
    for cell, found in result.cells.items():
        assert found.cost == close(by_force(subject, (cell,), n)), cell
        step = Bench.of(subject).plan((cell,)).step_of[cell[0]]
        assert (found.n, found.kernel, found.emulated) == (n, step.kernel and step.kernel.name, step.emulated)


def test_by_themselves_cells_cost_the_same_to_the_bit_as_in_the_isolated_view(vit: Subject) -> None:
    ops = [op.id for op in vit.graph.rows]
    recipe = vit.baseline.recipe.with_precision(ops, "bf16", "test")
    changes = [((op, "bf16"),) for op in ops]
    deal = Deal.of(Bench.of(vit), changes, 21, budget_bytes=0)
    assert {len(wave.task.changes) for wave in deal.waves} == {1}, "no room for copies"
    found = {part.task.changes[0]: Bench.of(vit).measure(part.task)[0].found for part in deal.waves}
    isolated = compare(vit, recipe, "isolated", 21).kl
    assert [found[change].cost for change in changes] == list(isolated)


def test_the_error_is_the_standard_error_over_samples(vit: Subject) -> None:
    cell = ("head/linear", "int8")
    parts = [sweep(vit, [cell], n).cells[cell].cost * n for n in range(1, 21 + 1)]
    each = torch.tensor([after - before for before, after in zip([0.0, *parts], parts, strict=False)])
    found = sweep(vit, [cell]).cells[cell]
    assert found.n == 21
    assert found.error == pytest.approx(float(each.std()) / math.sqrt(21), rel=1e-4)
    assert math.isnan(sweep(vit, [cell], 1).cells[cell].error)


class Apart(nn.Module):
    """[n, 6, 8] -> [n, 5]: samples lie second in some values and one value has none; they may be mixed."""

    def __init__(self, mixes: bool) -> None:
        super().__init__()
        self.one, self.two, self.head, self.mixes = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 5), mixes

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        x = x - 0.1 * x.mean(0 if self.mixes else 1, keepdim=True)
        turned = torch.tanh(self.two(x.transpose(0, 1)))
        places = torch.arange(6, device=x.device, dtype=torch.float32).mul(0.37).cos()
        out: Tensor = self.head((turned.transpose(0, 1) * places[:, None]).sum(1))
        return out


@pytest.mark.parametrize("mixes", [False, True])
def test_what_cannot_be_stacked_runs_by_itself(
    mixes: bool, open_model: Callable[[nn.Module, Tensor], Subject], by_force: Force
) -> None:
    torch.manual_seed(7)
    subject = open_model(Apart(mixes), torch.randn(11, 6, 8))
    cells = choose_cells(subject, ["bf16"])
    deal = Deal.of(Bench.of(subject), [(cell,) for cell in cells], 11, 512 << 20)
    stacking = deal.waves[0].task.stacking
    assert stacking is not None
    layouts = {subject.graph.by_id[op].kind: stacking.layouts[subject.graph.by_id[op].name] for op, _ in cells}
    together = {
        subject.graph.by_id[change[0][0]].kind
        for wave in deal.waves
        if len(wave.task.changes) > 1
        for change in wave.task.changes
    }
    assert layouts["cos"] == "shared"
    if mixes:
        assert (layouts["mean"], stacking.safe_from) == ("mixed", len(subject.graph.ops) + 1)
        assert not together
    else:
        assert (layouts["mean"], layouts["tanh"], stacking.safe_from) == (0, 1, 0)
        assert {"mean", "tanh"} <= together and "cos" not in together
    for cell, found in sweep(subject, cells).cells.items():
        assert found.cost == close(by_force(subject, (cell,), 11)), cell


def test_outputs_that_are_no_logits_cost_squared_error(by_force: Force, vit: Subject) -> None:
    subject = replace(vit, task=replace(vit.task, logits=False))
    cells = choose_cells(subject, ["bf16"], "blocks.1.*")
    result = sweep(subject, cells)
    assert result.unit == "squared error"
    for cell, found in result.cells.items():
        assert found.cost == pytest.approx(by_force(subject, (cell,), 21), rel=1e-3)


def test_pairs_cost_more_or_less_than_their_cells(vit: Subject, by_force: Force) -> None:
    one, two, far = ("blocks.0.fc1/linear", "w4"), ("blocks.0.fc2/linear", "int8"), ("head/linear", "w4")
    pairs = [(one, two), (one, far)]
    table = interactions(vit, pairs, 21)
    assert list(table.index) == pairs
    for (a, b), row in table.iterrows():  # type: ignore[misc]
        first, second, both = (by_force(vit, change, 21) for change in ((a,), (b,), (a, b)))
        assert (row["first"], row.second, row.together) == (close(first), close(second), close(both))
        assert row.interaction == row.together - row["first"] - row.second
    with pytest.raises(SelectionError, match="they are one op"):
        interactions(vit, [(one, (one[0], "int8"))])
    assert interactions(vit, []).empty


def test_the_table_says_what_is_known(vit: Subject) -> None:
    cells = [("head/linear", "int8"), ("embed/linear", "bf16"), ("embed/linear", "fp32")]
    result = sweep(vit, cells, 8)
    table, errors = result.table(), result.errors()
    assert (list(table.index), list(table)) == (["embed/linear", "head/linear"], ["int8", "bf16", "fp32"])
    assert list(table.isna().stack()) == [True, False, False, False, True, False]
    assert list(table.fp32) == [0, 0] == list(errors.fp32)
    assert errors.loc["head/linear", "int8"] == result.cells["head/linear", "int8"].error > 0
    assert list(result.records()["op"]) == ["head/linear", "embed/linear"]
    more = sweep(vit, [("head/linear", "int8"), ("head/linear", "w4")])
    merged = result.merge(more)
    assert merged.cells["head/linear", "int8"].n == 21 and len(merged.cells) == 3
    assert more.merge(result).cells == merged.cells
    assert merged.precisions == ("int8", "bf16", "fp32", "w4")
    assert sweep(vit, []).table().empty
    assert ("head/linear", "fp32") in choose_cells(vit, ["fp32"])


def test_results_come_batch_by_batch_and_cancel_stops(vit: Subject) -> None:
    cells = choose_cells(vit, ["bf16"])
    seen: list[SweepResult] = []
    told: list[tuple[int, int]] = []
    final = sweep(vit, cells, partial=seen.append, progress=lambda done, total, text: told.append((done, total)))
    assert [{found.n for found in result.cells.values()} for result in seen] == [{8}, {16}, {21}]
    assert seen[-1].cells == final.cells
    assert told == sorted(told) and told[0] == (0, 3 * len(cells)) and told[-1] == (3 * len(cells), 3 * len(cells))
    cancel = threading.Event()
    kept: list[SweepResult] = []

    def stop(result: SweepResult) -> None:
        kept.append(result)
        cancel.set()

    with pytest.raises(Cancelled):
        sweep(vit, cells, partial=stop, cancel=cancel)
    assert len(kept) == 1


class Broken(KernelCache):
    """One op's kernel fails whenever it runs."""

    def call(self, step: Any) -> Callable[..., Any]:
        def fail(*inputs: Any) -> Any:
            raise RuntimeError("no such instruction")

        return fail if step.op.id == "head/linear" and step.kernel.precision == "int8" else super().call(step)


class Narrow(KernelCache):
    """FP32's own kernel of one op takes one batch at a time, as where memory runs out."""

    def call(self, step: Any) -> Callable[..., Any]:
        run = super().call(step)

        def refuse(x: Tensor) -> Any:
            if len(x) > 8:
                raise RuntimeError("out of memory")
            return run(x)

        return refuse if step.op.id == "head/linear" and step.kernel.precision == "fp32" else run


def test_a_kernel_that_fails_marks_its_cell_alone(vit: Subject) -> None:
    cells = choose_cells(vit, ["bf16", "int8"])
    right = sweep(vit, cells).cells
    found = sweep(replace(vit, kernels=Broken()), cells).cells
    failed = found.pop(("head/linear", "int8"))
    assert math.isnan(failed.cost) and "no such instruction" in failed.failure
    assert found == {cell: cost for cell, cost in right.items() if cell != ("head/linear", "int8")}


def test_a_wave_that_fails_is_run_again_one_by_one(vit: Subject) -> None:
    cells = choose_cells(vit, ["bf16"])
    right = sweep(vit, cells).cells
    stacked = Deal.of(Bench.of(vit), [(cell,) for cell in cells], 21, 512 << 20)
    narrow = replace(Bench.of(vit), kernels=Narrow())
    for part in stacked.waves:
        for (cell,), outcome in zip(part.task.changes, narrow.measure(part.task), strict=True):
            assert not outcome.failure and outcome.found.cost == close(right[cell].cost)


def test_a_cell_that_cannot_run_is_refused(vit: Subject) -> None:
    with pytest.raises(PrecisionError, match=r"measure 'blocks\.0\.norm1/layer_norm' in 'w4': .* one of bf16"):
        sweep(vit, [("blocks.0.norm1/layer_norm", "w4")])
    with pytest.raises(SelectionError):
        sweep(vit, [("nothing", "w4")])
    assert ("blocks.0.norm1/layer_norm", "w4") not in choose_cells(vit, ["w4"])
