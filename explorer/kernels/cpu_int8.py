"""Our own INT8 kernels of the CPU (:mod:`explorer.kernels.simd`): linear and convolution, dynamic and static scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor

from explorer.formats import Quantized, quantize
from explorer.kernels import simd
from explorer.kernels.cpu import CHANNEL, LINEAR, refuse_int8_linear, require_product
from explorer.kernels.kernel import ADDEND, Kernel, cannot
from explorer.kernels.layout import contiguous, dense
from explorer.kernels.simd.elementwise import activate
from explorer.kernels.simd.int8_conv import Int8Conv, layout_of, refuse_shape
from explorer.kernels.simd.int8_matmul import Int8Linear
from explorer.kernels.simd.window import read_window
from explorer.kernels.site import ACTIVATIONS, Packed, Post, Site, activation_of
from explorer.measure.device import Device

NAME = "explorer VNNI int8"
CONVOLUTIONS = frozenset(("conv1d", "conv2d"))
FEW_NUMBERS, LONG_WEIGHT = 1 << 16, 1 << 18
"""Numbers to cast up to which, and numbers of a weight from which on, a product casts its rows itself."""
FUSES = ADDEND | frozenset(ACTIVATIONS) | {"codes"}


class Int8Op(Protocol):
    """A product with a packed weight and everything that may follow it."""

    def __call__(self, x: Quantized, addend: Any = None, post: Post = ...) -> Tensor | Quantized: ...


def build_linear(site: Site) -> Packed:
    """Build an INT8 product of rows: INT8 codes with one scale per row, or UINT8 codes under one static scale."""
    product = require_product(site)
    weight = quantize(product.weight, CHANNEL)
    op = Int8Linear(weight.codes, weight.scale.reshape(-1), product.bias)
    return replace(_pack(op, weight), of_floats=lambda post: None if post.tokens else _bound(op.of_floats, post))


def build_conv(site: Site) -> Packed:
    """Build an INT8 convolution of UINT8 codes under one static scale, or of INT8 codes with one scale."""
    product = require_product(site)
    weight = quantize(product.weight, CHANNEL)
    return _pack(Int8Conv(weight.codes, weight.scale.reshape(-1), product.bias, product.settings), weight)


def _pack(op: Int8Op, weight: Quantized) -> Packed:
    return Packed(lambda x: op(x), weight.codes.nbytes, weight.scale.nbytes, lambda post: _bound(op, post))


def _bound(op: Callable[..., Any], post: Post) -> Callable[..., Any]:
    """The op with what follows it fixed."""
    if post.addend:
        return lambda x, addend: op(x, addend, post)
    return lambda x: op(x, None, post)


def casts_few_rows(site: Site) -> bool:
    """Whether each thread can as well cast all rows for itself: few numbers, for a weight that takes long to read."""
    weight = require_product(site).weight
    return 0 < site.rows * weight.shape[1] <= FEW_NUMBERS and weight.numel() >= LONG_WEIGHT


def build_activation(site: Site) -> Packed:
    """Build the activation that the site's op computes, bit for bit as the products above compute it."""
    name = activation_of(site.op)
    return Packed(lambda x: activate(x, name))


def refuse_linear(site: Site, device: Device) -> str:
    return refuse_int8_linear(site, device) or simd.missing(device)


def refuse_conv(site: Site, device: Device) -> str:
    if reason := refuse_int8_linear(site, device) or simd.missing(device):
        return reason
    product = require_product(site)
    shape = product.weight.shape
    if len(site.shapes[product.x]) != len(shape):
        return "the INT8 convolution needs an input with a batch dimension"
    return refuse_shape(shape, read_window(shape[2:], product.settings).groups)


def refuse_activation(site: Site, device: Device) -> str:
    return simd.missing(device)


def conv_layout(site: Site) -> str:
    product = require_product(site)
    shape = product.weight.shape
    return layout_of(shape, read_window(shape[2:], product.settings).groups)


def _kernel(precision: str, kinds: frozenset[str], takes: str) -> Kernel:
    build, refuse, layout = (
        (build_linear, refuse_linear, contiguous) if kinds is LINEAR else (build_conv, refuse_conv, conv_layout)
    )
    fuses = FUSES | {"tokens"} if kinds is LINEAR else FUSES
    casts = casts_few_rows if takes == "int8:token" else cannot
    return Kernel(NAME, precision, "cpu", kinds, takes, "fp32", build, refuse, fuses=fuses, layout=layout, casts=casts)


KERNELS = (
    _kernel("int8", LINEAR, "int8:token"),
    _kernel("int8", CONVOLUTIONS, "int8:tensor"),
    _kernel("int8_static", LINEAR, "uint8:static"),
    _kernel("int8_static", CONVOLUTIONS, "uint8:static"),
)
ACTIVATION_KERNELS = {
    name: Kernel(
        f"explorer {name}",
        "fp32",
        "cpu",
        frozenset({name}),
        "fp32",
        "fp32",
        build_activation,
        refuse_activation,
        layout=dense,
    )
    for name in ACTIVATIONS
    if name != "relu"
}
"""Activations right after a product that takes them in, by name. (There is one ReLU only: torch's.)"""
