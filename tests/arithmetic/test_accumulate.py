"""Running sums against a machine that really adds in the format: NumPy's and ml_dtypes' types."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from explorer.arithmetic import RunningSum, accumulate
from explorer.arithmetic.accumulate import rounding_of
from explorer.arithmetic.loops import round_scalar
from explorer.errors import PrecisionError
from explorer.formats import FORMATS, FloatSpec, round_to

TYPES: dict[str, Any] = {
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "fp32": np.float32,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
}
METHODS = ("plain", "kahan", "neumaier", "pairwise")


def plain(terms: Any, dtype: Any) -> list[Any]:
    total, sums = dtype(0), []
    for term in terms:
        total = dtype(total + term)
        sums.append(total)
    return sums


def kahan(terms: Any, dtype: Any) -> list[Any]:
    total, correction, sums = dtype(0), dtype(0), []
    for term in terms:
        wanted = dtype(term - correction)
        larger = dtype(total + wanted)
        correction = dtype(dtype(larger - total) - wanted)
        total = larger
        sums.append(total)
    return sums


def neumaier(terms: Any, dtype: Any) -> list[Any]:
    total, correction, sums = dtype(0), dtype(0), []
    for term in terms:
        larger = dtype(total + term)
        big, small = (total, term) if abs(total) >= abs(term) else (term, total)
        lost = dtype(dtype(big - larger) + small)
        correction = dtype(correction + lost)
        total = larger
        sums.append(dtype(total + correction))
    return sums


def tree(terms: Any, dtype: Any) -> list[Any]:
    """By its definition: the largest power of two of terms first, halved down to single ones; the rest likewise."""

    def halves(part: Any) -> Any:
        return part[0] if len(part) == 1 else dtype(halves(part[: len(part) // 2]) + halves(part[len(part) // 2 :]))

    def total(part: Any) -> Any:
        first = 1 << (len(part).bit_length() - 1)
        return halves(part) if first == len(part) else dtype(halves(part[:first]) + total(part[first:]))

    return [total(terms[:n]) for n in range(1, len(terms) + 1)]


MACHINES: dict[str, Callable[[Any, Any], list[Any]]] = dict(zip(METHODS, (plain, kahan, neumaier, tree), strict=True))

CASES: dict[str, Callable[[int], Any]] = {
    "a tenth": lambda n: np.full(n, 0.1),
    "normal": lambda n: np.random.default_rng(7).normal(size=n),
    "wide": lambda n: np.random.default_rng(8).normal(size=n) * 10.0 ** np.random.default_rng(9).uniform(-6, 3, n),
    "overflowing": lambda n: np.full(n, 400.0) * np.arange(n),
    "tiny": lambda n: np.random.default_rng(10).normal(size=n) * 1e-7,
}


@pytest.mark.parametrize("format", TYPES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_every_partial_sum_is_the_machines(format: str, method: Any, case: str) -> None:
    values, dtype = CASES[case](700), TYPES[format]
    with np.errstate(all="ignore"):
        machine = [float(total) for total in MACHINES[method](values.astype(dtype), dtype)]
    record = accumulate(values, format, method)
    assert record.steps.tolist() == list(range(1, 701))
    np.testing.assert_array_equal(record.sums, machine)
    assert np.signbit(record.sums).tolist() == np.signbit(machine).tolist() or np.isnan(machine).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_long_sum_is_numpys(dtype: Any) -> None:
    values = np.random.default_rng(1).uniform(0, 1e-2, 200_000)
    record = accumulate(values, "fp16" if dtype is np.float16 else "fp32")
    machine = np.add.accumulate(values.astype(dtype), dtype=dtype)
    np.testing.assert_array_equal(record.sums, machine[record.steps - 1].astype(np.float64))
    assert len(record.steps) <= 2000


@pytest.mark.parametrize(
    "name", [name for name, spec in FORMATS.items() if isinstance(spec, FloatSpec) and spec.smallest < 0]
)
def test_scalar_rounding_is_that_of_round_to(name: str) -> None:
    spec = FORMATS[name]
    assert isinstance(spec, FloatSpec)
    generator = np.random.default_rng(5)
    spread = np.exp2(generator.uniform(-160, 135, 20_000)) * generator.choice([-1, 1], 20_000)
    near = spec.largest * (1 + generator.uniform(-0.1, 0.1, 2000))
    if spec.bits <= 16:
        held = np.array(spec.values)
        edges = np.concatenate([held, (held[1:] + held[:-1]) / 2])
    else:
        edges = np.array([spec.largest, spec.overflow_threshold, spec.smallest_subnormal / 2, 1 + spec.epsilon / 2])
    x = np.concatenate([spread, near, edges, [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324]])
    expected = round_to(torch.from_numpy(x), spec, saturate=False).numpy()
    rounding = rounding_of(spec)
    rounded = np.array([round_scalar(value, rounding) for value in x])
    np.testing.assert_array_equal(rounded, expected)
    assert (np.signbit(rounded) == np.signbit(expected))[~np.isnan(expected)].all()


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=60))
def test_the_exact_sum_is_exact(values: list[float]) -> None:
    record = accumulate(values, "fp32")
    assert record.exact == float(sum(map(Fraction, values)))
    assert record.exact_of_terms == record.exact  # FP32 holds these values


def test_exact_sums_along_the_way() -> None:
    values = np.random.default_rng(3).normal(size=3000) * 1e4
    record = accumulate(values, "fp32")
    wholes = [sum(map(Fraction, values[:step].tolist())) for step in record.steps[::50].tolist()]
    bound = 2.0**-52 * np.abs(values).sum()
    assert max(abs(float(whole) - kept) for whole, kept in zip(wholes, record.exact_sums[::50], strict=True)) <= bound


@pytest.mark.parametrize(
    ("format", "stops_at"),
    # a tenth is less than half the step above these powers of two
    [("fp16", 256), ("bf16", 32), ("fp8_e4m3", 2), ("fp8_e5m2", 1)],
)
def test_where_a_sum_of_tenths_stops(format: str, stops_at: float) -> None:
    record = accumulate(np.full(20_000, 0.1), format)
    assert record.result == stops_at
    assert record.stalled_after is not None
    term = round_to(torch.tensor([0.1]), format).item()
    before = accumulate(np.full(record.stalled_after - 1, 0.1), format)
    assert before.result < stops_at
    assert before.result + term != before.result
    assert record.drift == pytest.approx(stops_at / 2000 - 1)


def test_kahan_keeps_a_sum_growing_that_stalls_without() -> None:
    values = np.full(20_000, 0.1)
    plain_sum, corrected = accumulate(values, "bf16"), accumulate(values, "bf16", "kahan")
    assert plain_sum.stalled_after is not None
    assert corrected.stalled_after is None
    # Kahan's error is at most about 2u + n u**2 of the sum, here with u = 2**-8 and n = 20000.
    assert abs(corrected.result - corrected.exact_of_terms) < (2 * 2**-8 + 20_000 * 2**-16) * corrected.exact_of_terms
    assert abs(plain_sum.result - plain_sum.exact_of_terms) > 0.9 * plain_sum.exact_of_terms


def test_a_sum_of_signs_does_not_stall() -> None:
    record = accumulate(np.random.default_rng(4).normal(size=50_000), "fp16")
    assert record.stalled_after is None
    assert record.not_finite_after is None


def test_overflow_names_its_step() -> None:
    record = accumulate(np.full(100, 1000.0), "fp16")
    assert record.not_finite_after == 66  # 66000 is beyond 65504
    assert record.result == math.inf
    assert record.drift == math.inf
    assert record.stalled_after is None
    assert math.isnan(accumulate(np.full(100, 100.0), "fp8_e4m3").result)  # E4M3 has no Inf
    assert accumulate(np.full(100, 1.0), "fp4_e2m1").result == 4  # 4 + 1 is a tie that goes back to 4


def test_a_term_that_the_format_cannot_hold() -> None:
    record = accumulate([1.0, 1e6], "fp16")
    assert record.exact == 1000001.0
    assert record.exact_of_terms == math.inf
    assert record.not_finite_after == 2


@pytest.mark.parametrize("values", [torch.full((2, 3), 0.5, dtype=torch.bfloat16), [[0.5] * 3] * 2, np.full(6, 0.5)])
def test_values_of_any_kind_and_shape(values: Any) -> None:
    record = accumulate(values, "fp16")
    assert (record.terms, record.result, record.drift) == (6, 3.0, 0.0)


def test_a_sum_of_zero_has_a_plain_difference_for_drift() -> None:
    record = accumulate([256.0, 0.1, -256.0, -0.1], "bf16")
    assert record.exact == 0.0
    assert record.drift == record.result == -float(ml_dtypes.bfloat16(0.1))


@pytest.mark.parametrize(
    ("values", "format", "method", "said"),
    [
        ([], "fp16", "plain", "there are none"),
        ([1.0, math.nan], "fp16", "plain", "all finite"),
        ([1e308, 1e308], "fp32", "plain", "too large"),
        ([1.0], "int8", "plain", "no float format"),
        ([1.0], "e8m0", "plain", "arithmetic in e8m0"),
        ([1.0], "mxfp4", "plain", "no float format"),
        ([1.0], "fp99", "plain", "no format has this name"),
        ([1.0], "fp16", "magic", "plain, kahan, neumaier, pairwise"),
    ],
)
def test_errors_say_what_would_work(values: list[float], format: str, method: Any, said: str) -> None:
    with pytest.raises(PrecisionError, match=said):
        accumulate(values, format, method)


def test_the_record_cannot_be_changed() -> None:
    record: RunningSum = accumulate([1.0], "fp16")
    with pytest.raises(AttributeError):
        record.format = "bf16"  # type: ignore[misc]
