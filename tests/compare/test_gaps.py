"""Real kernels beside their twins: zero where sums are integers, small elsewhere, and seen where a kernel is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from explorer.compare import gaps
from explorer.compare.gaps import COLUMNS
from explorer.run import KernelCache
from tests.compare.conftest import Opened


@pytest.mark.parametrize(
    ("model", "choices", "kinds"),
    [
        ("vit", {"kind:linear": "int8"}, {"linear"}),
        ("vit", {"kind:linear": "int8_static"}, {"linear"}),
        ("cnn", {"*": "int8"}, {"linear", "conv2d"}),
        ("cnn", {"*": "int8_static"}, {"linear", "conv2d", "add"}),
    ],
)
def test_there_is_no_gap_where_sums_are_integers(
    request: pytest.FixtureRequest, model: str, choices: dict[str, str], kinds: set[str]
) -> None:
    subject, recipe_of = request.getfixturevalue(model)
    table = gaps(subject, recipe_of(choices))
    exact = table[table.exact]
    assert {subject.graph.by_id[op].kind for op in exact.index} >= kinds
    assert set(exact.gap) == set(exact.max_ulps) == {0.0}
    assert (exact.kernel != exact.twin).all()
    assert set(table.precision) - {"fp32"} == set(exact.precision)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_narrow_floats_differ_by_their_last_bits(vit: Opened, precision: str) -> None:
    """Sums in another order, and rounded where the library likes: within 2 of the format's steps of the largest value,
    as the kernels' own tests allow; that is 2**-6 (BF16) of a norm at most."""
    subject, recipe_of = vit
    table = gaps(subject, recipe_of({"*": precision}))
    assert list(table.index) == [op.id for op in subject.graph.rows]
    assert not table.exact.any()
    assert (table.relative < 2**-6).all()
    assert (table.twin == "FP32 arithmetic, rounded once").sum() > 5


def test_own_kernels_of_fp32_are_held_against_torchs(vit: Opened) -> None:
    subject, recipe_of = vit
    table = gaps(subject, recipe_of({"kind:linear": "int8"}))
    own = table[table.precision == "fp32"]
    assert {subject.graph.by_id[op].kind for op in own.index} <= {"layer_norm", "gelu", "attention"}
    assert (own.twin == "torch fp32").all()
    assert (own.gap < 1e-5).all()


def test_emulated_ops_and_fp32_have_no_gap_to_show(vit: Opened) -> None:
    subject, recipe_of = vit
    assert len(gaps(subject, recipe_of({"kind:linear": "mxfp4"}))) == 0
    empty = gaps(subject, recipe_of({}))
    assert (len(empty), list(empty), empty.index.name) == (0, COLUMNS, "op")


class Wrong(KernelCache):
    """One op's kernel is off by ``by``."""

    def __init__(self, op: str, by: float) -> None:
        super().__init__()
        self.op, self.by = op, by

    def call(self, step: Any) -> Callable[..., Any]:
        run = super().call(step)
        return (lambda *inputs: run(*inputs) + self.by) if step.op.id == self.op else run


@pytest.mark.parametrize(("by", "gap"), [(0.25, 0.25), (math.inf, math.inf), (math.nan, math.inf)])
def test_a_wrong_kernel_shows(vit: Opened, by: float, gap: float) -> None:
    subject, recipe_of = vit
    op = "blocks.0.fc1/linear"
    recipe = recipe_of({op: "int8", "head/linear": "int8"})
    table = gaps(replace(subject, kernels=Wrong(op, by)), recipe)
    assert table.gap[op] == pytest.approx(gap, rel=1e-5)
    assert table.exact[op]
