"""Low-precision kernels of the CPU: INT8 with dynamic scales, and INT8 weights with BF16 activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from explorer.formats import Quantized, find_scale, quantize
from explorer.kernels import fused
from explorer.kernels.kernel import ADDEND, Kernel
from explorer.kernels.site import Packed, Product, Site, extend_by_addend
from explorer.measure.device import Device
from explorer.precision import weight_scheme_of

LINEAR = frozenset({"linear"})
CHANNEL = weight_scheme_of("int8")


class Epilogue(Protocol):
    """Returns ``product * row_scale * column_scale + bias + addend`` in FP32, summed in that order."""

    def __call__(
        self, product: Tensor, row_scale: Tensor, column_scale: Tensor, bias: Tensor | None, addend: Tensor | None
    ) -> Tensor: ...


def require_product(site: Site) -> Product:
    """Return the site's product; kernels whose ``refuse`` let the site through may rely on it."""
    assert site.product is not None
    return site.product


def scale_product(
    product: Tensor, row_scale: Tensor, column_scale: Tensor, bias: Tensor | None, addend: Tensor | None = None
) -> Tensor:
    """The plain-torch twin of :func:`explorer.kernels.fused.scale_product`, several passes, any device."""
    out = product.float().mul_(row_scale.unsqueeze(1)).mul_(column_scale)
    for term in (bias, addend):
        if term is not None:
            out.add_(term)
    return out


def build_int8_linear(epilogue: Epilogue) -> Callable[[Site], Packed]:
    """Return a builder of INT8 x INT8 -> INT32 by ``torch._int_mm``, then scales and bias by ``epilogue``.

    Input: INT8 codes with one scale per row. Weight: INT8, one scale per output channel, kept [out, in] because the
    product wants its second matrix column-major. The INT32 sums are exact.
    """

    def build(site: Site) -> Packed:
        product = require_product(site)
        weight = quantize(product.weight, CHANNEL)
        columns, column_scale = weight.codes.contiguous().t(), weight.scale.reshape(-1).contiguous()
        width, bias = product.weight.shape[0], None if product.bias is None else product.bias.contiguous()

        def run_added(x: Quantized, addend: Tensor | None) -> Tensor:
            rows = x.codes.reshape(-1, x.codes.shape[-1])
            out = epilogue(
                torch._int_mm(rows, columns),
                x.scale.reshape(-1),
                column_scale,
                bias,
                None if addend is None else addend.reshape(-1, width).contiguous(),
            )
            return out.reshape(*x.codes.shape[:-1], width)

        def run(*inputs: Quantized) -> Tensor:
            return run_added(inputs[0], None)

        return Packed(run, weight.codes.nbytes, weight.scale.nbytes, extend_by_addend(run_added))

    return build


def build_w8_linear(site: Site) -> Packed:
    """Build ``torch._weight_int8pack_mm``: BF16 input, INT8 weight, one BF16 scale per output channel.

    The scale is rounded to BF16 before the weight is quantised with it, so that no error comes from the scale.
    """
    product = require_product(site)
    weight, scale = quantize_for_w8(product.weight)
    codes = weight.codes.contiguous()
    bias = None if product.bias is None else product.bias.to(torch.bfloat16)

    def run(*inputs: Tensor) -> Tensor:
        x = inputs[0]
        out = torch._weight_int8pack_mm(x.reshape(-1, x.shape[-1]), codes, scale)
        return (out if bias is None else out.add_(bias)).reshape(*x.shape[:-1], codes.shape[0])

    return Packed(run, codes.nbytes, scale.nbytes)


def quantize_for_w8(weight: Tensor) -> tuple[Quantized, Tensor]:
    """Return ``weight`` [N, ...] as INT8 per output channel under scales that BF16 holds, and those scales [N]."""
    scale, _ = find_scale(weight, CHANNEL)
    scale = scale.to(torch.bfloat16)
    return quantize(weight, replace(CHANNEL, dynamic=False), scale.float()), scale.reshape(-1).contiguous()


def refuse_int8_linear(site: Site, device: Device) -> str:
    if site.product is None:
        return "the INT8 product needs a constant weight; this op multiplies two activations"
    return ""


def refuse_fused(site: Site, device: Device) -> str:
    return refuse_int8_linear(site, device) or ("" if fused.available() else "the fused loops need Numba")


def refuse_w8_linear(site: Site, device: Device) -> str:
    if site.product is None:
        return "weight-only INT8 needs a constant weight; this op multiplies two activations"
    depth = site.product.weight.shape[1]
    # torch 2.11 to 2.13: silently wrong at one row and a crash of the process at five rows.
    return "" if depth % 16 == 0 else f"torch._weight_int8pack_mm needs K % 16 == 0; this op has K = {depth}"


KERNELS = (
    Kernel(
        "torch._int_mm + fused",
        "int8",
        "cpu",
        LINEAR,
        "int8:token",
        "fp32",
        build_int8_linear(fused.scale_product),
        refuse_fused,
        fuses=ADDEND,
    ),
    Kernel(
        "torch._int_mm",
        "int8",
        "cpu",
        LINEAR,
        "int8:token",
        "fp32",
        build_int8_linear(scale_product),
        refuse_int8_linear,
        fuses=ADDEND,
    ),
    Kernel("torch._weight_int8pack_mm", "w8", "cpu", LINEAR, "bf16", "bf16", build_w8_linear, refuse_w8_linear),
)
