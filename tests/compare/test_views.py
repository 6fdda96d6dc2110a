"""The three errors against whole graphs that are run naively, with everything kept."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from explorer.compare import PairError, compare, culprits, error_histogram, errors, first_nonfinite, output_histograms
from explorer.compare.table import COLUMNS, ERROR_COLUMNS
from explorer.errors import Cancelled, RecipeError, SelectionError
from explorer.graph import interpret
from explorer.kernels import CARRIERS, as_float
from explorer.ranges import Histogram
from explorer.recipe import Recipe
from explorer.run import Executor, KernelCache, KernelError, Plan
from explorer.subject import Subject
from tests.compare.conftest import Opened

MIXED = {"kind:linear": "int8", "kind:layer_norm": "bf16", "blocks.1": "bf16", "head/linear": "int8_static"}


def run_whole(subject: Subject, plan: Plan, n: int) -> tuple[dict[str, Tensor], Tensor]:
    """The outputs of all ops on the first n samples, kept, and the model's."""
    kept: dict[str, list[Tensor]] = {}
    outputs = []
    for inputs, count in subject.samples.first(n):
        values = dict(zip(subject.graph.inputs, inputs, strict=True))

        def note(step: Any, output: Any, count: int = count) -> None:
            if step.op.has_precision:
                kept.setdefault(step.op.id, []).append(as_float(output)[:count])

        outputs.append(Executor(plan, subject.kernels).run(values, observe=note)[:count])
    return {op: torch.cat(parts) for op, parts in kept.items()}, torch.cat(outputs)


def kl(wanted: Tensor, given: Tensor) -> float:
    p, q = wanted.double().log_softmax(-1), given.double().log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def agrees(row: pd.Series, error: PairError) -> bool:
    sums = (row.sqnr_db, row.relative) == pytest.approx((error.sqnr_db, error.relative), rel=1e-9)
    return bool(sums and (row.max_abs, row.max_ulps, row.nonfinite) == (error.max_abs, error.max_ulps, 0))


@pytest.mark.parametrize("n", [None, 5, 13])
def test_cumulative_is_the_whole_recipe_seen_at_every_op(vit: Opened, n: int | None) -> None:
    subject, recipe_of = vit
    recipe = recipe_of(MIXED)
    plan = subject.plan(recipe)
    wanted, right = run_whole(subject, subject.baseline, n or 21)
    given, ours = run_whole(subject, plan, n or 21)
    table = compare(subject, recipe, "cumulative", n)
    assert list(table.index) == [op.id for op in subject.graph.rows]
    for op, row in table.iterrows():
        format_ = CARRIERS[plan.step_of[str(op)].gives].format
        error = PairError.of(wanted[str(op)], given[str(op)], format_)
        assert agrees(row, error), op
        assert row.output_ulps == error.output_ulps
    assert table.kl.iloc[:-1].isna().all()
    assert table.kl.iloc[-1] == pytest.approx(kl(right, ours), rel=1e-9)
    assert table.kl.iloc[-1] == pytest.approx(subject.evaluator.evaluate(plan, subject.baseline, subject.kernels, n).kl)


def test_isolated_is_each_op_alone_seen_at_the_output(vit: Opened) -> None:
    subject, recipe_of = vit
    recipe = recipe_of(MIXED)
    table = compare(subject, recipe, "isolated", 13)
    assert list(table.index) == [op for op, precision in recipe.precisions.items() if precision != "fp32"]
    _, wanted = run_whole(subject, subject.baseline, 13)
    for op, row in table.iterrows():
        alone = subject.baseline.recipe.with_precision([str(op)], recipe[str(op)], "test")
        _, given = run_whole(subject, subject.planner.plan(alone), 13)
        assert agrees(row, PairError.of(wanted, given)), op
        assert row.kl == pytest.approx(kl(wanted, given), rel=1e-6)
    assert len(compare(subject, recipe, "isolated")) == len(table)


def run_alone(subject: Subject, plan: Plan, op: str) -> tuple[Tensor, Tensor]:
    """What an op makes in FP32 and in a plan from the values that the captured graph has there, each kept by name."""
    step, wanted, given = plan.step_of[op], [], []
    for inputs, count in subject.samples.first(len(subject.samples)):
        values: dict[str, Any] = dict(zip(subject.graph.inputs, inputs, strict=True))
        interpret(subject.graph, inputs, lambda op, output, values=values: values.update({op.name: output}))
        arguments = []
        for name in step.site.inputs:
            carrier = CARRIERS[step.takes.get(name, "fp32")]
            scale = [plan.scales[name]] if carrier.static else []
            arguments.append(carrier.convert(values[name], *scale) if name in step.takes else values[name])
        given.append(as_float(subject.kernels.call(step)(*arguments))[:count])
        wanted.append(values[step.op.name][:count])
    return torch.cat(wanted), torch.cat(given)


