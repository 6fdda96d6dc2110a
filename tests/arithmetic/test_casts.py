"""Chains of casts: every count against a slow reading of the same values, and what must come back."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from explorer.arithmetic import cast_chain
from explorer.arithmetic.casts import direction
from explorer.errors import PrecisionError
from explorer.formats import FORMATS, FloatSpec

CHAIN = ["fp32", "bf16", "fp16", "fp8_e4m3", "fp32"]
SPECIAL = [0.0, -0.0, 449.0, 1e6, -1e30, 1e-3, 3e-5, -2e-8, 1e-40, math.inf, -math.inf, math.nan]


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    spread = np.random.default_rng(2).normal(size=500) * 10.0 ** np.random.default_rng(3).uniform(-9, 6, 500)
    return torch.tensor([*SPECIAL, *spread], dtype=torch.float32).reshape(8, 64)


def test_values_are_those_of_another_library(x: torch.Tensor) -> None:
    chain = cast_chain(x, CHAIN)
    held = x.numpy().astype(ml_dtypes.bfloat16)
    held = np.clip(held.astype(np.float32), -65504, 65504).astype(np.float16)
    held = np.clip(held.astype(np.float32), -448, 448).astype(ml_dtypes.float8_e4m3fn)
    np.testing.assert_array_equal(chain.result.numpy(), held.astype(np.float64))
    assert chain.result.shape == x.shape
    assert chain.formats == tuple(CHAIN)


def test_counts_are_those_of_a_slow_reading(x: torch.Tensor) -> None:
    fp16 = FORMATS["fp16"]
    assert isinstance(fp16, FloatSpec)
    first, second = cast_chain(x, CHAIN).steps[:2]
    before = cast_chain(x, CHAIN[:2]).result.flatten().tolist()
    after = cast_chain(x, CHAIN[:3]).result.flatten().tolist()
    pairs = list(zip(before, after, strict=True))
    assert second.changed == sum(a != b and not math.isnan(a) for a, b in pairs)
    assert second.saturated == sum(abs(a) > 65504 for a in before)
    assert second.flushed == sum(a != 0 and b == 0 for a, b in pairs)
    assert second.subnormal == sum(0 < abs(b) < 2.0**-14 and abs(a) >= 2.0**-126 for a, b in pairs)
    errors = [abs(b - a) / abs(a) for a, b in pairs if a and math.isfinite(a) and math.isfinite(b)]
    assert second.max_relative_error == pytest.approx(max(errors))
    assert (second.infs, second.nans) == (0, 0)
    assert (first.source, first.target, second.source, second.elements) == ("fp32", "bf16", "bf16", 512)
    assert min(second.changed, second.saturated, second.flushed, second.subnormal) > 0


def test_signal_to_noise() -> None:
    x = torch.tensor([1.0, 1.0 + 2.0**-8])  # the second is a tie that BF16 rounds down to 1
    step, back = cast_chain(x, ["fp32", "bf16", "fp32"]).steps
    signal, noise = math.hypot(1.0, 1.0 + 2.0**-8), 2.0**-8
    assert step.sqnr_db == pytest.approx(20 * math.log10(signal / noise))
    assert back.sqnr_db == math.inf
    assert back.total_sqnr_db == pytest.approx(step.sqnr_db)


def test_up_and_back_restores_everything(x: torch.Tensor) -> None:
    chain = cast_chain(x, ["bf16", "fp32", "bf16"])
    assert chain.restored == x.numel()
    assert [step.changed for step in chain.steps] == [0, 0]


def test_down_and_back_restores_what_the_narrow_format_holds() -> None:
    x = torch.tensor([0.5, 0.1, 448.0, 449.0, -0.0, math.nan])
    chain = cast_chain(x, ["fp32", "fp8_e4m3", "fp32"])
    assert chain.restored == 4
    assert torch.signbit(chain.result[4])


def test_without_saturation_inf_and_nan_are_born() -> None:
    x = torch.tensor([1.0, 1e6, -1e6, 500.0])
    half, eighth = cast_chain(x, ["fp32", "fp16", "fp8_e4m3"], saturate=False).steps
    assert (half.infs, half.nans, half.saturated) == (2, 0, 0)
    assert (eighth.infs, eighth.nans) == (0, 3)  # E4M3 has no Inf: 500 and both Inf become NaN
    assert math.isnan(eighth.sqnr_db)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [("fp32", "bf16", "down"), ("bf16", "fp32", "up"), ("bf16", "fp16", "across"), ("fp16", "tf32", "up"),
     ("fp8_e4m3", "fp8_e5m2", "across"), ("fp8_e5m2", "fp16", "up"), ("fp4_e2m1", "fp8_e4m3", "up"),
     ("fp16", "fp16", "up")],
)  # fmt: skip
def test_direction(source: str, target: str, expected: str) -> None:
    wide, narrow = FORMATS[source], FORMATS[target]
    assert isinstance(wide, FloatSpec) and isinstance(narrow, FloatSpec)
    assert direction(wide, narrow) == expected
    if wide.bits <= 16 and expected == "up":
        assert cast_chain(torch.tensor(wide.values), [source, target]).steps[0].changed == 0


def test_an_empty_tensor_loses_nothing() -> None:
    (step,) = cast_chain(torch.empty(0, 3), ["fp32", "fp16"]).steps
    assert (step.elements, step.changed, step.max_relative_error, step.sqnr_db) == (0, 0, 0.0, math.inf)


@pytest.mark.parametrize(
    ("formats", "said"),
    [(["fp32"], "two or more"), ([], "two or more"), (["fp32", "int8"], "needs a scale"),
     (["fp32", "e8m0"], "cast to e8m0"), (["fp32", "mxfp4"], "needs a scale"), (["fp32", "half"], "no format has")],
)  # fmt: skip
def test_errors_say_what_would_work(formats: list[Any], said: str) -> None:
    with pytest.raises(PrecisionError, match=said):
        cast_chain(torch.ones(2), formats)


def test_the_tensor_is_left_alone(x: torch.Tensor) -> None:
    before = x.clone()
    cast_chain(x, CHAIN)
    assert torch.equal(x.nan_to_num(), before.nan_to_num())
