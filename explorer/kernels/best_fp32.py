"""FP32 products through oneDNN with weights packed beforehand: what *best FP32*, the honest baseline, is made of.

They are no part of the table of kernels: FP32 in a recipe is torch's own call, to which quality is compared. Sums
here differ from it in their order, by some units of FP32's last place of the largest terms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from explorer.kernels.cpu import LINEAR, require_product
from explorer.kernels.kernel import Kernel
from explorer.kernels.layout import as_rows, channels_last
from explorer.kernels.onednn import conv_settings, find_fault, refusals
from explorer.kernels.site import Packed, Post, Site

FUSES = frozenset(("addend", "relu"))
CONV2D = frozenset(("conv2d",))
Call = Callable[[Tensor, str, Tensor | None], Tensor]
"""Of an input, an activation in oneDNN's word for it, and a tensor to add first, where there is one."""


def build_linear(site: Site) -> Packed:
    """Build ``mkldnn::_linear_pointwise`` with a weight packed for this number of rows."""
    product = require_product(site)
    weight = torch.ops.mkldnn._reorder_linear_weight(product.weight.float().contiguous(), site.rows)
    bias, width = product.bias, product.weight.shape[0]

    def call(x: Tensor, activation: str, addend: Tensor | None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if addend is None:
            out = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], "")
        else:
            other = addend.reshape(-1, width).contiguous()
            out = torch.ops.mkldnn._linear_pointwise.binary(rows, other, weight, bias, "add")
            out = out.relu_() if activation == "relu" else out
        return out.reshape(*x.shape[:-1], width)  # type: ignore[no-any-return]

    return _packed(call, product.weight.numel() * 4)


def build_conv(site: Site) -> Packed:
    """Build ``mkldnn::_convolution_pointwise`` with a packed weight, channels-last in and out."""
    product = require_product(site)
    settings = conv_settings(product)
    assert settings is not None
    places = [list(settings.padding), list(settings.stride), list(settings.dilation), settings.groups]
    shape, order = list(site.shapes[product.x]), torch.channels_last
    weight = torch.ops.mkldnn._reorder_convolution_weight(product.weight.float().contiguous(), *places, shape)
    convolve, bias = torch.ops.mkldnn._convolution_pointwise, product.bias

    def call(x: Tensor, activation: str, addend: Tensor | None) -> Tensor:
        x = x.contiguous(memory_format=order)
        if addend is None:
            return convolve(x, weight, bias, *places, activation, [], "")  # type: ignore[no-any-return]
        other, after = addend.contiguous(memory_format=order), activation if activation != "none" else None
        return convolve.binary(x, other, weight, bias, *places, "add", 1.0, after, [], None)  # type: ignore[no-any-return]

    return _packed(call, product.weight.numel() * 4)


def _packed(call: Call, weight_bytes: int) -> Packed:
    def extend(post: Post) -> Callable[..., Any] | None:
        if post.codes is not None or post.activation not in ("", "relu"):
            return None
        activation = post.activation or "none"
        if post.addend:
            return lambda x, addend: call(x, activation, addend)
        return lambda x: call(x, activation, None)

    return Packed(lambda x: call(x, "none", None), weight_bytes, extend=extend)


@cache
def why_none() -> str:
    """Return why oneDNN's packed FP32 products cannot be used here, or nothing."""
    return find_fault("packed FP32", _is_right)


def _is_right() -> bool:
    weight = torch.ops.mkldnn._reorder_linear_weight(torch.ones(16, 16), 2)
    out = torch.ops.mkldnn._linear_pointwise(torch.ones(2, 16), weight, None, "none", [], "")
    return torch.equal(out, torch.full((2, 16), 16.0))


refuse_linear, refuse_conv = refusals("packed FP32", lambda: why_none())


def _kernel(name: str, kinds: frozenset[str], build: Callable[[Site], Packed], refuse: Any) -> Kernel:
    layout = channels_last if kinds is CONV2D else as_rows
    return Kernel(name, "fp32", "cpu", kinds, "fp32", "fp32", build, refuse, fuses=FUSES, layout=layout)


KERNELS = (
    _kernel("oneDNN packed linear", LINEAR, build_linear, refuse_linear),
    _kernel("oneDNN packed conv, channels_last", CONV2D, build_conv, refuse_conv),
)
