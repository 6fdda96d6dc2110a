"""INT8 kernels of the CPU with dynamic scales, through torch's own product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from explorer.formats import Quantized, quantize
from explorer.kernels import fused
from explorer.kernels.kernel import ADDEND, Kernel
from explorer.kernels.layout import as_rows
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


def refuse_int8_linear(site: Site, device: Device) -> str:
    if site.product is None:
        return "the INT8 product needs a constant weight; this op multiplies two activations"
    return ""


def refuse_fused(site: Site, device: Device) -> str:
    return refuse_int8_linear(site, device) or ("" if fused.available() else "the fused loops need Numba")


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
        layout=as_rows,
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
        layout=as_rows,
    ),
)
