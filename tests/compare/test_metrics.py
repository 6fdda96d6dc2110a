"""The error of a pair of tensors against NumPy, ulps against the order of a format's values, and merging."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.compare import PairError, count_ulps, merge_all
from explorer.compare.metrics import compare_with_loops, compare_with_torch
from explorer.formats import all_values, round_to


def pair(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator) * 10 ** torch.randn(shape, generator=generator)
    return x, x + torch.randn(shape, generator=generator) / 50


@pytest.mark.parametrize("shape", [(1,), (3, 5), (4, 1, 3, 33), (600, 1000)])
def test_sums_and_extremes_are_those_of_numpy(shape: tuple[int, ...]) -> None:
    x, y = pair(*shape)
    error = PairError.of(x, y)
    a, b = x.numpy().astype(np.float64), y.numpy().astype(np.float64)
    noise, signal = ((b - a) ** 2).sum(), (a**2).sum()
    assert error.elements == x.numel()
    assert error.max_abs == np.abs(b - a).max()
    assert error.sqnr_db == pytest.approx(10 * np.log10(signal / noise), rel=1e-12)
    assert error.relative == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-12)
    assert error.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-12)
    assert error.max_ulps == error.output_ulps == np.abs(ordinals(y) - ordinals(x)).max()
    assert error.nonfinite == 0


def ordinals(x: Tensor) -> np.ndarray:
    """FP32 values as integers in their order, both zeros 0: the sign bit and the magnitude's bits as one number."""
    bits = x.numpy().reshape(-1).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def test_strides_and_narrow_floats_are_read_and_nothing_is_written() -> None:
    x, y = pair(6, 8, 10)
    kept = x.clone(), y.clone()
    assert PairError.of(x.transpose(0, 2), y.transpose(0, 2)).max_ulps == PairError.of(x, y).max_ulps
    assert PairError.of(x[::2, 1], y[::2, 1]) == PairError.of(x[::2, 1].contiguous(), y[::2, 1].contiguous())
    assert PairError.of(x, y.bfloat16(), "bf16") == PairError.of(x, y.bfloat16().float(), "bf16")
    assert torch.equal(x, kept[0]) and torch.equal(y, kept[1])


@pytest.mark.parametrize("format", ["fp16", "bf16", "fp8_e4m3", "tf32", "fp32"])
def test_neighbours_are_one_ulp_apart(format: str) -> None:
    """Over every finite value of formats up to 16 bits, subnormals and both signs included."""
    values = all_values(format) if format not in ("tf32", "fp32") else round_to(pair(3000)[0].sort().values, format)
    values = torch.as_tensor(values, dtype=torch.float32)
    values = values[values.isfinite()].unique()
    if format == "tf32":
        assert count_ulps(values, values * (1 + 2.0**-10), "tf32").min() >= 1
    elif format == "fp32":
        above = torch.nextafter(values, torch.tensor(math.inf))
        assert (count_ulps(values, above) == 1).all()
    else:
        assert (count_ulps(values[:-1], values[1:], format) == 1).all()
        assert count_ulps(values[:1], values[-1:], format) == len(values) - 1


@pytest.mark.parametrize(("format", "scale"), [("bf16", 1.0), ("bf16", 1e-39), ("fp16", 1.0), ("fp16", 3e-6)])
def test_rounding_leaves_at_most_half_an_ulp_of_the_format(format: str, scale: float) -> None:
    x = pair(5000)[0] * scale
    x = x[x.abs() < 6e4]
    error = PairError.of(x, round_to(x, format), format)
    assert 0.4 < error.output_ulps <= 0.5
    assert error.output_ulps == count_ulps(x, round_to(x, format), format).max(), "compiled loops against plain torch"
    assert error.max_ulps == count_ulps(x, round_to(x, format)).max()


@pytest.mark.parametrize("format", ["fp32", "bf16", "fp16", "uint8"])
@pytest.mark.parametrize("size", [1, 300, 200_000])
def test_compiled_loops_and_plain_torch_agree(format: str, size: int) -> None:
    """Torch compares where there is no CPU; sums may be added in another order."""
    x, y = pair(size)
    y[::97], x[5::113], y[7::211] = math.nan, math.inf, -math.inf
    x[11::301] = y[11::301] = math.nan
    compiled, plain = (compare(x, y, format) for compare in (compare_with_loops, compare_with_torch))
    for each in fields(PairError):
        assert getattr(compiled, each.name) == pytest.approx(getattr(plain, each.name), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    x, y = pair(500_000)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = PairError.of(x, y, "bf16")
        torch.set_num_threads(threads)
        assert PairError.of(x, y, "bf16") == alone
    finally:
        torch.set_num_threads(before)


def test_codes_have_no_ulps_of_their_own() -> None:
    x, y = pair(50)
    assert math.isnan(PairError.of(x, y, "uint8").output_ulps)
    assert math.isnan(PairError.of(x, x, "uint8").output_ulps)
    assert PairError.of(x, y, "uint8").max_ulps == PairError.of(x, y).max_ulps


@pytest.mark.parametrize("cuts", [[1], [7, 7, 20], [0, 300, 511]])
def test_any_split_merges_to_the_same(cuts: list[int]) -> None:
    x, y = pair(512)
    y[5], y[400], x[401] = math.nan, math.inf, math.inf
    whole = PairError.of(x, y)
    parts = zip(torch.tensor_split(x, cuts), torch.tensor_split(y, cuts), strict=True)
    merged = merge_all(PairError.of(*part) for part in parts)
    for each in fields(PairError):
        assert getattr(merged, each.name) == pytest.approx(getattr(whole, each.name), rel=1e-12), each.name
    assert (whole.new_nan, whole.new_inf, whole.recovered, whole.elements) == (1, 1, 1, 512)


def test_nan_and_inf_are_counted_where_they_are_new_and_bound_nothing() -> None:
    x, y = pair(40)
    x[:3] = torch.tensor([math.inf, math.nan, -math.inf])
    y[:3] = torch.tensor([math.inf, math.nan, 4.0])
    error = PairError.of(x, y)
    assert (error.nonfinite, error.recovered) == (0, 1)
    assert error.sqnr_db == pytest.approx(PairError.of(x[3:], y[3:]).sqnr_db), "what FP32 has not says nothing"
    y[10] = math.inf
    error = PairError.of(x, y)
    assert error.nonfinite == 1
    assert (error.sqnr_db, error.relative) == (-math.inf, math.inf)
    assert math.isnan(error.cosine)
    assert math.isfinite(error.max_abs), "of the others"


def test_edges_without_noise_signal_or_elements() -> None:
    zero, one = torch.zeros(4), torch.ones(4)
    same = PairError.of(one, one)
    assert (same.sqnr_db, same.cosine, same.relative, same.max_ulps) == (math.inf, 1.0, 0.0, 0.0)
    lost = PairError.of(zero, one)
    assert (lost.sqnr_db, lost.relative) == (-math.inf, math.inf)
    assert math.isnan(lost.cosine)
    assert PairError.of(zero, -zero).max_ulps == 0, "the two zeros are one value"
    nothing = PairError.of(torch.zeros(0, 3), torch.zeros(0, 3))
    assert nothing.elements == 0
    assert all(math.isnan(number) for number in (nothing.sqnr_db, nothing.cosine, nothing.relative))
    assert PairError.of(torch.tensor([-3e38]), torch.tensor([3e38])).max_abs == pytest.approx(6e38)
