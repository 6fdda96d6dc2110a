"""The first NaN or Inf: planted in FP32, in FP16, in a later batch, in the data; and masks, which are none."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from explorer.compare import Birth, compare, first_nonfinite
from explorer.errors import Cancelled
from tests.compare.conftest import Opened

OpenModel = Callable[..., Opened]


class Scores(nn.Module):
    """[n, 4, 8] -> [n, 3]: attention step by step, over the tokens that ``mask`` leaves."""

    def __init__(self, by_hand: bool = False, masked: int = 1) -> None:
        super().__init__()
        self.q, self.k, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.by_hand = by_hand
        mask = torch.zeros(4, 4)
        mask[:, 4 - masked :] = -math.inf
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).transpose(1, 2)
        if self.by_hand:
            powers = torch.exp(scores)
            weights = powers / powers.sum(-1, keepdim=True)
        else:
            weights = torch.softmax(scores + self.mask, -1)
        out: Tensor = self.head((weights @ x).mean(1))
        return out


def data(n: int = 19) -> Tensor:
    return torch.randn(n, 4, 8, generator=torch.Generator().manual_seed(6))


def scores(**options: object) -> Scores:
    torch.manual_seed(2)
    return Scores(**options)  # type: ignore[arg-type]


def test_nothing_is_born_in_a_healthy_model(vit: Opened) -> None:
    subject, recipe_of = vit
    assert first_nonfinite(subject, recipe_of({})) is None
    assert first_nonfinite(subject, recipe_of({"*": "bf16"})) is None


def test_inf_in_a_softmax_by_hand_is_found_in_fp32_and_below(open_model: OpenModel) -> None:
    model, x = scores(by_hand=True), data()
    x[[3, 18]] *= 40  # the second of these is what the last batch is filled up with
    subject, recipe_of = open_model(model, x)
    with torch.no_grad():
        powers = torch.exp(model.q(x) @ model.k(x).transpose(1, 2))
    found = first_nonfinite(subject, recipe_of({}))
    assert found is not None
    assert (found.op, found.kind, found.in_fp32) == ("exp", "inf", True)
    assert (found.elements, found.samples) == (int(powers.isinf().sum()), 2)
    assert "torch.exp(scores)" in found.source_line
    assert found.source.startswith("test_births.py:")
    assert first_nonfinite(subject, recipe_of({"kind:linear": "bf16"})) is not None


def test_an_overflow_of_fp16_is_not_fp32s(open_model: OpenModel) -> None:
    model, x = scores(), data()
    with torch.no_grad():
        model.q.weight *= 1e4
    x[12] *= 20
    subject, recipe_of = open_model(model, x)
    recipe = recipe_of({"kind:matmul": "fp16"})
    found = first_nonfinite(subject, recipe)
    assert found is not None
    assert (found.op, found.in_fp32) == ("matmul", False)
    assert found.samples >= 1
    cumulative = compare(subject, recipe, "cumulative")
    assert next(iter(cumulative.index[cumulative.nonfinite > 0])) == found.op
    assert cumulative.nonfinite[found.op] == found.elements
    assert cumulative.sqnr_db[found.op] == -math.inf


class Twice(nn.Module):
    """[n, 4] -> [n, 4]: an overflow of one op in some samples, and of an earlier op in others."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(torch.exp(x) * 10).sqrt()


def test_the_first_op_of_any_batch_counts_with_all_its_batches(open_model: OpenModel) -> None:
    """The later op overflows in the first batch, the earlier one in the second and third."""
    x = torch.zeros(20, 4)
    x[1], x[9, 2], x[17] = 3.0, 200.0, 200.0
    subject, recipe_of = open_model(Twice(), x)
    assert first_nonfinite(subject, recipe_of({})) == Birth(
        "exp", "inf", 5, 2, *source_of(subject, "exp"), in_fp32=True
    )
    earlier = first_nonfinite(subject, recipe_of({}), n=8)
    assert earlier is not None
    assert (earlier.op, earlier.elements, earlier.samples) == ("exp_1", 4, 1)


def source_of(subject: object, op: str) -> tuple[str, str]:
    found = subject.graph.by_id[op]  # type: ignore[attr-defined]
    return found.source, found.source_line


@pytest.mark.parametrize("choices", [{}, {"*": "bf16"}])
def test_a_mask_of_minus_inf_is_no_fault(open_model: OpenModel, choices: dict[str, str]) -> None:
    subject, recipe_of = open_model(scores(masked=2), data())
    assert first_nonfinite(subject, recipe_of(choices)) is None


def test_a_row_that_is_masked_whole_gives_birth_at_the_softmax(open_model: OpenModel) -> None:
    subject, recipe_of = open_model(scores(masked=4), data(), torch.zeros(19, 3))
    found = first_nonfinite(subject, recipe_of({}))
    assert found is not None
    assert (found.op, found.kind, found.samples) == ("softmax", "nan", 19)


class LogOfZero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(torch.relu(x))


def test_minus_inf_that_goes_elsewhere_is_one(open_model: OpenModel) -> None:
    subject, recipe_of = open_model(LogOfZero(), torch.tensor([[1.0, 2.0], [3.0, -1.0]]))
    found = first_nonfinite(subject, recipe_of({}))
    assert found is not None
    assert (found.op, found.kind, found.elements, found.samples) == ("log", "inf", 1, 1)


def test_what_comes_with_the_data_is_named_by_its_input(open_model: OpenModel) -> None:
    x = data()
    subject, recipe_of = open_model(scores(), x, torch.zeros(19, 3))
    x[4, 2, 1] = math.nan
    name = subject.graph.inputs[0]
    assert first_nonfinite(subject, recipe_of({"*": "bf16"})) == Birth(name, "nan", 1, 1, "", "", True)
    assert first_nonfinite(subject, recipe_of({}), n=3) is None


def test_the_search_can_be_cancelled(vit: Opened) -> None:
    subject, recipe_of = vit
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="looking for NaN and Inf"):
        first_nonfinite(subject, recipe_of({"*": "bf16"}), cancel=cancel)
