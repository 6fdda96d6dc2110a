"""The map: gradients as autograd has them, exact where the model is linear, the same however it is come by."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explorer.compare.items import Batch
from explorer.compare.runs import Extent, cost_by_sample
from explorer.errors import Cancelled, DataError, PrecisionError
from explorer.kernels import as_float
from explorer.predict import Ask, MapStore, PredictedMap, Seam, elementwise, predict_kv, predict_map
from explorer.predict.gradients import Tape, cut_segments, find_carrying
from explorer.predict.products import Pull, signed
from explorer.predict.sensitivity import Sensitivity
from explorer.run import Executor
from explorer.subject import Subject
from tests.predict.conftest import open_subject

BASIC = Ask(("bf16", "int8"))


@pytest.fixture(scope="module")
def map_(vit: Subject) -> PredictedMap:
    return predict_map(vit, BASIC)


def measured(subject: Subject, cells: dict[str, str]) -> Tensor:
    """What cells cost each sample, by running them."""
    recipe = subject.baseline.recipe
    for op, precision in cells.items():
        recipe = recipe.with_precision([op], precision, "test")
    executors = [Executor(plan, subject.kernels) for plan in (subject.baseline, subject.plan(recipe))]
    costs = []
    for inputs, count in subject.samples.first(len(subject.samples)):
        values = dict(zip(subject.graph.inputs, inputs, strict=True))
        wanted, given = (executor.run(dict(values))[:count] for executor in executors)
        costs.append(cost_by_sample(wanted, given, subject.task.logits))
    return torch.cat(costs)


@pytest.mark.parametrize("bytes_", [1e9, 1e4])
def test_gradients_are_those_of_autograd(vit: Subject, bytes_: float) -> None:
    """Of the graph as a whole or in segments, through values that several ops read; weights are not differentiated."""
    graph, plan = vit.graph, vit.baseline
    inputs = dict(zip(graph.inputs, vit.samples.batch(0), strict=True))
    whole = Tape(plan, vit.kernels, cut_segments(graph, plan.shapes, 1e9)[0], inputs, find_carrying(graph))
    seed = torch.randn(plan.shapes[graph.output.name], generator=torch.Generator().manual_seed(0))
    names = [op.name for op in graph.rows]
    expected = whole.walk_back(names, {graph.output.name: [[seed]]}, 1)
    with torch.enable_grad():  # the same by hand at the first op, whose result the rest of the graph is a function of
        first = graph.rows[0]
        x = torch.as_tensor(whole.values[first.name]).requires_grad_()
        values: dict[str, Any] = {**inputs, first.name: x}
        for step in plan.steps:
            if step.op.name != first.name:
                values[step.op.name] = vit.kernels.call(step)(*(values[name] for name in step.site.inputs))
        (gradient,) = torch.autograd.grad(values[graph.output.name], x, seed)
    torch.testing.assert_close(expected[first.name][0][0], gradient)
    segments = cut_segments(graph, plan.shapes, bytes_)
    assert (len(segments) > 3) == (bytes_ == 1e4)
    assert not any(tensor.requires_grad for tensor in graph.constants.values())


def test_segments_change_no_product_beyond_rounding(vit: Subject, map_: PredictedMap) -> None:
    small = predict_map(vit, Ask(BASIC.precisions, budget_bytes=1e5))
    for key, products in (*map_.products.items(), *map_.seams.items()):
        other = small.products[key] if isinstance(key, tuple) else small.seams[key]
        np.testing.assert_allclose(other, products, rtol=1e-3, atol=1e-5 * float(np.abs(products).max()) + 1e-9)


def test_every_cell_that_can_run_has_products_and_others_a_reason(vit: Subject) -> None:
    found = predict_map(vit, Ask(("fp32", "int8", "fp8", "w4")), Extent(8))
    for op in found.ops:
        for precision in ("int8", "fp8", "w4"):
            option = vit.planner.option(op, precision)
            assert ((op, precision) in found.products) == option.possible
            assert found.refusals.get((op, precision), "") == ("" if option.possible else option.reason)
            assert ((op, precision) in found.emulated) == (option.possible and option.emulated)
    table = found.table()
    assert (table["fp32"] == 0).all() and table["int8"].isna().any() and (found.errors()["w4"].dropna() > 0).all()
    with pytest.raises(PrecisionError, match="not in this map"):
        found.cost(found.ops[0], "mxfp4")


def test_predictions_agree_with_measurements(vit: Subject, map_: PredictedMap) -> None:
    """Within the probes' noise: 84 products of a cell leave a standard deviation of 15 %; five of them are allowed."""
    heads = [op.id for op in vit.graph.rows if op.kind in ("linear", "attention", "layer_norm")]
    cells = [(op, precision) for op in heads for precision in BASIC.precisions if (op, precision) in map_.products]
    ratios = [map_.cost(*cell).value / float(measured(vit, dict([cell])).mean()) for cell in cells]
    assert len(ratios) > 15 and all(0.25 < ratio < 1.75 for ratio in ratios)
    assert abs(np.median(ratios) - 1) < 0.2


