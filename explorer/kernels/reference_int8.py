"""The exact twins of INT8 products on static codes: integer sums, then each step of the epilogue rounded to FP32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from explorer.formats import Quantized, quantize
from explorer.kernels.cpu import CHANNEL, require_product
from explorer.kernels.kernel import CONV_KINDS
from explorer.kernels.site import Packed, Site


def exact_dtype(weight: Tensor, largest: int) -> torch.dtype:
    """Return a float type in which sums over ``weight[0]`` of codes up to ``largest`` times INT8 codes are exact.

    FP32 holds every integer up to 2**24.
    """
    return torch.float32 if weight[0].numel() * largest * 127 < 2**24 else torch.float64


def build_static(site: Site) -> Packed:
    """Build a linear or convolution of UINT8 codes under one static scale with an INT8 weight per output channel.

    f = float(sum of (code - zero_point) * weight code); f *= scale; f *= weight scale; f += bias. A convolution's
    padding is the value 0.0, the code ``zero_point``.
    """
    product = require_product(site)
    weight = quantize(product.weight, CHANNEL)
    dtype = exact_dtype(product.weight, 255)
    codes, convolves = weight.codes.to(dtype), site.op.kind in CONV_KINDS
    per_channel = (-1, *[1] * (product.weight.dim() - 2)) if convolves else (-1,)
    column_scale = weight.scale.reshape(per_channel)
    bias = None if product.bias is None else product.bias.reshape(per_channel)
    multiply = _convolve(site, codes) if convolves else lambda x: x @ codes.t()

    def run(x: Quantized) -> Tensor:
        assert x.zero_point is not None
        sums = multiply(x.codes.to(dtype) - x.zero_point.to(dtype)).float()
        out: Tensor = sums * x.scale * column_scale
        return out if bias is None else out + bias

    return Packed(run, weight.codes.nbytes, weight.scale.nbytes)


def _convolve(site: Site, codes: Tensor) -> Callable[[Tensor], Tensor]:
    settings = require_product(site).settings
    return lambda x: site.op.target(x, codes, None, *settings)
