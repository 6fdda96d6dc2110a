"""INT4 and INT8 weights with BF16 and FP16 activations, against FP64; and the packing that they read."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.errors import PrecisionError
from explorer.formats import Quantized, Scheme, quantize
from explorer.kernels.stored import store_int4
from explorer.kernels.triton.epilogue import Epilogue
from explorer.kernels.triton.packed import PackedInt4, PackedInt8, pack_int4, pack_int8, unpack_int4
from explorer.kernels.triton.tuning import Config
from explorer.kernels.triton.weight_only import candidates, weight_only_matmul

HAS_GPU = torch.cuda.is_available()

HALVES = [torch.bfloat16, torch.float16]
CHANNEL = Scheme("int8", "channel", axis=0)
SHARE = 2**-18 if HAS_GPU else 2**-20
"""Error allowed, as a share of the sum of magnitudes: what remains of FP32 after sums of some hundred products, which
tensor cores cut rather than round."""


def small(split: int) -> Config:
    return Config.of(4, 1, BLOCK_M=16, BLOCK_N=32, SPLIT=split)


def launches(rows: int, weight: PackedInt4 | PackedInt8) -> tuple[Config, ...]:
    """On a GPU the ends of the table, whose whole the benchmark checks; else what is quick to interpret."""
    if HAS_GPU:
        return candidates(rows, weight)[0], candidates(rows, weight)[-1]
    splits = (1, 3) if rows <= 16 else (1,)
    blocks = {} if isinstance(weight, PackedInt4) else {"BLOCK_K": 64}
    return tuple(Config.of(4, 1, BLOCK_M=16, BLOCK_N=32, SPLIT=split, **blocks) for split in splits)


def check(x: Tensor, weight: Quantized, packed: PackedInt4 | PackedInt8, bias: Tensor) -> None:
    """The product under every launch against the FP64 one, the same each time, and the counters back at zero."""
    values, rows = weight.dequantize().cpu().double(), x.cpu().double()
    wanted = rows @ values.t() + bias.cpu().double()
    room = rows.abs() @ values.abs().t() * SHARE + bias.cpu().double().abs() * 2**-23
    for config in launches(len(x), packed):
        got = weight_only_matmul(x, packed, Epilogue(bias), config)
        assert ((got.cpu().double() - wanted).abs() <= room).all(), config
        assert torch.equal(weight_only_matmul(x, packed, Epilogue(bias), config), got), "not the same every time"
        rounded = weight_only_matmul(x, packed, Epilogue(bias, output=torch.bfloat16), config)
        assert ((rounded.cpu().double() - wanted).abs() <= room + wanted.abs() * 2**-8).all(), config
        assert not packed.counters.any(), config


@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_int4(group: int, symmetric: bool, dtype: torch.dtype, device: str) -> None:
    x, w = torch.randn(5, 256, device=device).to(dtype), torch.randn(33, 256, device=device)
    weight = quantize(w, Scheme("int4", "group", group=group, symmetric=symmetric))
    check(x, weight, pack_int4(weight), torch.randn(33, device=device))


@pytest.mark.parametrize(("rows", "columns", "depth"), [(1, 1, 32), (1, 70, 256), (16, 31, 64), (19, 40, 96)])
def test_int4_shapes(rows: int, columns: int, depth: int, device: str) -> None:
    x, w = torch.randn(rows, depth, device=device).bfloat16(), torch.randn(columns, depth, device=device)
    weight = quantize(w, Scheme("int4", "group", group=32))
    check(x, weight, pack_int4(weight), torch.randn(columns, device=device))


@pytest.mark.parametrize(
    ("rows", "columns", "depth"), [(1, 1, 1), (1, 70, 256), (5, 33, 70), (16, 31, 200), (19, 40, 96)]
)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_int8(rows: int, columns: int, depth: int, dtype: torch.dtype, device: str) -> None:
    x, w = torch.randn(rows, depth, device=device).to(dtype), torch.randn(columns, depth, device=device)
    weight = quantize(w, CHANNEL)
    check(x, weight, pack_int8(weight), torch.randn(columns, device=device))


def test_every_code_is_exact(device: str) -> None:
    """A one at each place of x picks out one code of the weight, in every position of a byte and a group."""
    x = torch.eye(64, device=device).bfloat16()
    codes = torch.randint(-7, 8, (40, 64), dtype=torch.int8, device=device)
    weight = Quantized(codes, torch.ones(40, 2, device=device), None, Scheme("int4", "group", group=32), torch.float32)
    packed = pack_int4(weight)
    got = weight_only_matmul(x, packed, Epilogue(), launches(64, packed)[0])
    assert torch.equal(got.t(), codes.float())
    assert torch.equal(unpack_int4(packed), codes.float())
    codes = torch.arange(-127, 128, dtype=torch.int8, device=device).repeat(64, 1).t().contiguous()
    packed8 = pack_int8(Quantized(codes, torch.ones(255, 1, device=device), None, CHANNEL, torch.float32))
    for dtype in HALVES:
        got = weight_only_matmul(x.to(dtype), packed8, Epilogue(), launches(64, packed8)[0])
        assert torch.equal(got.t(), codes.float())


@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("symmetric", [True, False])
def test_packing_keeps_every_value(group: int, symmetric: bool) -> None:
    weight = quantize(torch.randn(6, 256), Scheme("int4", "group", group=group, symmetric=symmetric))
    packed = pack_int4(weight)
    assert packed.shape == (6, 256) and packed.codes.nbytes == 6 * 128
    room = 2**-20 * packed.scale.max() * 16
    assert ((unpack_int4(packed) - weight.dequantize()).abs() <= room).all(), "one rounding each"


@pytest.mark.parametrize("precision", ["w4", "w4_g128", "w4_mse", "w4_hqq"])
def test_a_stored_weight_is_packed_without_an_error(precision: str, device: str) -> None:
    stored = store_int4(torch.randn(20, 256, device=device), precision)
    packed = pack_int4(stored)
    assert torch.equal(unpack_int4(packed), stored.values())
    assert packed.codes.nbytes == stored.weight_bytes and packed.scale.dtype == torch.bfloat16
    x = torch.randn(3, 256, device=device).bfloat16()
    wanted = x.double() @ stored.values().double().t()
    room = SHARE * (x.double().abs() @ stored.values().double().abs().t() + 8 * x.double().abs().sum())
    for config in launches(3, packed):
        got = weight_only_matmul(x, packed, Epilogue(), config)
        assert ((got.double() - wanted).abs() <= room).all()


def test_nan_stays_in_its_row_and_a_zero_row_is_the_bias(device: str) -> None:
    x, bias = torch.randn(6, 64, device=device).bfloat16(), torch.randn(20, device=device)
    x[1], x[2, 3], x[3, 63] = 0.0, torch.nan, torch.inf
    weight = quantize(torch.randn(20, 64, device=device) + 0.1, Scheme("int4", "group", group=32, symmetric=False))
    packed = pack_int4(weight)
    for config in launches(6, packed):
        got = weight_only_matmul(x, packed, Epilogue(bias), config)
        assert torch.equal(got[1], bias)
        assert not got[2:4].isfinite().any()
        assert got[[0, 4, 5]].isfinite().all()


def test_rows_that_lie_apart(device: str) -> None:
    wide = torch.randn(9, 128, device=device).bfloat16()
    weight = quantize(torch.randn(20, 64, device=device), CHANNEL)
    check(wide[::3, 32:96], weight, pack_int8(weight), torch.zeros(20, device=device))


def test_what_does_not_fit_is_said() -> None:
    weight = quantize(torch.randn(8, 64), Scheme("int4", "group", group=32))
    packed = pack_int4(weight)
    for x in (torch.zeros(2, 64), torch.zeros(2, 32).bfloat16(), torch.zeros(64, 2).bfloat16().t()):
        with pytest.raises(PrecisionError, match=r"weight of shape \[8, 64\]"):
            weight_only_matmul(x, packed, config=small(1))
    with pytest.raises(PrecisionError, match="groups of 32, 64 or 128"):
        pack_int4(quantize(torch.randn(8, 64), Scheme("int4", "group", group=16)))
    with pytest.raises(PrecisionError, match="per channel, axis 0"):
        pack_int8(quantize(torch.randn(8, 64), Scheme("int8")))
