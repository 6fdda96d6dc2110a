"""Row-wise INT8 codes are those of plain torch, bit for bit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from explorer.formats import quantize
from explorer.kernels.simd.rows import quantize_rows
from tests.kernels_simd.cases import TOKENS


def assert_as_torch(x: Tensor) -> None:
    codes, scale = quantize_rows(x)
    expected = quantize(x, TOKENS)
    assert torch.equal(codes, expected.codes) and scale.shape == expected.scale.shape
    assert torch.equal(scale.view(torch.int32)[~scale.isnan()], expected.scale.view(torch.int32)[~scale.isnan()])
    assert torch.equal(scale.isnan(), expected.scale.isnan())


@pytest.mark.parametrize("scale", [1.0, 1e30, 1e-30, 1e-40, 1e-44])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 64), (5, 65), (2, 3, 127), (9, 192), (301, 130)])
def test_any_shape_and_size(shape: tuple[int, ...], scale: float) -> None:
    torch.manual_seed(0)
    assert_as_torch(torch.randn(shape) * scale)


def test_rows_of_zeros_nan_and_infinity() -> None:
    x = torch.randn(6, 70)
    x[0], x[1, 0], x[2, 69], x[3, 33], x[4] = 0.0, math.nan, -math.inf, math.inf, -0.0
    assert_as_torch(x)


def test_halves_go_to_even() -> None:
    assert_as_torch((torch.arange(-254, 255) / 2).repeat(3, 1))


def test_other_layouts_and_formats_are_copied() -> None:
    assert_as_torch(torch.randn(70, 6).t())
    codes, scale = quantize_rows(torch.randn(4, 8, dtype=torch.bfloat16))
    assert codes.shape == (4, 8) and scale.shape == (4, 1) and scale.dtype == torch.float32
