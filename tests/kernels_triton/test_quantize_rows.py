"""Row-wise quantisation in one read equals ``formats.quantize`` bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.errors import PrecisionError
from explorer.formats import Scheme, quantize
from explorer.kernels.triton.quantize_rows import ROW_FORMATS, WHOLE_ROW, candidates, quantize_rows
from explorer.kernels.triton.tuning import Config

SHAPES = ((1, 1), (1, 4096), (3, 5), (2, 7, 129), (17, 64), (0, 8), (3, 0), (2, 300))
LOOPED = Config.of(4, 2, ROWS=2, BLOCK=128)
"""A block shorter than the longest rows here, as every block is for rows beyond ``WHOLE_ROW``."""


def same(first: Tensor, second: Tensor) -> bool:
    """Equal bits but for the payload of a NaN."""
    first, second = first.float().cpu(), second.float().cpu()
    signs = torch.equal(first.signbit() & ~first.isnan(), second.signbit() & ~second.isnan())
    return signs and torch.equal(first.nan_to_num(nan=12345.0), second.nan_to_num(nan=12345.0))


def check(x: Tensor, format: str, config: Config | None = None) -> None:
    before = x.clone()
    codes, scale = quantize_rows(x, format, config)
    wanted = quantize(x.cpu(), Scheme(format, granularity="token"))
    assert codes.dtype == wanted.codes.dtype and codes.shape == x.shape and scale.shape == wanted.scale.shape
    assert same(codes, wanted.codes)
    assert same(scale, wanted.scale)
    assert same(x, before)


@pytest.mark.parametrize("format", ROW_FORMATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_any_shape(format: str, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    x = (torch.randn(shape) * 10 ** torch.randn(shape)).to(dtype).to(device)
    check(x, format, candidates(max(shape[-1], 1))[0])


@pytest.mark.parametrize("format", ROW_FORMATS)
@pytest.mark.parametrize("config", [None, LOOPED], ids=["whole rows", "rows in blocks"])
def test_adversarial_rows(format: str, config: Config | None, device: str) -> None:
    """Zeros, -0, NaN, Inf, subnormals, FP32's largest values, and scales on either side of the smallest normal."""
    x = torch.randn(12, 200)
    x[0], x[1] = 0.0, -0.0
    x[2, 7], x[3, 9], x[4, 199] = torch.nan, -torch.inf, torch.inf
    x[5] *= 1e-42
    x[6] *= 1e-37
    x[7] = torch.finfo(torch.float32).max * torch.randn(200).sign()
    x[8] = torch.finfo(torch.float32).tiny
    x[9, 1:] = 0.0
    x[10] *= 1e30
    x[11] *= 1e-30
    check(x.to(device), format, config or candidates(200)[0])


@pytest.mark.parametrize("format", ROW_FORMATS)
def test_every_bf16_value_and_every_tie(format: str, device: str) -> None:
    """Rows of consecutive BF16 values beside the largest code: every place between two codes that BF16 holds."""
    values = torch.arange(0x3000, 0x4400, dtype=torch.int16).view(torch.bfloat16).reshape(-1, 512).float()
    rows = torch.cat([values, -values])
    largest = ROW_FORMATS[format].largest
    x = torch.cat([torch.full((len(rows), 1), largest), rows[:, :-1].clamp(-largest, largest)], dim=1)
    check(x.to(device), format, candidates(512)[0])


def test_rows_too_long_to_keep(device: str) -> None:
    x = torch.randn(2, WHOLE_ROW + 4097)
    check(x.to(device), "int8", candidates(x.shape[1])[0])


def test_strided_rows(device: str) -> None:
    x = torch.randn(40, 7, 3, device=device).permute(1, 2, 0)
    check(x, "int8", candidates(40)[0])
    check(torch.randn(6, 50, device=device)[:, 10:43], "int8", candidates(33)[0])


def test_every_candidate_agrees(device: str) -> None:
    x = torch.randn(33, 190, device=device)
    wanted = quantize_rows(x, "int8", candidates(190)[0])
    for config in candidates(190)[1:]:
        codes, scale = quantize_rows(x, "int8", config)
        assert torch.equal(codes, wanted[0]) and torch.equal(scale, wanted[1]), config


@pytest.mark.parametrize(
    ("x", "format"),
    [(torch.zeros(2, 2), "int4"), (torch.zeros(2, 2, dtype=torch.int8), "int8"), (torch.tensor(1.0), "int8")],
)
def test_what_does_not_fit_is_said(x: Tensor, format: str) -> None:
    with pytest.raises(PrecisionError, match=f"quantise rows to {format}"):
        quantize_rows(x, format)