def test_local_is_each_op_alone_on_clean_inputs(vit: Opened) -> None:
    subject, recipe_of = vit
    recipe = recipe_of(MIXED)
    table = compare(subject, recipe)
    for op, row in table.iterrows():
        assert agrees(row, PairError.of(*run_alone(subject, subject.plan(recipe), str(op)))), op
        assert (row.precision, row.kernel) == (recipe[str(op)], subject.plan(recipe).kernels[str(op)])
        assert row.source == subject.graph.by_id[str(op)].source
    assert table.kl.isna().all()


def test_static_codes_keep_their_scales(cnn: Opened) -> None:
    """The sum between convolutions reads one term in codes: clean inputs are cast as in the plan."""
    subject, recipe_of = cnn
    recipe = recipe_of({"*": "int8_static"})
    table = compare(subject, recipe)
    assert set(table.precision) == {"int8_static"}
    assert "sum from uint8" in set(table.kernel)
    for op, row in table.iterrows():
        assert agrees(row, PairError.of(*run_alone(subject, subject.plan(recipe), str(op)))), op


def test_errors_puts_the_three_side_by_side(vit: Opened) -> None:
    subject, recipe_of = vit
    recipe = recipe_of(MIXED)
    table = errors(subject, recipe, 13)
    for view in ("local", "isolated", "cumulative"):
        alone = compare(subject, recipe, view, 13)  # type: ignore[arg-type]
        assert list(table[f"{view}_sqnr_db"]) == list(alone.sqnr_db[table.index]), view
    assert list(table.isolated_kl) == list(compare(subject, recipe, "isolated", 13).kl)
    assert list(table) == ERROR_COLUMNS


def test_errors_of_some_ops_are_the_same_rows_without_the_others(vit: Opened) -> None:
    subject, recipe_of = vit
    recipe = recipe_of(MIXED)
    whole, seen = errors(subject, recipe, 13), compare(subject, recipe, "cumulative", 13)
    lowered = next(op for op in whole.index if recipe[op] == "bf16")
    plain = next(op for op in reversed(seen.index) if recipe[op] == "fp32")
    few = errors(subject, recipe, 13, ops=[plain, lowered])
    assert list(few.index) == [op for op in seen.index if op in (plain, lowered)]
    assert list(few.loc[lowered])[:-1] == list(whole.loc[lowered])[:-1]
    row = few.loc[plain]
    own = (row.precision, row.local_sqnr_db, row.isolated_sqnr_db, row.isolated_kl)
    assert own == ("fp32", math.inf, math.inf, 0.0)
    assert row.cumulative_sqnr_db == seen.sqnr_db[plain]
    assert set(few.behaviour) == {""}
    with pytest.raises(SelectionError, match="the errors of op 'nowhere'"):
        errors(subject, recipe, 13, ops=["nowhere"])


def test_the_histogram_of_an_error_is_that_of_the_difference(vit: Opened) -> None:
    subject, recipe_of = vit
    recipe = recipe_of({"blocks.1.fc2/linear": "int8"})
    wanted, _ = run_whole(subject, subject.baseline, 13)
    given, _ = run_whole(subject, subject.plan(recipe), 13)
    found = output_histograms(subject, recipe, "blocks.1.fc2/linear", 13)
    x, y = wanted["blocks.1.fc2/linear"], given["blocks.1.fc2/linear"]
    assert (found.wanted, found.given, found.error) == (Histogram.of(x), Histogram.of(y), Histogram.of(y - x))
    exact = error_histogram(subject, recipe, "head/linear", 13)
    assert exact.zeros == exact.count == 13 * 5
    with pytest.raises(SelectionError, match="the error of op 'nowhere'"):
        error_histogram(subject, recipe, "nowhere")


def test_fp32_everywhere_has_no_rows(vit: Opened) -> None:
    subject, recipe_of = vit
    for view in ("local", "isolated", "cumulative"):
        table = compare(subject, recipe_of({}), view)  # type: ignore[arg-type]
        assert (len(table), list(table), table.index.name) == (0, COLUMNS, "op")
    table = errors(subject, recipe_of({}))
    assert (len(table), list(table), table.index.name) == (0, ERROR_COLUMNS, "op")


