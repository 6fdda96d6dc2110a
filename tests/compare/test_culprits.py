"""Culprits against the whole outputs sorted by hand, and the ops at which planted ones diverge."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from explorer.compare import culprits
from explorer.compare.culprits import COLUMNS
from explorer.errors import Cancelled, DataError
from explorer.measure import find_task
from explorer.recipe import Recipe
from explorer.run import Executor
from explorer.subject import Subject
from tests.compare.conftest import Opened


def outputs(subject: Subject, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The outputs of all samples in FP32 and under a recipe, in FP64."""
    found = []
    for plan in (subject.baseline, subject.plan(recipe)):
        executor = Executor(plan, subject.kernels)
        runs = [
            executor.run(dict(zip(subject.graph.inputs, inputs, strict=True)))[:count]
            for inputs, count in subject.samples.first(len(subject.samples))
        ]
        found.append(torch.cat(runs).double())
    return found[0], found[1]


def divergences(wanted: Tensor, given: Tensor) -> Tensor:
    p, q = wanted.log_softmax(-1), given.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def test_samples_come_in_the_order_of_their_kl(vit: Opened) -> None:
    subject, recipe_of = vit
    recipe = recipe_of({"kind:linear": "int8"})
    wanted, given = outputs(subject, recipe)
    kl = divergences(wanted, given)
    table = culprits(subject, recipe, k=6).table
    order = kl.argsort(descending=True)[:6]
    assert list(table["sample"]) == order.tolist()
    assert list(table.kl) == pytest.approx(kl[order].tolist(), rel=1e-5)
    assert set(table.token) == {-1}
    assert list(table.prediction_fp32) == wanted.argmax(-1)[order].tolist()
    assert list(table.prediction) == given.argmax(-1)[order].tolist()
    labels = subject.samples.targets
    assert labels is not None
    assert list(table.target) == labels[order].tolist()
    assert list(table.score) == (given.argmax(-1) == labels)[order].double().tolist()
    assert list(table.score_fp32) == (wanted.argmax(-1) == labels)[order].double().tolist()
    assert list(table.squared_error) == pytest.approx((wanted - given).square().mean(-1)[order].tolist(), rel=1e-6)


def test_n_and_k_bound_what_is_looked_at(vit: Opened) -> None:
    subject, recipe_of = vit
    recipe = recipe_of({"kind:linear": "int8"})
    kl = divergences(*outputs(subject, recipe))[:11]
    assert list(culprits(subject, recipe, k=40, n=11).table["sample"]) == kl.argsort(descending=True).tolist()
    with pytest.raises(DataError, match="show 0 culprits"):
        culprits(subject, recipe, k=0)


def test_tokens_count_for_themselves(llama: Opened) -> None:
    subject, recipe_of = llama
    recipe = recipe_of({"kind:linear": "mxfp4"})
    wanted, given = outputs(subject, recipe)
    kl = divergences(wanted, given)
    order = kl.flatten().argsort(descending=True)[:8]
    found = culprits(subject, recipe, k=8)
    places = list(zip(found.table["sample"], found.table.token, strict=True))
    assert places == [divmod(int(index), 9) for index in order]
    labels = subject.samples.targets
    assert labels is not None
    assert list(found.table.target) == labels.flatten()[order].tolist()
    assert list(found.table.prediction) == given.argmax(-1).flatten()[order].tolist()
    sample = int(found.table["sample"][0])
    assert torch.equal(found.inputs(sample)[0], subject.samples.inputs[0][sample])
    assert set(found.table.diverges_at) <= set(recipe.precisions)
    with pytest.raises(DataError, match="there are 11 samples"):
        found.inputs(11)


def test_regression_goes_by_squared_error(open_model: Callable[..., Opened]) -> None:
    torch.manual_seed(0)
    x = torch.randn(20, 6) * torch.linspace(1, 3, 20)[:, None]
    subject, recipe_of = open_model(nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 1)), x)
    recipe = recipe_of({"kind:linear": "bf16"})
    wanted, given = outputs(subject, recipe)
    size = (wanted - given).square().mean(-1)
    table = culprits(subject, recipe, k=5).table
    order = size.argsort(descending=True)[:5]
    assert list(table["sample"]) == order.tolist()
    assert list(table.squared_error) == pytest.approx(size[order].tolist())
    assert table.kl.isna().all()
    assert list(table.prediction) == given[order, 0].tolist()
    assert subject.task == find_task("regression")


