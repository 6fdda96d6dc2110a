"""Softmax and log-sum-exp in a format: against the same steps in NumPy's and ml_dtypes' types, and where they break."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from explorer.arithmetic import logsumexp_in, softmax_in
from explorer.errors import PrecisionError

TYPES: dict[str, Any] = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16, "fp32": np.float32}
LOGITS = np.random.default_rng(11).normal(size=37) * 3


def machine_softmax(x: Any, dtype: Any, stable: bool) -> Any:
    """The same steps with values held in the type; exp alone is FP64's, as the documentation says."""
    held = x.astype(dtype)
    if stable:
        held = held - held.max()
    powers = np.exp(held.astype(np.float64)).astype(dtype)
    total = dtype(0)
    for power in powers:
        total = dtype(total + power)
    return powers, total, powers / total


@pytest.mark.parametrize("format", TYPES)
@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("scale", [0.01, 1.0, 6.0, 40.0])
def test_steps_are_the_machines(format: str, stable: bool, scale: float) -> None:
    with np.errstate(all="ignore"):
        powers, total, shares = machine_softmax(LOGITS * scale, TYPES[format], stable)
    steps = {step.name: step.values for step in softmax_in(LOGITS * scale, format, stable).steps}
    np.testing.assert_array_equal(steps["e = exp(x − max)" if stable else "e = exp(x)"], powers.astype(np.float64))
    np.testing.assert_array_equal(steps["sum of e"], [float(total)])
    np.testing.assert_array_equal(steps["e / sum"], shares.astype(np.float64))


def test_naive_fp16_overflows_and_the_mended_form_does_not() -> None:
    naive, mended = softmax_in([10.0, 11.0, 12.0], "fp16", stable=False), softmax_in([10.0, 11.0, 12.0], "fp16")
    assert (naive.first_inf, naive.first_nan) == ("e = exp(x)", "e / sum")  # exp(12) is beyond 65504; Inf / Inf
    assert naive.result.tolist()[:2] == [0.0, 0.0]
    assert math.isnan(naive.result[2]) and math.isnan(naive.largest_error)
    assert (mended.first_inf, mended.first_nan) == (None, None)
    assert mended.largest_error < 3 * 2**-11  # the exponential, the sum and the quotient: half a step below 1 each
    np.testing.assert_allclose(mended.exact, torch.softmax(torch.tensor([10.0, 11.0, 12.0]).double(), 0), rtol=1e-15)


def test_the_sum_overflows_where_no_exponential_does() -> None:
    naive = softmax_in([11.0, 11.0], "fp16", stable=False)
    assert [step.name for step in naive.steps if step.infs] == ["sum of e"]
    assert naive.result.tolist() == [0.0, 0.0]  # no NaN, no warning, and wrong


def test_underflow_is_counted() -> None:
    naive = softmax_in([-20.0, -20.0], "fp16", stable=False)
    assert {step.name: step.zeros for step in naive.steps}["e = exp(x)"] == 2
    assert naive.first_nan == "e / sum"
    assert softmax_in([-20.0, -20.0], "fp16").result.tolist() == [0.5, 0.5]


def test_logsumexp_overflows_and_is_mended() -> None:
    naive, mended = logsumexp_in([10.0, 11.0, 12.0], "fp16", stable=False), logsumexp_in([10.0, 11.0, 12.0], "fp16")
    assert naive.result.tolist() == [math.inf]
    assert naive.first_nan is None
    assert mended.exact == pytest.approx(
        torch.logsumexp(torch.tensor([10.0, 11.0, 12.0]).double(), 0).item(), rel=1e-15
    )
    assert mended.result.tolist() == [12.40625]  # the FP16 number nearest 12.4076 has a step of 2**-7
    assert [step.name for step in mended.steps][-2:] == ["log(sum)", "max + log(sum)"]


def test_a_mask_of_minus_infinity_is_allowed() -> None:
    assert softmax_in([1.0, -math.inf, 1.0], "bf16").result.tolist() == [0.5, 0.0, 0.5]
    assert np.isnan(softmax_in([-math.inf, -math.inf], "bf16").result).all()


@pytest.mark.parametrize("compute", [softmax_in, logsumexp_in])
@pytest.mark.parametrize(
    ("x", "format", "said"), [([], "fp16", "shape"), ([[1.0]], "fp16", "vector"), ([1.0], "int8", "float")]
)
def test_errors_say_what_would_work(compute: Any, x: Any, format: str, said: str) -> None:
    with pytest.raises(PrecisionError, match=said):
        compute(x, format)


def test_tensors_are_taken_and_left_alone() -> None:
    x = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    before = x.detach().clone()
    assert softmax_in(x, "fp16").result.shape == (2,)
    assert torch.equal(x.detach(), before)