class Masked(torch.nn.Module):
    """[n, 4, 8] -> [n, 4, 8]: attention whose masked scores are FP32's least number, which BF16 rounds to -Inf."""

    def __init__(self) -> None:
        super().__init__()
        self.q = torch.nn.Linear(8, 8)
        self.register_buffer("mask", torch.full((4, 4), torch.finfo(torch.float32).min).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.q(x) @ x.transpose(1, 2) + self.mask, -1) @ x


def test_masks_are_neither_signal_nor_error(open_model: Callable[..., Opened]) -> None:
    torch.manual_seed(3)
    subject, recipe_of = open_model(Masked(), torch.randn(9, 4, 8))
    recipe = recipe_of({"*": "bf16"})
    assert first_nonfinite(subject, recipe) is None
    kept = run_whole(subject, subject.plan(recipe), 9)[0]["add"]
    assert bool(kept.isinf().any()), "BF16 has them as -Inf"
    for view in ("local", "cumulative"):
        table = compare(subject, recipe, view)  # type: ignore[arg-type]
        assert set(table.nonfinite) == {0}
        assert table.sqnr_db.between(35, 70).all(), "as BF16 is where there are no masks"
    assert culprits(subject, recipe).table.usual_sqnr_db.between(35, 70).all()


def test_outputs_that_are_no_logits_have_no_kl(open_model: Callable[..., Opened]) -> None:
    subject, recipe_of = open_model(torch.nn.Linear(6, 3), torch.randn(9, 6))
    table = compare(subject, recipe_of({"*": "bf16"}), "isolated")
    assert math.isnan(table.kl.iloc[0])
    assert 30 < table.sqnr_db.iloc[0] < 70


def test_an_unknown_view_is_refused(vit: Opened) -> None:
    subject, recipe_of = vit
    with pytest.raises(RecipeError, match=r"no such view\. Try: one of local, isolated, cumulative"):
        compare(subject, recipe_of({}), "global")  # type: ignore[arg-type]


@pytest.mark.parametrize("view", ["local", "isolated", "cumulative"])
def test_progress_reaches_its_end_and_cancel_stops(vit: Opened, view: Any) -> None:
    subject, recipe_of = vit
    recipe = recipe_of({"kind:linear": "int8"})
    seen: list[tuple[int, int]] = []
    compare(subject, recipe, view, progress=lambda done, total, text: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[0][0] == 0 and seen[-1][0] == seen[-1][1]
    cancel = threading.Event()

    def stop(done: int, total: int, text: str) -> None:
        if done:
            cancel.set()

    with pytest.raises(Cancelled):
        compare(subject, recipe, view, progress=stop, cancel=cancel)


class Broken(KernelCache):
    """One op's kernel fails whenever it runs."""

    def __init__(self, op: str) -> None:
        super().__init__()
        self.op = op

    def call(self, step: Any) -> Callable[..., Any]:
        def fail(*inputs: Any) -> Any:
            raise RuntimeError("no such instruction\nand more")

        return fail if step.op.id == self.op and step.kernel.precision == "int8" else super().call(step)


@pytest.mark.parametrize("view", ["local", "isolated", "cumulative"])
def test_a_kernel_that_fails_names_its_op_and_spoils_nothing(vit: Opened, view: Any) -> None:
    subject, recipe_of = vit
    recipe = recipe_of({"kind:linear": "int8"})
    before = compare(subject, recipe, view, 9)
    op = "blocks.1.proj/linear"
    with pytest.raises(KernelError, match=r"run 'blocks\.1\.proj/linear' on .*: no such instruction"):
        compare(replace(subject, kernels=Broken(op)), recipe, view, 9)
    pd.testing.assert_frame_equal(compare(subject, recipe, view, 9), before)


def test_looking_moves_nothing_that_others_read(vit: Opened) -> None:
    """The evaluation's stored cuts stay those of its own recipe."""
    subject, recipe_of = vit
    recipe: Recipe = recipe_of({"kind:linear": "int8"})
    plan, kernels = subject.plan(recipe), subject.kernels
    before = subject.evaluator.evaluate(plan, subject.baseline, kernels)
    stored = {key: value[0] for key, value in subject.evaluator.replay._stored.items()}
    errors(subject, recipe)
    assert {key: value[0] for key, value in subject.evaluator.replay._stored.items()} == stored
    assert subject.evaluator.evaluate(plan, subject.baseline, kernels) == before
