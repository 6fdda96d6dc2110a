"""Maps of models whose rows leave the order of samples, or whose ops have no derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explorer.compare.departures import Place, find_departures
from explorer.compare.runs import Extent
from explorer.predict import Ask, MapStore, PredictedMap, predict_map
from explorer.predict.sensitivity import Sensitivity
from tests.predict.conftest import open_subject


class Experts(nn.Module):
    """Tokens [n, 5, 8] pass one of three gains; sorted by it on the way, or where they are."""

    def __init__(self, sorts: bool) -> None:
        super().__init__()
        self.sorts = sorts
        self.router, self.up, self.down = nn.Linear(8, 3), nn.Linear(8, 16), nn.Linear(16, 4)
        self.gain = nn.Parameter(torch.tensor([0.5, 1.0, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        rows = x.reshape(-1, width)
        expert = self.router(rows).argmax(-1)
        order = expert.argsort(stable=True) if self.sorts else torch.ones_like(expert).cumsum(0) - 1
        hidden = torch.relu(self.up(rows[order])) * self.gain[expert[order]].unsqueeze(-1)
        back = hidden.index_select(0, order.argsort())
        out: Tensor = self.down(back).reshape(n, tokens, -1).sum(1)
        return out


@pytest.mark.parametrize("bytes_", [1e9, 2e4])
def test_rows_sorted_by_expert_count_for_their_own_sample(tmp_path: Any, bytes_: float) -> None:
    """The same function, sorted or not, has the same products, in one segment or in several, last batch filled up."""
    maps: list[PredictedMap] = []
    for sorts in (True, False):
        torch.manual_seed(2)
        subject = open_subject(Experts(sorts), torch.randn(11, 5, 8), None, "regression", tmp_path / f"{sorts}.sqlite")
        maps.append(predict_map(subject, Ask(("bf16", "w16"), budget_bytes=bytes_)))
    mixed, plain = maps
    cells = [cell for cell in plain.products if cell[0].startswith(("up", "relu", "mul"))]
    assert len(cells) >= 4
    for cell in cells:
        scale = float(np.abs(plain.products[cell]).max())
        np.testing.assert_allclose(mixed.products[cell], plain.products[cell], rtol=1e-3, atol=1e-4 * scale)


def test_samples_sorted_by_expert_diverge_for_themselves(tmp_path: Any) -> None:
    """The same function, sorted or not: where each sample leaves FP32's way, and how far it is off there."""
    found = []
    for sorts in (True, False):
        torch.manual_seed(2)
        subject = open_subject(Experts(sorts), torch.randn(11, 5, 8), None, "regression", tmp_path / f"{sorts}.sqlite")
        recipe = subject.baseline.recipe.with_precision(["up/linear"], "w8", "test")
        places = [Place(sample) for sample in range(11)]
        found.append(find_departures(subject, subject.plan(recipe), places, Extent()))
    mixed, plain = found
    assert {each.op for each in plain.values()} == {"up/linear"}
    assert len({round(each.sqnr_db, 3) for each in plain.values()}) > 5
    for place, each in plain.items():
        assert mixed[place].op == each.op
        assert mixed[place].sqnr_db == pytest.approx(each.sqnr_db, abs=1e-3)


def test_an_op_that_nothing_can_be_walked_back_through_costs_nan_in_words(tmp_path: Any) -> None:
    """The router's only way to the output is the number of an expert, so no cost is made up for it."""
    torch.manual_seed(2)
    subject = open_subject(Experts(True), torch.randn(8, 5, 8), None, "regression", tmp_path / "t.sqlite")
    found = predict_map(subject, Ask(("bf16",)))
    assert "only through ops without a derivative" in found.refusals["router/linear", "bf16"]
    assert found.table().loc["router/linear"].isna()["bf16"] and found.cost("down/linear", "bf16").value > 0


@torch.library.custom_op("explorer_test::halve", mutates_args=())
def halve(x: Tensor) -> Tensor:
    return x * 0.5


@halve.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Detour(nn.Module):
    """Two branches, of which one passes an op that has no derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(halve(self.near(x)) + self.far(x))
        return out


@pytest.mark.parametrize("bytes_", [1e9, 1e3])
def test_what_passes_an_op_without_a_derivative_is_refused_and_the_rest_predicted(
    tmp_path: Any, bytes_: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    subject = open_subject(Detour(), torch.randn(11, 8), None, "regression", tmp_path / "t.sqlite")
    ask = Ask(("bf16", "int8"), budget_bytes=bytes_)
    store = MapStore(tmp_path)
    found = predict_map(subject, ask, store=store)
    passed = next(op.id for op in subject.graph.rows if "halve" in op.id)
    for precision in ask.precisions:
        assert found.refusals["near/linear", precision] == f"its error passes {passed!r}, which has no derivative"
        for op in ("far/linear", "head/linear"):
            assert found.cost(op, precision).value > 0
    assert found.cost(passed, "bf16").value > 0 and found.samples == 11
    assert np.isnan(found.table().loc["near/linear", "int8"])
    monkeypatch.setattr(Sensitivity, "run", lambda *_: pytest.fail("it was kept"))
    assert predict_map(subject, ask, store=store).refusals == found.refusals
