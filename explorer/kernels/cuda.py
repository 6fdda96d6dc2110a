"""Low-precision kernels of NVIDIA GPUs that torch itself holds: INT8, FP8 and TF32 products.

Their arguments follow torch's own checks; until a GPU has run them the documents say so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized, find_format, quantize
from explorer.kernels.cpu import LINEAR, build_int8_linear, refuse_int8_linear, require_product, scale_product
from explorer.kernels.kernel import ADDEND, CONV_KINDS, MATRIX_KINDS, Kernel
from explorer.kernels.layout import CONTIGUOUS, PADDED, as_rows, as_torch_wants, contiguous
from explorer.kernels.site import Packed, Product, Site, bind
from explorer.measure.device import Device
from explorer.precision import PRECISIONS, weight_scheme_of

BLOCK = 128
ROWS_TOGETHER = 4
"""torch's block-scaled product takes rows in fours."""


def refuse_int8(site: Site, device: Device) -> str:
    if reason := refuse_int8_linear(site, device):
        return reason
    width, depth = require_product(site).weight.shape
    if site.rows <= 16:
        return f"INT8 products on CUDA need more than 16 rows; this op has {site.rows}"
    return (
        "" if width % 8 == 0 and depth % 8 == 0 else f"INT8 products on CUDA need K, N % 8 == 0; here {depth}, {width}"
    )


def refuse_fp8(capability: tuple[int, int], what: str) -> Callable[[Site, Device], str]:
    """Return a refusal of what ``torch._scaled_mm`` cannot take."""

    def refuse(site: Site, device: Device) -> str:
        if site.product is None:
            return "the FP8 product needs a constant weight; this op multiplies two activations"
        width, depth = site.product.weight.shape
        if device.capability < capability:
            return f"{what} FP8 products need an sm_{capability[0]}{capability[1]} GPU; this is sm_{device.sm}"
        return "" if width % 16 == 0 and depth % 16 == 0 else f"FP8 products need K, N % 16 == 0; here {depth}, {width}"

    return refuse


def refuse_fp8_blocks(site: Site, device: Device) -> str:
    if site.product is None:
        return "the FP8 product needs a constant weight; this op multiplies two activations"
    width, depth = site.product.weight.shape
    if device.capability < (9, 0):
        return f"block-scaled FP8 products need an sm_90 GPU; this is sm_{device.sm}"
    if device.capability >= (10, 0):
        return f"torch's products of 128-blocks with FP32 scales are for sm_90 only; this is sm_{device.sm}"
    if width % BLOCK or depth % BLOCK:
        return f"torch's block-scaled FP8 products need K, N % {BLOCK} == 0; here {depth}, {width}"
    return block_product_fault()


@cache
def block_product_fault() -> str:
    """Why torch's block-scaled FP8 product does not work here, tried on one block of ones; nothing where it does."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device here to try its block-scaled FP8 product on"
    ones = torch.ones(BLOCK, BLOCK, device="cuda")
    try:
        codes = ones.to(torch.float8_e4m3fn)
        out = scale_blocks(codes, codes.t(), ones[:, :1].contiguous(), pad_scales(ones[:1, :1] * 0.5))
    except (AttributeError, TypeError, RuntimeError, ValueError) as error:
        return f"torch's block-scaled FP8 product failed here: {str(error).splitlines()[0]}"
    right = bool((out == 0.5 * BLOCK).all())
    return "" if right else "torch's block-scaled FP8 product gave a wrong result here"


def build_fp8_linear(precision: str) -> Callable[[Site], Packed]:
    """Return a builder of ``torch._scaled_mm``: one scale per row of the input and output channel of the weight, or one
    per tensor, as the precision has them; out BF16."""

    def build(site: Site) -> Packed:
        product = require_product(site)
        weight = quantize(product.weight, weight_scheme_of(precision))
        columns = weight.codes.contiguous().t()  # the second matrix is wanted column-major
        by_rows = weight.scale.ndim > 0
        column_scale = weight.scale.reshape(1, -1).contiguous() if by_rows else weight.scale
        bias = _bf16_bias(product)  # in FP32 it would be refused

        def run(*inputs: Quantized) -> Tensor:
            x = inputs[0]
            rows = x.codes.reshape(-1, x.codes.shape[-1]).contiguous()
            row_scale = x.scale.reshape(-1, 1) if by_rows else x.scale
            out = torch._scaled_mm(rows, columns, row_scale, column_scale, bias, out_dtype=torch.bfloat16)
            return out.reshape(*x.codes.shape[:-1], columns.shape[1])

        return Packed(run, weight.codes.nbytes, weight.scale.nbytes)

    return build


def build_fp8_blocks(site: Site) -> Packed:
    """Build ``torch.nn.functional.scaled_mm`` with scales of 1x128 and 128x128 blocks, out BF16, then the bias."""
    product = require_product(site)
    weight = quantize(product.weight, weight_scheme_of("fp8_block"))
    columns, column_scale = weight.codes.contiguous().t(), pad_scales(weight.scale)
    bias = _bf16_bias(product)

    def run(*inputs: Quantized) -> Tensor:
        x = inputs[0]
        rows, scale = x.codes.reshape(-1, x.codes.shape[-1]), x.scale.reshape(-1, x.scale.shape[-1])
        out = scale_blocks(rows, columns, scale, column_scale)
        return (out if bias is None else out + bias).reshape(*x.codes.shape[:-1], columns.shape[1])

    return Packed(run, weight.codes.nbytes, weight.scale.nbytes)


def pad_scales(scale: Tensor) -> Tensor:
    """Scales [N / 128, K / 128] as torch's product wants those of its second matrix: K first, in fours, N outermost."""
    return torch.nn.functional.pad(scale, (0, -scale.shape[1] % 4)).t()


