"""Ops between products that read static codes as they are: residual sums, and the largest of a window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized
from explorer.graph import Ref
from explorer.kernels import fused
from explorer.kernels.carriers import as_float
from explorer.kernels.kernel import Kernel
from explorer.kernels.layout import CHANNELS_LAST
from explorer.kernels.site import Packed, Site
from explorer.measure.device import Device

Window = tuple[int, int]
DEFAULTS: tuple[Any, ...] = ((), 0, 1, False)
"""What max_pool2d takes for a stride, padding, dilation and last part of a window that are not given."""
Windows = tuple[Window, Window, Window, Window, bool]
"""The window's size, stride, padding and dilation, and whether a last part of a window counts, as torch has them."""


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
        return _value_of(left) + _value_of(right)

    return Packed(run)


def _value_of(x: Any) -> Any:
    """The FP32 values of a tensor or of codes: (code - zero_point) * scale, as a fused epilogue computes them."""
    return as_float(x) if isinstance(x, Quantized) else x


def refuse_max_pool(site: Site, device: Device) -> str:
    """Only a pool of [n, c, h, w], whose settings are all whole numbers, is done on codes."""
    if site.op.target is not torch.ops.aten.max_pool2d.default or site.op.kwargs or len(site.inputs) != 1:
        return "only a plain max_pool2d can be done on static codes"
    return "" if len(site.shapes[site.inputs[0]]) == 4 else "a pool of static codes needs a batch dimension"


def refuse_compiled_max_pool(site: Site, device: Device) -> str:
    """The compiled loop needs Numba."""
    return refuse_max_pool(site, device) or ("" if fused.available() else "the fused loops need Numba")


def build_max_pool(pool: Callable[[Tensor, Windows], Tensor]) -> Callable[[Site], Packed]:
    """Return a builder of the largest code of every window: the codes of the largest values, under the same scale."""

    def build(site: Site) -> Packed:
        given = site.op.args[2:]
        window = _pair(site.op.args[1])
        stride, padding, dilation, ceil = (*given, *DEFAULTS[len(given) :])
        windows = window, _pair(stride or window), _pair(padding), _pair(dilation), bool(ceil)

        def run(x: Quantized) -> Quantized:
            return replace(x, codes=pool(x.codes, windows))

        return Packed(run)

    return build


def _pair(value: Any) -> Window:
    both = (value, value) if isinstance(value, int) else tuple(value)
    return (both[0], both[-1])


def pool_by_torch(codes: Tensor, windows: Windows) -> Tensor:
    """torch pools no UINT8 tensor of more than 255 rows, so the codes go through FP32, which holds them all."""
    return torch.nn.functional.max_pool2d(codes.float(), *windows).to(torch.uint8)


def pool_compiled(codes: Tensor, windows: Windows) -> Tensor:
    """The same in one pass over bytes, channels last. codes: [n, c, h, w] UINT8; so is the result."""
    from explorer.kernels.pool_loops import max_pool

    outline = torch.nn.functional.max_pool2d(torch.empty(codes.shape, device="meta"), *windows)
    out = torch.empty(outline.shape, dtype=torch.uint8, memory_format=torch.channels_last)
    max_pool(codes.contiguous(memory_format=torch.channels_last), out, *windows[:4])
    return out


_POOLS, _CODES = frozenset({"max_pool2d"}), "uint8:static"

KERNELS = (
    Kernel("sum from uint8", "int8_static", "any", frozenset({"add"}), _CODES, "fp32", build_add, refuse_add),
    Kernel(
        "max of uint8, compiled", "int8_static", "cpu", _POOLS, _CODES, _CODES,
        build_max_pool(pool_compiled), refuse_compiled_max_pool, layout=lambda site: CHANNELS_LAST,
    ),
    Kernel(
        "max of uint8", "int8_static", "any", _POOLS, _CODES, _CODES, build_max_pool(pool_by_torch), refuse_max_pool
    ),
)  # fmt: skip
