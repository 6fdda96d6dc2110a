"""Our own Triton kernels as kernels of the table: INT8 and FP8 products, INT8 and INT4 weights, on NVIDIA GPUs.

Triton is imported when a kernel is built, so this file costs nothing where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized, Scheme, quantize
from explorer.kernels import triton
from explorer.kernels.cpu import CHANNEL, LINEAR, quantize_for_w8, require_product
from explorer.kernels.kernel import Kernel
from explorer.kernels.site import Packed, Site, extend_by_addend
from explorer.measure.device import Device
from explorer.precision import weight_scheme_of

Capability = tuple[int, int]
INT4_GROUPS = (32, 64, 128)


def quantize_tokens(x: Tensor, scheme: Scheme) -> Quantized:
    """Return ``x`` [..., K] on a GPU in INT8 or FP8 with one scale per row, in one read; ``scheme`` is per token."""
    from explorer.kernels.triton.quantize_rows import quantize_rows

    codes, scale = quantize_rows(x, scheme.format)
    return Quantized(codes, scale, None, scheme, x.dtype)


def refuse_below(capability: Capability, what: str) -> Callable[[Site, Device], str]:
    """Return a refusal of sites without a constant weight, of older GPUs, and of machines without Triton."""

    def refuse(site: Site, device: Device) -> str:
        if site.product is None:
            return f"{what} need a constant weight; this op multiplies two activations"
        if device.capability < capability:
            return f"our {what} need an sm_{capability[0]}{capability[1]} GPU; this is sm_{device.sm}"
        return triton.missing()

    return refuse


def refuse_int4(site: Site, device: Device) -> str:
    if reason := refuse_below((8, 0), "products with INT4 weights")(site, device):
        return reason
    depth, group = require_product(site).weight.shape[1], weight_scheme_of("w4").group or 1
    if group not in INT4_GROUPS:
        return f"our products with INT4 weights need groups of 32, 64 or 128; these are of {group}"
    return "" if depth % group == 0 else f"groups of {group} do not divide the {depth} inputs of this op"


def build_int8(site: Site) -> Packed:
    """Build the INT8 product with scales, bias and a residual in its epilogue; FP32 output, exact sums."""
    from explorer.kernels.triton.epilogue import Epilogue
    from explorer.kernels.triton.int8_matmul import int8_matmul

    product = require_product(site)
    weight = quantize(product.weight, CHANNEL)
    codes, scale = weight.codes.contiguous(), weight.scale.reshape(-1).contiguous()
    plain = Epilogue(product.bias)

    def run_added(x: Quantized, addend: Tensor | None) -> Tensor:
        rows = x.codes.reshape(-1, x.codes.shape[-1])
        epilogue = plain if addend is None else replace(plain, addend=addend)
        out = int8_matmul(rows, codes, x.scale.reshape(-1), scale, epilogue)
        return out.reshape(*x.codes.shape[:-1], codes.shape[0])

    def run(*inputs: Quantized) -> Tensor:
        return run_added(inputs[0], None)

    return Packed(run, codes.nbytes, scale.nbytes, extend_by_addend(run_added))


def build_fp8(site: Site) -> Packed:
    """Build the FP8 product with a scale per row and per output channel; BF16 output."""
    from explorer.kernels.triton.epilogue import Epilogue
    from explorer.kernels.triton.fp8_matmul import fp8_matmul

    product = require_product(site)
    weight = quantize(product.weight, weight_scheme_of("fp8"))
    codes, scale = weight.codes.contiguous(), weight.scale.reshape(-1).contiguous()
    epilogue = Epilogue(_in_bf16(product.bias), output=torch.bfloat16)

    def run(*inputs: Quantized) -> Tensor:
        x = inputs[0]
        rows = x.codes.reshape(-1, x.codes.shape[-1])
        out = fp8_matmul(rows, codes, x.scale.reshape(-1), scale, epilogue)
        return out.reshape(*x.codes.shape[:-1], codes.shape[0])

    return Packed(run, codes.nbytes, scale.nbytes)


def build_w8(site: Site) -> Packed:
    """Build BF16 activations times an INT8 weight per output channel; BF16 output."""
    from explorer.kernels.triton.packed import pack_int8

    weight, _ = quantize_for_w8(require_product(site).weight)
    packed = pack_int8(weight)
    return _build_weight_only(site, packed, packed.codes.nbytes, packed.scale.nbytes)


def build_w4(site: Site) -> Packed:
    """Build BF16 activations times an INT4 weight in groups, two codes a byte; BF16 output."""
    from explorer.kernels.triton.packed import pack_int4

    packed = pack_int4(quantize(require_product(site).weight, weight_scheme_of("w4")))
    return _build_weight_only(site, packed, packed.codes.nbytes, packed.scale.nbytes)


def _build_weight_only(site: Site, packed: Any, weight_bytes: int, scale_bytes: int) -> Packed:
    from explorer.kernels.triton.epilogue import Epilogue
    from explorer.kernels.triton.weight_only import weight_only_matmul

    epilogue = Epilogue(_in_bf16(require_product(site).bias), output=torch.bfloat16)

    def run(*inputs: Tensor) -> Tensor:
        x = inputs[0]
        rows = x.reshape(-1, x.shape[-1])
        out = weight_only_matmul(rows if rows.stride(1) == 1 else rows.contiguous(), packed, epilogue)
        return out.reshape(*x.shape[:-1], out.shape[1])

    return Packed(run, weight_bytes, scale_bytes)


def _in_bf16(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.to(torch.bfloat16)


def _kernel(name: str, precision: str, takes: str, gives: str, build: Any, refuse: Any) -> Kernel:
    return Kernel(f"Triton {name}", precision, "cuda", LINEAR, takes, gives, build, refuse)


_REFUSE_INT8 = refuse_below((8, 0), "INT8 products")
_REFUSE_FP8 = refuse_below((8, 9), "FP8 products")
_REFUSE_W8 = refuse_below((8, 0), "products with INT8 weights")

KERNELS = (
    _kernel("int8 matmul", "int8", "int8:token", "fp32", build_int8, _REFUSE_INT8),
    _kernel("fp8 matmul", "fp8", "fp8_e4m3:token", "bf16", build_fp8, _REFUSE_FP8),
    _kernel("fp8 matmul e5m2 x e4m3", "fp8_e5m2", "fp8_e5m2:token", "bf16", build_fp8, _REFUSE_FP8),
    _kernel("int8 weight only", "w8", "bf16", "bf16", build_w8, _REFUSE_W8),
    _kernel("int4 weight only", "w4", "bf16", "bf16", build_w4, refuse_int4),
)