def scale_blocks(rows: Tensor, columns: Tensor, row_scale: Tensor, column_scale: Tensor) -> Tensor:
    """Return the product [M, N] in BF16. rows: [M, K]; columns: [K, N] column-major; row_scale: [M, K / 128].

    Rows come in fours, and their scales with the rows next to each other.
    """
    functional: Any = torch.nn.functional
    kinds, count = functional.ScalingType, len(rows)
    margin = -count % ROWS_TOGETHER
    rows = torch.nn.functional.pad(rows.view(torch.uint8), (0, 0, 0, margin)).view(rows.dtype) if margin else rows
    row_scale = torch.nn.functional.pad(row_scale, (0, 0, 0, margin)).t().contiguous().t()
    blocks = (row_scale, kinds.BlockWise1x128, column_scale, kinds.BlockWise128x128)
    out: Tensor = functional.scaled_mm(rows.contiguous(), columns, *blocks, output_dtype=torch.bfloat16)
    return out[:count]


def _bf16_bias(product: Product) -> Tensor | None:
    return None if product.bias is None else product.bias.to(torch.bfloat16)


def build_tf32(site: Site) -> Packed:
    """Build the FP32 call with TF32 products allowed around it (the switch is global to the process: set, restored)."""
    call = bind(site, torch.float32)
    settings: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)

    def run(*inputs: Tensor) -> Tensor:
        before = [part.fp32_precision for part in settings]
        try:
            for part in settings:
                part.fp32_precision = "tf32"
            return call(*inputs)  # type: ignore[no-any-return]
        finally:
            for part, value in zip(settings, before, strict=True):
                part.fp32_precision = value

    return Packed(run, sum(t.nbytes for t in site.constants.values() if t.is_floating_point()))


def refuse_tf32(site: Site, device: Device) -> str:
    return "" if device.capability >= (8, 0) else f"TF32 needs an sm_80 GPU; this is sm_{device.sm}"


def why_none(site: Site, precision: str, device: Device) -> str:
    """Why there is no real kernel for a site at all on a GPU, where there is more to say than that; else nothing."""
    spec = find_format(PRECISIONS[precision].compute) if precision in PRECISIONS else None
    if spec is not None and spec.is_block and device.capability < (10, 0):
        return f"products of {spec.label} need an sm_100 GPU; this is sm_{device.sm}"
    if precision in ("int8", "int8_static") and site.op.kind in CONV_KINDS:
        return "torch has no INT8 convolution for GPUs"
    return ""


def by_blocks_layout(site: Site) -> str:
    return PADDED if site.rows % ROWS_TOGETHER else CONTIGUOUS


def _fp8(name: str, precision: str, takes: str, build: Any, refuse: Any, layout: Any = contiguous) -> Kernel:
    return Kernel(name, precision, "cuda", LINEAR, takes, "bf16", build, refuse, layout=layout)


_BY_ROWS = refuse_fp8((9, 0), "row-scaled")

KERNELS = (
    Kernel(
        "torch._int_mm",
        "int8",
        "cuda",
        LINEAR,
        "int8:token",
        "fp32",
        build_int8_linear(scale_product),
        refuse_int8,
        fuses=ADDEND,
        layout=as_rows,
    ),
    _fp8("torch._scaled_mm", "fp8", "fp8_e4m3:token", build_fp8_linear("fp8"), _BY_ROWS),
    _fp8("torch._scaled_mm e5m2 x e4m3", "fp8_e5m2", "fp8_e5m2:token", build_fp8_linear("fp8_e5m2"), _BY_ROWS),
    _fp8(
        "torch._scaled_mm per tensor",
        "fp8_tensor",
        "fp8_e4m3:tensor",
        build_fp8_linear("fp8_tensor"),
        refuse_fp8((8, 9), "tensor-scaled"),
    ),
    _fp8(
        "torch scaled_mm by blocks",
        "fp8_block",
        "fp8_e4m3:block128",
        build_fp8_blocks,
        refuse_fp8_blocks,
        by_blocks_layout,
    ),
    Kernel("torch tf32", "tf32", "cuda", MATRIX_KINDS, "fp32", "fp32", build_tf32, refuse_tf32, layout=as_torch_wants),
)
