"""The benchmark's cases at small sizes: their launches run, their references agree, and a wrong result is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from benchmarks.cases import Matrix
from benchmarks.gpu_cases import Case, Sizes, cases, named_products
from explorer.kernels.triton.ranges import RangeCounts

LAYERS = (("decode", Matrix(1, 256, 128)), ("prefill", Matrix(20, 256, 128)))
SMALL = Sizes("cpu", LAYERS, (128,), ((3, 40),), 600)
if torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 9):
    SMALL = replace(SMALL, device="cuda")

CASES = {f"{case.part}: {case.name}": case for case in cases(SMALL)}


def spoiled(result: Any) -> Any:
    """The result with its last element wrong."""
    if isinstance(result, RangeCounts):
        result.buffer[0] += 1
        return result
    tensors = list(result) if isinstance(result, tuple) else [result]
    flat = tensors[0].reshape(-1)
    flat[-1] = (flat[-1].float() + 3.0).to(flat.dtype) if flat.dtype != torch.float8_e4m3fn else torch.tensor(448.0)
    return tuple(tensors) if isinstance(result, tuple) else result


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_case_runs_and_its_check_can_fail(case: Case) -> None:
    result = case.run(case.launches[0])
    case.check(result)
    assert case.moved > 0 and isinstance(case.name, str)
    with pytest.raises(AssertionError):
        case.check(spoiled(result))


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.part == "int8 product"], ids=lambda c: c.name)
def test_a_rival_computes_the_same(case: Case) -> None:
    rival: Tensor = case.rivals["_int_mm + epilogue"]()
    case.check(rival)


def test_every_part_is_there() -> None:
    assert {case.part for case in CASES.values()} == {
        "quantise rows", "int8 product", "fp8 product", "weight only", "range",
    }  # fmt: skip


def test_the_shapes_are_those_of_named_models() -> None:
    products = named_products()
    for model in ("ResNet-50", "ViT-B/16", "BERT-base", "Llama-8B"):
        assert any(name.startswith(model) for name, _ in products), model
    assert {shape.rows for name, shape in products if "Llama" in name} == {1, 16, 512}
    assert len(set(products)) == len(products)
