"""Ops that heal and ops that amplify: the rule on numbers, and models that do so."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from explorer.compare import describe_behaviours, errors
from tests.compare.conftest import Opened


def test_the_usual_gain_is_the_median_of_five_ops_or_more() -> None:
    usual = {str(i): (0.01, 0.002 + 0.0001 * i) for i in range(5)}
    found = describe_behaviours(
        {**usual, "healed": (0.01, 0.0004), "amplified": (0.01, 0.03), "direct": (0.01, 0.0101)}
    )
    assert found == {**dict.fromkeys(usual, ""), "healed": "heals", "amplified": "amplifies", "direct": ""}


def test_with_fewer_ops_an_error_that_arrives_as_it_was_made_is_usual() -> None:
    found = describe_behaviours({"a": (0.01, 0.0024), "b": (0.01, 0.0026), "c": (0.01, 0.039), "d": (0.01, 0.041)})
    assert list(found.values()) == ["heals", "", "", "amplifies"]


def test_errors_without_size_or_bound() -> None:
    found = describe_behaviours(
        {"exact": (0.0, 0.0), "inf healed": (math.inf, 0.1), "inf born": (0.1, math.inf), "both": (math.inf, math.inf)}
    )
    assert list(found.values()) == ["", "heals", "amplifies", ""]


class Swallowed(nn.Module):
    """[n, 16] -> [n, 4]: all that ``small`` makes is far below zero, and a ReLU reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.head = nn.Linear(16, 8), nn.Linear(16, 4)
        with torch.no_grad():
            self.small.bias -= 20

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(x) + torch.relu(self.small(x)).sum(1, keepdim=True)
        return out


class Saturated(nn.Module):
    """[n, 6] -> [n, 5]: a softmax of scores that lie so far apart that their error changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.values = nn.Linear(6, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.values(torch.softmax(self.scores(x) * 1e4, -1))
        return out


class Cancelled(nn.Module):
    """[n, 6] -> [n, 3]: a large part of what ``wide`` makes is taken away again, and its error is not."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.head = nn.Linear(6, 5), nn.Linear(5, 3)
        with torch.no_grad():
            self.wide.bias += 100

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.wide(x) - 100)
        return out


@pytest.mark.parametrize(
    ("model", "width", "op", "behaviour"),
    [
        (Swallowed, 16, "small/linear", "heals"),
        (Saturated, 6, "scores/linear", "heals"),
        (Cancelled, 6, "wide/linear", "amplifies"),
    ],
)
def test_models_that_heal_and_amplify(
    open_model: Callable[..., Opened], model: type[nn.Module], width: int, op: str, behaviour: str
) -> None:
    torch.manual_seed(1)
    subject, recipe_of = open_model(model(), torch.randn(20, width))
    table = errors(subject, recipe_of({"kind:linear": "bf16"}))
    assert table.behaviour[op] == behaviour
    assert set(table.behaviour.drop(op)) == {""}
    if behaviour == "heals":
        assert table.isolated_sqnr_db[op] > table.local_sqnr_db[op] + 12
