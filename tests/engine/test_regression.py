"""A regression model as it comes: one number per sample, outputs [n] or [n, 1], targets of either shape."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import explorer as px
from explorer.errors import DataError


class Net(nn.Module):
    """[n, 12] -> [n], or [n, 1]."""

    def __init__(self, squeezes: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.last, self.squeezes = nn.Linear(12, 24), nn.Linear(24, 1), squeezes

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(torch.relu(self.first(x)))
        return found.squeeze(1) if self.squeezes else found


def open_net(folder: Path, squeezes: bool, y: Tensor) -> px.Session:
    x = torch.randn(len(y), 12, generator=torch.Generator().manual_seed(1))
    opened = px.open(
        Net(squeezes).eval(), x[:2], (x, y), "regression", "cpu", name="net", batch_size=8, store=folder / "t.sqlite"
    )
    opened.precisions = ("fp32", "bf16", "int8")
    return opened


@pytest.fixture(scope="module")
def targets() -> Tensor:
    return torch.randn(21, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("squeezes", "shape"), [(True, (-1,)), (True, (-1, 1)), (False, (-1,)), (False, (-1, 1))])
def test_it_is_predicted_swept_priced_measured_and_searched(
    squeezes: bool, shape: tuple[int, ...], targets: Tensor, tmp_path: Path
) -> None:
    session = open_net(tmp_path, squeezes, targets.reshape(shape))
    predicted, swept = session.map(), session.sweep(n=21)
    assert list(predicted["int8"].isna()) == list(swept["int8"].isna()) and (swept["bf16"] > 0).all()
    session.set("kind:linear", "int8")
    price, quality = session.price(), session.evaluate()
    assert price is not None and price.low < quality.cost < price.high
    with torch.no_grad():
        outputs = Net(True).eval()(session.subject.samples.inputs[0][:21])
    assert quality.baseline == pytest.approx(-float((outputs - targets).square().mean()), rel=1e-5)
    front = session.search("memory").verify(k=1)
    assert any(not math.isnan(each.measured_cost) for each in front.proposals)
    moved = session.culprits(k=2, n=21).table
    assert (moved["squared_error"] > 0).all()
    index = int(moved["sample"].iloc[0])
    assert moved["prediction_fp32"].iloc[0] == pytest.approx(float(outputs[index]), rel=1e-5)
    assert moved["target"].iloc[0] == pytest.approx(float(targets[index]))


def test_targets_of_another_shape_are_refused(targets: Tensor, tmp_path: Path) -> None:
    session = open_net(tmp_path, False, targets[:, None].expand(-1, 3))
    with pytest.raises(DataError, match=r"outputs are \[8, 1\] and targets \[8, 3\]"):
        session.evaluate()
