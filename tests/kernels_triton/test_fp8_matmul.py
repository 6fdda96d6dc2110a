"""FP8 products with scales of rows and of blocks, against FP64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.errors import PrecisionError
from explorer.formats import Scheme, quantize
from explorer.kernels.triton.epilogue import Epilogue
from explorer.kernels.triton.fp8_matmul import BLOCK, candidates, fp8_matmul
from explorer.kernels.triton.tuning import Config

HAS_GPU = torch.cuda.is_available()

pytestmark = pytest.mark.skipif(
    HAS_GPU and torch.cuda.get_device_capability() < (8, 9), reason="FP8 products need an sm_89 GPU"
)

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
SHAPES = ((1, 1, 1), (1, 64, 128), (5, 33, 70), (17, 130, 300), (40, 65, 256), (0, 5, 7), (4, 0, 7))
SMALL = Config.of(4, 1, BLOCK_M=16, BLOCK_N=32, BLOCK_K=128, GROUP_M=2)
SHARE = 2**-12 if HAS_GPU else 2**-20
"""Error allowed, as a share of the sum of magnitudes: tensor cores of sm_90 keep 14 bits over 128 products, whose last
one or two are cut rather than rounded; the interpreter adds in FP32."""


def launches(rows: int) -> tuple[Config, ...]:
    """On a GPU the ends of the table, whose whole the benchmark checks; else what is quick to interpret."""
    return (candidates(rows)[0], candidates(rows)[-1]) if HAS_GPU else (SMALL,)


def codes(rows: int, depth: int, dtype: torch.dtype, device: str) -> Tensor:
    return torch.randn(rows, depth).to(dtype).to(device)


def check(a: Tensor, b: Tensor, scales: tuple[Tensor, Tensor], values: tuple[Tensor, Tensor], bias: Tensor) -> None:
    """The product under every launch against that of ``values``, the FP64 operands with their scales."""
    x, w = values
    wanted, room = x @ w.t() + bias.cpu().double(), x.abs() @ w.abs().t() * SHARE + bias.cpu().double().abs() * 2**-23
    for config in launches(len(a)):
        got = fp8_matmul(a, b, *scales, Epilogue(bias), config).cpu().double()
        assert ((got - wanted).abs() <= room).all(), (config, ((got - wanted).abs() / room).max())
        rounded = fp8_matmul(a, b, *scales, Epilogue(bias, output=torch.bfloat16), config)
        assert rounded.dtype == torch.bfloat16
        assert ((rounded.cpu().double() - wanted).abs() <= room + wanted.abs() * 2**-8).all(), config


@pytest.mark.parametrize(("rows", "columns", "depth"), SHAPES)
@pytest.mark.parametrize("dtype", [E4M3, E5M2], ids=str)
def test_scales_of_rows(rows: int, columns: int, depth: int, dtype: torch.dtype, device: str) -> None:
    a, b = codes(rows, depth, dtype, device), codes(columns, depth, E4M3, device)
    a_scale, b_scale = torch.rand(rows, device=device), torch.rand(columns, device=device)
    values = a.cpu().double() * a_scale.cpu().double()[:, None], b.cpu().double() * b_scale.cpu().double()[:, None]
    check(a, b, (a_scale, b_scale), values, torch.randn(columns, device=device))


@pytest.mark.parametrize(("rows", "columns", "depth"), SHAPES)
def test_scales_of_blocks(rows: int, columns: int, depth: int, device: str) -> None:
    a, b = codes(rows, depth, E4M3, device), codes(columns, depth, E4M3, device)
    wide, tall = -(-depth // BLOCK), -(-columns // BLOCK)
    a_scale, b_scale = torch.rand(rows, wide), torch.rand(tall, wide)
    spread = a_scale.repeat_interleave(BLOCK, 1)[:, :depth].double()
    spread_b = b_scale.repeat_interleave(BLOCK, 0)[:columns].repeat_interleave(BLOCK, 1)[:, :depth].double()
    values = a.cpu().double() * spread, b.cpu().double() * spread_b
    check(a, b, (a_scale.to(device), b_scale.to(device)), values, torch.randn(columns, device=device))


def test_quantised_operands_with_nan_and_zero_rows(device: str) -> None:
    x, w = torch.randn(7, 200), torch.randn(20, 200)
    x[2], x[3, 5], x[4, 6] = 0.0, torch.nan, torch.inf
    token, channel = Scheme("fp8_e4m3", "token"), Scheme("fp8_e4m3", "channel", axis=0)
    a, b = quantize(x, token), quantize(w, channel)
    got = fp8_matmul(
        a.codes.to(device), b.codes.to(device), a.scale.reshape(-1).to(device), b.scale.reshape(-1).to(device),
        config=launches(7)[0],
    ).cpu()  # fmt: skip
    assert (got[2] == 0).all()
    assert not got[3:5].isfinite().any(), "a NaN or Inf must never look like a number"
    clean = [0, 1, 5, 6]
    wanted = a.dequantize()[clean].double() @ b.dequantize().double().t()
    room = a.dequantize()[clean].double().abs() @ b.dequantize().double().abs().t() * SHARE
    assert ((got[clean] - wanted).abs() <= room).all()


@pytest.mark.parametrize(
    ("a", "scales", "found"),
    [
        (torch.zeros(2, 256), ((2,), (3,)), "float32"),
        (torch.zeros(256, 2).to(E4M3).t(), ((2,), (3,)), "strides"),
        (torch.zeros(2, 256).to(E4M3), ((2,), (1, 2)), "scales have shapes"),
        (torch.zeros(2, 256).to(E4M3), ((2, 1), (1, 2)), "scales have shapes"),
    ],
)
def test_what_does_not_fit_is_said(a: Tensor, scales: tuple[tuple[int, ...], ...], found: str) -> None:
    with pytest.raises(PrecisionError, match=found):
        fp8_matmul(a, torch.zeros(3, 256).to(E4M3), torch.ones(scales[0]), torch.ones(scales[1]), config=SMALL)
