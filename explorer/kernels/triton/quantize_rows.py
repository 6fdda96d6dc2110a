# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""Row-wise quantisation in one read: the largest magnitude, the scale and the codes of each row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats import Scheme, find_scale
from explorer.kernels.triton.casts import INFINITY, MAGNITUDE, encode_fp8, round_to_code, widen
from explorer.kernels.triton.launch import has_fp8_cast, on_device, power_of_two
from explorer.kernels.triton.tuning import Config, Problem, choose

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
WHOLE_ROW = 16384
"""Elements of the longest row that is kept in registers between finding its scale and writing its codes."""
SMALLEST_NORMAL = tl.constexpr(2.0**-126)


@dataclass(frozen=True)
class RowFormat:
    """What the kernel must know of a format: its largest value, and its mantissa bits (0: INT8)."""

    dtype: torch.dtype
    largest: float
    mantissa: int


ROW_FORMATS = {
    "int8": RowFormat(torch.int8, 127.0, 0),
    "fp8_e4m3": RowFormat(torch.float8_e4m3fn, 448.0, 3),
    "fp8_e5m2": RowFormat(torch.float8_e5m2, 57344.0, 2),
}


def quantize_rows(x: Tensor, format: str = "int8", config: Config | None = None) -> tuple[Tensor, Tensor]:
    """Return codes [..., K] and FP32 scales [..., 1] of ``x`` [..., K], one scale a row.

    x: FP32, BF16 or FP16, any strides; never modified. Codes and scales are those of ``formats.quantize`` with a scale
    per token, bit for bit (the payload of a NaN apart): a row of zeros has scale 1, a row with NaN or Inf has that as
    its scale, so that it dequantises to NaN. Raises ``PrecisionError`` for other formats and dtypes.
    """
    if format not in ROW_FORMATS or x.dtype not in FLOATS or x.ndim == 0:
        found = f"x is {list(x.shape)} of {x.dtype}"
        raise PrecisionError(f"quantise rows to {format}", found, f"rows of a float, to {' or '.join(ROW_FORMATS)}")
    spec = ROW_FORMATS[format]
    rows = x.detach().reshape(-1, x.shape[-1]) if x.numel() else x.detach().new_empty(0, max(x.shape[-1], 1))
    rows = rows if rows.stride(-1) == 1 else rows.contiguous()
    codes = torch.empty(rows.shape, dtype=spec.dtype, device=x.device)
    scale = torch.ones(x.shape[:-1], dtype=torch.float32, device=x.device).reshape(-1)
    if rows.numel():
        _launch(rows, codes, scale, format, config)
    return codes.reshape(x.shape), scale.reshape(*x.shape[:-1], 1)


def candidates(columns: int) -> tuple[Config, ...]:
    """The launches worth trying for rows of so many elements."""
    block = power_of_two(columns)
    if block > WHOLE_ROW:
        return (Config.of(8, 2, ROWS=1, BLOCK=4096), Config.of(16, 2, ROWS=1, BLOCK=8192))
    shapes = [(max(1, elements // block), warps) for elements, warps in ((4096, 4), (2048, 4), (8192, 8), (16384, 16))]
    return tuple(Config.of(warps, 1, ROWS=rows, BLOCK=block) for rows, warps in dict.fromkeys(shapes))


def _launch(rows: Tensor, codes: Tensor, scale: Tensor, format: str, config: Config | None) -> None:
    spec, (height, width) = ROW_FORMATS[format], rows.shape
    stored = codes if spec.mantissa == 0 else codes.view(torch.uint8)

    def launch(config: Config) -> None:
        block = config["BLOCK"]
        with on_device(rows):
            _quantize_kernel[(triton.cdiv(height, config["ROWS"]),)](
                rows, stored, scale, height, width, rows.stride(0), _widest_scale(format),
                LARGEST=spec.largest, MANTISSA=spec.mantissa, NATIVE=has_fp8_cast(rows), WHOLE=block >= width,
                enable_fp_fusion=False, **config.options,
            )  # fmt: skip

    if config is None:
        problem = Problem("quantize_rows", (power_of_two(height), width), f"{rows.dtype} to {format}")
        config = choose(problem, candidates(width), launch, rows)
    launch(config)


@cache
def _widest_scale(format: str) -> float:
    """The scale of FP32's largest value: one step below its quotient where that would not come back finite."""
    largest = torch.tensor([torch.finfo(torch.float32).max])
    return float(find_scale(largest, Scheme(format, granularity="token"))[0])


@triton.jit
def _quantize_kernel(
    x, codes, scale, rows, columns, stride, widest,
    LARGEST: tl.constexpr, MANTISSA: tl.constexpr, NATIVE: tl.constexpr, WHOLE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    is_row = row < rows
    x_row = x + row.to(tl.int64)[:, None] * stride
    codes_row = codes + row.to(tl.int64)[:, None] * columns
    column = tl.arange(0, BLOCK)[None, :]
    if WHOLE:
        mask = is_row[:, None] & (column < columns)
        values = widen(tl.load(x_row + column, mask=mask, other=0.0))
        # The largest bit pattern without its sign is the largest magnitude, and Inf and NaN rank above every number.
        biggest = tl.max(values.to(tl.int32, bitcast=True) & MAGNITUDE, axis=1)
        step, inverse = _scale_of(biggest, widest, LARGEST)
        tl.store(codes_row + column, _encode(values, inverse, biggest, LARGEST, MANTISSA, NATIVE), mask=mask)
    else:
        sizes = tl.zeros([ROWS, BLOCK], tl.int32)
        for first in range(0, columns, BLOCK):
            mask = is_row[:, None] & (first + column < columns)
            values = widen(tl.load(x_row + first + column, mask=mask, other=0.0))
            sizes = tl.maximum(sizes, values.to(tl.int32, bitcast=True) & MAGNITUDE)
        biggest = tl.max(sizes, axis=1)
        step, inverse = _scale_of(biggest, widest, LARGEST)
        for first in range(0, columns, BLOCK):
            mask = is_row[:, None] & (first + column < columns)
            values = widen(tl.load(x_row + first + column, mask=mask, other=0.0))
            tl.store(
                codes_row + first + column, _encode(values, inverse, biggest, LARGEST, MANTISSA, NATIVE), mask=mask
            )
    tl.store(scale + row, step, mask=is_row)


@triton.jit
def _scale_of(biggest, widest, LARGEST: tl.constexpr):
    """The scale of rows whose largest magnitudes have the bits ``biggest``, and its inverse."""
    step = tl.div_rn(biggest.to(tl.float32, bitcast=True), tl.full(biggest.shape, LARGEST, tl.float32))
    settled = tl.minimum(tl.maximum(step, SMALLEST_NORMAL), widest)
    step = tl.where(biggest < INFINITY, settled, step)
    step = tl.where(biggest == 0, 1.0, step)
    return step, tl.div_rn(tl.full(step.shape, 1.0, tl.float32), step)


@triton.jit
def _encode(values, inverse, biggest, LARGEST: tl.constexpr, MANTISSA: tl.constexpr, NATIVE: tl.constexpr):
    scaled = values * inverse[:, None]
    if MANTISSA == 0:
        code = tl.where(biggest[:, None] < INFINITY, round_to_code(scaled), 0)
    else:
        code = encode_fp8(scaled, LARGEST, MANTISSA, NATIVE)
    return code
