"""Sums of tensors that flow as static codes: a residual connection that is stored in eight bits."""

from __future__ import annotations

from typing import Any

import torch

from explorer.formats import Quantized
from explorer.graph import Ref
from explorer.kernels.carriers import as_float
from explorer.kernels.kernel import Kernel
from explorer.kernels.site import Packed, Site
from explorer.measure.device import Device


def refuse_add(site: Site, device: Device) -> str:
    """Only a plain sum of two tensors of one shape, both of which flow, can be read from codes."""
    op = site.op
    if op.target is not torch.ops.aten.add.Tensor or op.kwargs or not all(isinstance(arg, Ref) for arg in op.args):
        return "only a plain sum of two tensors can read static codes"
    shapes = {site.shapes.get(name) for name in site.inputs}
    if len(site.inputs) != 2 or len(shapes) != 1:
        return "a sum from static codes needs two different tensors of one shape"
    return ""


def build_add(site: Site) -> Packed:
    """Build the FP32 sum of two tensors, each in FP32 or as UINT8 codes under its static scale."""

    def run(left: Any, right: Any) -> Any:
        return value_of(left) + value_of(right)

    return Packed(run)


def value_of(x: Any) -> Any:
    """The FP32 values of a tensor or of codes: (code - zero_point) * scale, as a fused epilogue computes them."""
    return as_float(x) if isinstance(x, Quantized) else x


KERNELS = (
    Kernel("sum from uint8", "int8_static", "any", frozenset({"add"}), "uint8:static", "fp32", build_add, refuse_add),
)
