"""The promotion tables against the libraries themselves: PyTorch's in full; JAX's where it is installed."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from explorer.arithmetic import compare_promotion, jax_type, promotion_table, torch_type
from explorer.arithmetic.promotion import DTYPES, JAX, PYTHON, TORCH, WEAK, Lattice
from explorer.errors import PrecisionError

NUMBERS = {"int": 1, "float": 1.0, "complex": 1j}


def asked(rule: Any, *operands: Any) -> str | None:
    """PyTorch's own answer, None where it refuses."""
    try:
        return str(rule(*operands)).removeprefix("torch.")
    except RuntimeError:
        return None


def tensor(dtype: str) -> torch.Tensor:
    return torch.empty(2, dtype=getattr(torch, dtype))


@pytest.mark.parametrize("left", DTYPES)
def test_pytorch_in_full(left: str) -> None:
    for right in DTYPES:
        promoted = asked(torch.promote_types, getattr(torch, left), getattr(torch, right))
        assert torch_type(left, right) == promoted, right
        assert torch_type(left, right) == asked(torch.result_type, tensor(left), tensor(right)), right
        assert torch_type(left, right, zero_dim=True) == asked(torch.result_type, tensor(left), tensor(right)[0]), right
    for name, number in NUMBERS.items():
        assert torch_type(left, name) == asked(torch.result_type, tensor(left), number), name


def test_jax_in_full() -> None:
    jax: Any = pytest.importorskip("jax")
    with jax.enable_x64(True):
        for left, right in product((*DTYPES, *PYTHON), repeat=2):
            operands = [NUMBERS[name] if name in NUMBERS else jax.numpy.zeros(2, name) for name in (left, right)]
            assert jax_type(left, right) == ask_jax(jax, operands), (left, right)


def ask_jax(jax: Any, operands: list[Any]) -> str | None:
    """JAX's own answer as the tables write it: the dtype, or the weak type."""
    try:
        dtype, weak = jax.dtypes.result_type(*operands, return_weak_type_flag=True)
    except ValueError:  # jax's TypePromotionError
        return None
    return {"int64": "i*", "float64": "f*", "complex128": "c*"}[str(dtype)] if weak else str(dtype)


# From the figure and the examples of JEP 9407, for machines without JAX.
PUBLISHED = """
    bool int32 int32; uint8 int8 int16; uint32 int32 int64; uint64 int64 f*; int64 float16 float16
    int64 bfloat16 bfloat16; float16 bfloat16 float32; float32 float64 float64; float64 complex64 complex128
    bfloat16 complex64 complex64; int16 int int16; int8 float f*; float16 float float16; bfloat16 float bfloat16
    int64 complex c*; float16 complex complex64; bool int i*; int float f*; float complex c*
    float8_e4m3fn float float8_e4m3fn; float8_e5m2 int32 float8_e5m2
"""


@pytest.mark.parametrize("case", [case.strip() for line in PUBLISHED.strip().splitlines() for case in line.split(";")])
def test_jax_as_published(case: str) -> None:
    left, right, expected = case.split()
    assert jax_type(left, right) == jax_type(right, left) == expected


def test_float8_is_never_promoted_to_another_float() -> None:
    floats = [name for name in DTYPES if "float" in name or "complex" in name]
    for eight, other in product(("float8_e4m3fn", "float8_e5m2"), floats):
        same = eight if eight == other else None
        assert jax_type(eight, other) == torch_type(eight, other) == same


@pytest.mark.parametrize("lattice", [JAX, TORCH])
def test_a_lattice_names_its_types_and_has_no_circle(lattice: Lattice) -> None:
    assert set(lattice) >= set(DTYPES)
    assert all(above in lattice for types in lattice.values() for above in types)

    def walk(name: str, below: tuple[str, ...]) -> None:
        assert name not in below
        for above in lattice[name]:
            walk(above, (*below, name))

    walk("bool", ())


@pytest.mark.parametrize("library", ["jax", "torch"])
def test_two_arrays_promote_the_same_either_way_round(library: Any) -> None:
    table = promotion_table(library).loc[:, list(DTYPES)]
    assert (table.to_numpy() == table.to_numpy().T).all()
    assert all(table.loc[name, name] == name for name in DTYPES)


def test_the_comparison_marks_and_explains_every_difference() -> None:
    for zero_dim in (False, True):
        table = compare_promotion(zero_dim)
        assert len(table) == len(DTYPES) * (len(DTYPES) + len(PYTHON))
        assert (table["differ"] == (table["jax"] != table["torch"])).all()
        assert (table["differ"] == (table["why"] != "")).all()
        assert 0 < table["differ"].sum() < len(table)
    row = compare_promotion().set_index(["left", "right"]).loc[("int32", "float")]
    assert (row["jax"], row["torch"]) == ("f*", "float32")
    assert "weak" in str(row["why"])


def test_a_zero_dimensional_tensor_gives_way_in_pytorch_only() -> None:
    assert torch_type("float16", "float64", zero_dim=True) == "float16"
    assert torch_type("float16", "float64") == jax_type("float16", "float64") == "float64"
    assert torch_type("int8", "float64", zero_dim=True) == "float64"


def test_weak_types_are_those_of_python() -> None:
    assert set(WEAK) == set(PYTHON)
    assert set(WEAK.values()) <= set(JAX)


@pytest.mark.parametrize("ask", [jax_type, torch_type])
def test_an_unknown_name_is_refused(ask: Any) -> None:
    with pytest.raises(PrecisionError, match="float12"):
        ask("float12", "float32")
    with pytest.raises(PrecisionError, match="float12"):
        ask("float32", "float12")


def test_pytorch_needs_a_tensor_on_the_left() -> None:
    with pytest.raises(PrecisionError, match="no tensor"):
        torch_type("float", "float32")
