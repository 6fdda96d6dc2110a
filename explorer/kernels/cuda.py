"""Low-precision kernels of NVIDIA GPUs that torch itself holds: INT8, FP8 and TF32 products.

Their arguments follow torch's own checks; until a GPU has run them the documents say so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized, quantize
from explorer.kernels.cpu import LINEAR, build_int8_linear, refuse_int8_linear, require_product, scale_product
from explorer.kernels.kernel import MATRIX_KINDS, Kernel
from explorer.kernels.site import Packed, Site, bind
from explorer.measure.device import Device
from explorer.precision import weight_scheme_of


def refuse_int8(site: Site, device: Device) -> str:
    if reason := refuse_int8_linear(site, device):
        return reason
    width, depth = require_product(site).weight.shape
    if site.rows <= 16:
        return f"INT8 products on CUDA need more than 16 rows; this op has {site.rows}"
    return (
        "" if width % 8 == 0 and depth % 8 == 0 else f"INT8 products on CUDA need K, N % 8 == 0; here {depth}, {width}"
    )


def refuse_fp8(site: Site, device: Device) -> str:
    if site.product is None:
        return "the FP8 product needs a constant weight; this op multiplies two activations"
    width, depth = site.product.weight.shape
    if device.capability < (9, 0):
        return f"row-scaled FP8 products need an sm_90 GPU; this is sm_{device.sm}"
    return "" if width % 16 == 0 and depth % 16 == 0 else f"FP8 products need K, N % 16 == 0; here {depth}, {width}"


def build_fp8_linear(site: Site) -> Packed:
    """Build ``torch._scaled_mm`` with one scale per row of the input and per output channel of the weight, out BF16."""
    product = require_product(site)
    weight = quantize(product.weight, weight_scheme_of("fp8"))
    columns = weight.codes.contiguous().t()
    column_scale = weight.scale.reshape(1, -1).contiguous()
    bias = None if product.bias is None else product.bias.to(torch.bfloat16)

    def run(*inputs: Quantized) -> Tensor:
        x = inputs[0]
        rows, row_scale = x.codes.reshape(-1, x.codes.shape[-1]), x.scale.reshape(-1, 1)
        out = torch._scaled_mm(rows, columns, row_scale, column_scale, bias, out_dtype=torch.bfloat16)
        return out.reshape(*x.codes.shape[:-1], columns.shape[1])

    return Packed(run, weight.codes.nbytes, weight.scale.nbytes)


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


KERNELS = (
    Kernel(
        "torch._int_mm", "int8", "cuda", LINEAR, "int8:token", "fp32", build_int8_linear(scale_product), refuse_int8
    ),
    Kernel("torch._scaled_mm", "fp8", "cuda", LINEAR, "fp8_e4m3:token", "bf16", build_fp8_linear, refuse_fp8),
    Kernel(
        "torch._scaled_mm e5m2 x e4m3",
        "fp8_e5m2",
        "cuda",
        LINEAR,
        "fp8_e5m2:token",
        "bf16",
        build_fp8_linear,
        refuse_fp8,
    ),
    Kernel("torch tf32", "tf32", "cuda", MATRIX_KINDS, "fp32", "fp32", build_tf32, refuse_tf32),
)