class Linear(nn.Module):
    """Two products in a row: the error of the output is linear in that of any op."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(12, 32), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.two(self.one(x))
        return out


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = Linear(), torch.randn(13, 12)
    return open_subject(model, x, None, "regression", tmp_path_factory.mktemp("linear") / "t.sqlite")


def test_of_a_linear_model_the_squared_error_is_predicted_exactly(linear: Subject) -> None:
    """Three outputs and four probes: no noise is left. The second op sees clean inputs alone and perturbed ones here,
    which int8's rounding of activations makes different; so pairs are compared where only weights are rounded."""
    found = predict_map(linear, Ask(("int8", "w16")))
    one, two = found.ops
    assert found.unit == "squared error" and found.samples == 13
    for cell in ((one, "int8"), (two, "int8"), (one, "w16")):
        per_sample = measured(linear, dict([cell]))
        assert found.cost(*cell).value == pytest.approx(float(per_sample.mean()), rel=1e-3)
        assert found.cost(*cell).error == pytest.approx(float(per_sample.std() / 13**0.5), rel=1e-3)
    both = measured(linear, {one: "w16", two: "w16"})
    recipe = linear.baseline.recipe.with_precision([one, two], "w16", "test")
    assert found.cost_of(recipe).value == pytest.approx(float(both.mean()), rel=2e-2)
    alone = found.cost(one, "w16").value + found.cost(two, "w16").value
    pair = found.interaction((one, "w16"), (two, "w16")).value
    assert found.cost_of(recipe).value - alone == pytest.approx(pair, rel=1e-6)
    assert found.additive([(one, "w16"), (two, "w16")]) == pytest.approx(alone)


class Same(nn.Module):
    """A product whose result passes an op that leaves it as it is in BF16: both round the same value."""

    def __init__(self) -> None:
        super().__init__()
        self.product = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.product(x) + 100.0)


def test_a_rounding_that_two_ops_share_is_counted_once(tmp_path: Any) -> None:
    """BF16 rounds 100 + x to steps of a half: relu's own error is the sum's, and in a recipe of both there is one."""
    torch.manual_seed(0)
    subject = open_subject(Same(), torch.randn(16, 12), None, "regression", tmp_path / "t.sqlite")
    found = predict_map(subject, Ask(("bf16",)))
    _, add, relu = found.ops
    assert Seam(add, relu, "bf16") in found.seams
    both = measured(subject, {add: "bf16", relu: "bf16"})
    assert float(both.mean()) > 0.01
    recipe = subject.baseline.recipe.with_precision([add, relu], "bf16", "test")
    # five outputs, four probes: two of the ten pairs of outputs leave noise
    assert found.cost_of(recipe).value == pytest.approx(float(both.mean()), rel=0.35)
    assert found.additive([(add, "bf16"), (relu, "bf16")]) > 1.5 * found.cost_of(recipe).value


def test_filling_counts_for_nothing(vit: Subject, map_: PredictedMap) -> None:
    """The products of the first 5 samples are the same whether they end a batch or not."""
    short = predict_map(vit, BASIC, Extent(5))
    assert short.samples == 5 and map_.samples == 21
    for cell, products in short.products.items():
        np.testing.assert_array_equal(products, map_.products[cell][:5])


def test_precisions_and_samples_added_later_share_the_probes(vit: Subject, map_: PredictedMap) -> None:
    first = predict_map(vit, Ask(("int8",)), Extent(8))
    ran: list[int] = []
    grown = predict_map(vit, BASIC, known=first, partial=lambda found: ran.append(found.samples))
    assert grown.precisions == ("int8", "bf16") and grown.samples == 21
    for cell, products in map_.products.items():
        np.testing.assert_array_equal(grown.products[cell], products)
    assert ran == [8, 16, 21]
    again = predict_map(vit, BASIC, known=grown, partial=lambda found: pytest.fail("nothing is left to do"))
    assert again.products.keys() == grown.products.keys()
    merged = first.merge(predict_map(vit, Ask(("bf16",))))
    assert merged.cost(map_.ops[0], "bf16") == map_.cost(map_.ops[0], "bf16")
    with pytest.raises(DataError):
        merged.merge(predict_map(vit, Ask((), probes=2)))


def test_what_was_found_before_a_cancel_is_gone_on_from(vit: Subject, map_: PredictedMap) -> None:
    cancel, parts = threading.Event(), []

    def stop(found: PredictedMap) -> None:
        parts.append(found)
        cancel.set()

    with pytest.raises(Cancelled):
        predict_map(vit, BASIC, Extent(cancel=cancel), partial=stop)
    assert len(parts) == 1 and parts[0].samples == 8 and not parts[0].complete
    resumed = predict_map(vit, BASIC, known=parts[0])
    np.testing.assert_array_equal(resumed.table(), map_.table())


