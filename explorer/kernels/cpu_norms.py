"""Our own layer norm of the CPU (:mod:`explorer.kernels.simd`), for what reads its result in codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explorer.graph import Ref
from explorer.kernels import simd
from explorer.kernels.kernel import Kernel
from explorer.kernels.layout import contiguous
from explorer.kernels.simd.layer_norm import LayerNorm
from explorer.kernels.site import Packed, Post, Site
from explorer.measure.device import Device

DEFAULTS: tuple[Any, ...] = (None, None, 1e-5)
"""What layer_norm takes for a weight, bias and eps that are not given."""


def build_layer_norm(site: Site) -> Packed:
    """Build the layer norm of the last dimension, which can write INT8 codes of each row, or static UINT8 codes."""
    weight, bias, eps = _parameters(site)
    norm = LayerNorm(site.op.args[1][0], weight, bias, eps)

    def extend(post: Post) -> Callable[..., Any] | None:
        return None if post.addend or post.activation else lambda x: norm(x, post)

    weight_bytes = sum(tensor.nbytes for tensor in (weight, bias) if tensor is not None)
    return Packed(lambda x: norm(x), weight_bytes, extend=extend)


def _parameters(site: Site) -> tuple[Tensor | None, Tensor | None, float]:
    given = site.op.args[2:5]
    weight, bias, eps = (*given, *DEFAULTS[len(given) :])

    def constant(arg: Any) -> Tensor | None:
        return site.constants[arg.name] if isinstance(arg, Ref) else None

    return constant(weight), constant(bias), float(eps)


def refuse_layer_norm(site: Site, device: Device) -> str:
    """Only a norm over the last dimension whose weight and bias are constants."""
    op = site.op
    if op.target is not torch.ops.aten.layer_norm.default or op.kwargs or len(site.inputs) != 1:
        return "our own layer norm needs a constant weight and bias"
    if not isinstance(op.args[0], Ref) or op.args[0].name not in site.inputs:
        return "our own layer norm needs an input that flows"
    if len(op.args[1]) != 1 or not isinstance(op.args[1][0], int) or op.args[1][0] < 1:
        return "our own layer norm is over the last dimension"
    return simd.missing(device)


NORM_KERNELS = {
    "layer_norm": Kernel(
        "explorer layer_norm",
        "fp32",
        "cpu",
        frozenset({"layer_norm"}),
        "fp32",
        "fp32",
        build_layer_norm,
        refuse_layer_norm,
        fuses=frozenset({"codes", "tokens"}),
        layout=contiguous,
    )
}
"""Norms whose readers all take codes, by kind. (FP32 in a recipe is torch's own call where nothing is taken in.)"""