class Chain(nn.Module):
    """[n, 12] -> [n, 3] through three layers; the middle one sees what only some samples have."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        h = torch.tanh(self.middle(h * torch.exp(x[:, :1])))
        out: Tensor = self.last(h)
        return out


def open_chain(open_model: Callable[..., Opened], n: int, odd: int, size: float) -> Opened:
    """A chain in which one sample's middle layer reads numbers ``exp(size)`` times as large, and no other layer."""
    torch.manual_seed(5)
    x, model = torch.randn(n, 12) / 4, Chain()
    x[:, 0] = 0
    x[odd, 0] = size
    with torch.no_grad():
        model.first.weight[:, 0] = 0
    return open_model(model, x, torch.zeros(n, dtype=torch.long), "classification")


def test_an_overflow_diverges_where_it_is_born_and_comes_first(open_model: Callable[..., Opened]) -> None:
    """exp(12) is beyond FP16: the sample's product is Inf, and NaN after that, which no KL orders."""
    subject, recipe_of = open_chain(open_model, n=20, odd=13, size=12)
    recipe = recipe_of({"mul": "fp16", "kind:linear": "int8"})
    row = culprits(subject, recipe, k=3).table.iloc[0]
    assert (row["sample"], row.diverges_at) == (13, "mul")
    assert row.sqnr_db == -math.inf
    assert row.usual_sqnr_db > 60


def test_a_sample_that_calibration_never_saw_diverges_at_the_op_that_clips_it(
    open_model: Callable[..., Opened],
) -> None:
    """Static scales come from the first 64 samples."""
    subject, recipe_of = open_chain(open_model, n=70, odd=67, size=2)
    table = culprits(subject, recipe_of({"kind:linear": "int8_static"}), k=3).table
    assert (table["sample"][0], table.diverges_at[0]) == (67, "middle/linear")
    assert table.sqnr_db[0] < table.usual_sqnr_db[0] - 12


def test_one_bad_op_is_where_every_sample_diverges(vit: Opened) -> None:
    """Nothing tells the samples apart: the median is no better than they are."""
    subject, recipe_of = vit
    recipe = recipe_of({"kind:linear": "int8", "blocks.1.fc1/linear": "mxfp4"})
    table = culprits(subject, recipe, k=21).table
    assert set(table.diverges_at) == {"blocks.1.fc1/linear"}
    assert (table.sqnr_db - table.usual_sqnr_db).abs().max() < 6


def test_an_error_is_not_blamed_on_the_pieces_of_a_norm(llama: Opened) -> None:
    """The square of x alone has twice the relative error of x; the norm as a whole has about that of x."""
    subject, recipe_of = llama
    recipe = recipe_of({"kind:linear": "mxfp4"})
    table = culprits(subject, recipe, k=99).table
    inside = {op.id for op in subject.graph.rows if op.fold and op.kind in ("pow", "mean", "rsqrt")}
    assert inside
    assert not inside & set(table.diverges_at)


def test_fp32_everywhere_has_no_culprits(vit: Opened) -> None:
    subject, recipe_of = vit
    found = culprits(subject, recipe_of({}))
    assert (len(found.table), list(found.table)) == (0, COLUMNS)
    assert "<table" in found._repr_html_()


def test_progress_and_cancel(vit: Opened) -> None:
    subject, recipe_of = vit
    recipe = recipe_of({"kind:linear": "int8"})
    seen: dict[str, list[tuple[int, int]]] = {}
    before = culprits(
        subject, recipe, 3, None, lambda done, total, text: seen.setdefault(text, []).append((done, total))
    )
    assert len(seen) == 2
    assert all(steps[-1][0] == steps[-1][1] for steps in seen.values())
    for stage in seen:
        cancel = threading.Event()

        def stop(done: int, total: int, text: str, stage: str = stage, cancel: threading.Event = cancel) -> None:
            if text == stage:
                cancel.set()

        with pytest.raises(Cancelled):
            culprits(subject, recipe, 3, None, stop, cancel)
    pd.testing.assert_frame_equal(culprits(subject, recipe, 3).table, before.table)