def test_a_kept_map_runs_nothing(vit: Subject, map_: PredictedMap, tmp_path: Any, monkeypatch: Any) -> None:
    store = MapStore(tmp_path, "cpu")
    assert store.find(vit, BASIC.precisions, 4) is None
    found = predict_map(vit, BASIC, store=store)
    other = Extent(progress=lambda *_: None)
    monkeypatch.setattr(Sensitivity, "run", lambda *_: pytest.fail("it was kept"))
    again = predict_map(vit, BASIC, other, store=MapStore(tmp_path, "cpu"))
    np.testing.assert_array_equal(again.table(), found.table())
    recipe = vit.baseline.recipe.with_precision(found.ops[:8], "bf16", "test")
    assert again.cost_of(recipe) == found.cost_of(recipe) == map_.cost_of(recipe)
    assert again.emulated == found.emulated and again.refusals == found.refusals
    assert store.find(vit, ["int8"], 2).probes == 2  # type: ignore[union-attr]
    assert MapStore(tmp_path, "cuda").find(vit, BASIC.precisions, 4) is None
    for file in tmp_path.iterdir():
        file.write_bytes(b"no map")
    assert store.find(vit, BASIC.precisions, 4) is None


def test_causal_models_count_all_tokens(llama: Subject) -> None:
    found = predict_map(llama, Ask(("bf16", "int8")))
    assert found.positions == 9
    linears = [op.id for op in llama.graph.rows if op.kind == "linear"]
    ratios = [found.cost(op, "int8").value / float(measured(llama, {op: "int8"}).mean()) for op in linears]
    assert abs(np.median(ratios) - 1) < 0.25  # 44 products of each cell: 21 %
    shared = [op.id for op in llama.graph.rows if op.output and "batch" not in map(str, op.output.shape)]
    assert shared and all(np.isfinite(found.cost(op, "bf16").value) for op in shared)


def test_keys_and_values_in_narrow_formats(vit: Subject) -> None:
    found = predict_kv(vit, ("bf16", "int8", "mxfp4"))
    attentions = [op.id for op in vit.graph.rows if op.kind == "attention"]
    assert list(found.ops) == [f"{op}:{port}" for op in attentions for port in "kv"]
    assert (found.table()["mxfp4"] > 10 * found.table()["int8"]).all()
    with pytest.raises(PrecisionError, match="fp3"):
        predict_kv(vit, ("fp3",))
    # by hand: values rounded in place of those that the attention reads
    op = vit.graph.by_id[attentions[0]]
    given = _with_rounded(vit, op.args[2].name, "int8:token")
    assert found.cost(f"{op.id}:v", "int8").value == pytest.approx(given, rel=0.5)


def _with_rounded(subject: Subject, name: str, carrier: str) -> float:
    from explorer.kernels import CARRIERS

    executor, costs = Executor(subject.baseline, subject.kernels), []
    position = subject.baseline.position_of[subject.graph.producer[name].id] + 1
    for inputs, count in subject.samples.first(len(subject.samples)):
        values = dict(zip(subject.graph.inputs, inputs, strict=True))
        wanted = executor.run(dict(values))

        def replace_(at: int, values: dict[str, Any]) -> None:
            if at == position:
                values[name] = as_float(CARRIERS[carrier].convert(values[name]))

        given = executor.run(dict(values), stop_at=replace_)
        costs.append(cost_by_sample(wanted[:count], given[:count], subject.task.logits))
    return float(torch.cat(costs).mean())


def pull_of(tensor: Tensor, gradients: list[Tensor], subject: Subject) -> Pull:
    found = Pull.of(tensor, list(gradients), subject.graph.rows[0], Batch(len(tensor), len(tensor)))
    assert found is not None
    return found


@pytest.mark.parametrize("contract", [signed, elementwise])
def test_masks_are_no_error_and_what_is_born_infinite_is(vit: Subject, contract: Callable[..., Tensor]) -> None:
    mask = torch.finfo(torch.float32).min
    wanted = torch.tensor([[1.0, mask, -torch.inf], [1.0, 2.0, 3.0], [torch.nan, 2.0, 3.0]])
    pull = pull_of(wanted, [torch.tensor([[1.0, 0.0, 0.0]] * 3), torch.tensor([[2.0, torch.nan, 0.0]] * 3)], vit)
    given = torch.tensor([[1.5, -torch.inf, -torch.inf], [1.25, 2.0, torch.inf], [4.0, 2.0, 3.0]])
    found = pull.products([given, wanted], contract).tolist()
    assert found == [[[0.5, 1.0], [torch.inf, torch.inf], [0.0, 0.0]], [[0.0, 0.0]] * 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_products_are_sums_in_any_format(vit: Subject, dtype: torch.dtype) -> None:
    """The compiled loop and plain torch: over samples that do not fill its chunks, and in order."""
    generator = torch.Generator().manual_seed(0)
    wanted, *gradients = (torch.randn(5, 3, 1025, generator=generator) for _ in range(4))
    given = (wanted + 0.01 * torch.randn(wanted.shape, generator=generator)).to(dtype)
    found = pull_of(wanted, gradients, vit).products([wanted, given], signed)[1]
    expected = torch.stack([((given.double() - wanted.double()) * g).flatten(1).sum(1) for g in gradients], 1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
