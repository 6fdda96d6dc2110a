"""Weights of 4 and 8 bits under BF16 activations on NVIDIA GPUs: our own Triton kernels, and torch's for INT4.

``torch._weight_int8pack_mm`` is not among them: on CUDA it is no fast kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explorer.kernels.cpu import LINEAR, require_product
from explorer.kernels.cuda_triton import refuse_below
from explorer.kernels.kernel import Kernel
from explorer.kernels.layout import as_rows, contiguous
from explorer.kernels.site import Packed, Site
from explorer.kernels.stored import store_int4, store_int8
from explorer.measure.device import Device
from explorer.precision import weight_scheme_of

INT4_PRECISIONS = ("w4", "w4_g128", "w4_mse", "w4_hqq")
TRITON_GROUPS, TORCH_GROUPS = (32, 64, 128), (32, 64, 128, 256)
INNER_TILES = (8, 4, 2)
"""Tiles of 16 inputs that torch's INT4 kernel can pack together, the most first."""
MOST_ROWS = 64
"""Rows for which torch's INT4 kernel is made: it reads the whole weight again for every few of them."""


def refuse_int4(precision: str) -> Callable[[Site, Device], str]:
    """Return a refusal of what our INT4 kernel cannot take in a precision."""
    group = weight_scheme_of(precision).group or 1

    def refuse(site: Site, device: Device) -> str:
        if reason := refuse_below((8, 0), "products with INT4 weights")(site, device):
            return reason
        if group not in TRITON_GROUPS:
            return f"our products with INT4 weights need groups of 32, 64 or 128; these are of {group}"
        return _undivided(require_product(site).weight.shape[1], group)

    return refuse


def refuse_int4_by_torch(precision: str) -> Callable[[Site, Device], str]:
    """Return a refusal of what ``torch._weight_int4pack_mm`` cannot take in a precision."""
    group = weight_scheme_of(precision).group or 1

    def refuse(site: Site, device: Device) -> str:
        if site.product is None:
            return "weight-only INT4 needs a constant weight; this op multiplies two activations"
        width, depth = site.product.weight.shape
        if device.capability < (8, 0):
            return f"torch._weight_int4pack_mm needs an sm_80 GPU; this is sm_{device.sm}"
        if group not in TORCH_GROUPS:
            return f"torch._weight_int4pack_mm needs groups of 32, 64, 128 or 256; these are of {group}"
        if depth % (16 * INNER_TILES[-1]) or width % 8:
            return f"torch._weight_int4pack_mm needs K % 32 == 0 and N % 8 == 0; here {depth}, {width}"
        if site.rows > MOST_ROWS:
            return f"torch._weight_int4pack_mm is for up to {MOST_ROWS} rows; this op has {site.rows}"
        return _undivided(depth, group)

    return refuse


def _undivided(depth: int, group: int) -> str:
    return "" if depth % group == 0 else f"groups of {group} do not divide the {depth} inputs of this op"


def build_w8(site: Site) -> Packed:
    """Build BF16 activations times an INT8 weight per output channel; BF16 output."""
    from explorer.kernels.triton.packed import pack_int8

    weight, scale = store_int8(require_product(site).weight)
    return _build_by_triton(site, pack_int8(weight), weight.codes.nbytes, scale.nbytes)


def build_w4(precision: str) -> Callable[[Site], Packed]:
    """Return a builder of BF16 activations times an INT4 weight in a precision's groups; BF16 output."""

    def build(site: Site) -> Packed:
        from explorer.kernels.triton.packed import pack_int4

        stored = store_int4(require_product(site).weight, precision)
        return _build_by_triton(site, pack_int4(stored), stored.weight_bytes, stored.scale_bytes)

    return build


def _build_by_triton(site: Site, packed: Any, weight_bytes: int, scale_bytes: int) -> Packed:
    from explorer.kernels.triton.epilogue import Epilogue
    from explorer.kernels.triton.weight_only import weight_only_matmul

    bias = require_product(site).bias
    epilogue = Epilogue(None if bias is None else bias.to(torch.bfloat16), output=torch.bfloat16)

    def run(*inputs: Tensor) -> Tensor:
        x = inputs[0]
        rows = x.reshape(-1, x.shape[-1])
        out = weight_only_matmul(rows if rows.stride(1) == 1 else rows.contiguous(), packed, epilogue)
        return out.reshape(*x.shape[:-1], out.shape[1])

    return Packed(run, weight_bytes, scale_bytes)


def build_w4_by_torch(precision: str) -> Callable[[Site], Packed]:
    """Return a builder of ``torch._weight_int4pack_mm``: its product is rounded to BF16 before the bias is added."""

    def build(site: Site) -> Packed:
        product = require_product(site)
        stored = store_int4(product.weight, precision)
        pairs = (stored.codes[:, ::2] << 4 | stored.codes[:, 1::2]).contiguous()  # the even one in the high half
        tiles = next(count for count in INNER_TILES if product.weight.shape[1] % (16 * count) == 0)
        codes = torch._convert_weight_to_int4pack(pairs, tiles)
        zero = torch.zeros_like(stored.scale) if stored.zero is None else stored.zero
        scales, group, width = torch.stack((stored.scale.t(), zero.t()), -1).contiguous(), stored.group, len(pairs)
        bias = None if product.bias is None else product.bias.to(torch.bfloat16)

        def run(*inputs: Tensor) -> Tensor:
            x = inputs[0]
            out = torch._weight_int4pack_mm(x.reshape(-1, x.shape[-1]).contiguous(), codes, group, scales)
            return (out if bias is None else out.add_(bias)).reshape(*x.shape[:-1], width)

        return Packed(run, stored.weight_bytes, stored.scale_bytes)

    return build


def _kernel(name: str, precision: str, build: Any, refuse: Any, layout: Any = as_rows) -> Kernel:
    return Kernel(name, precision, "cuda", LINEAR, "bf16", "bf16", build, refuse, layout=layout)


KERNELS = (
    _kernel("Triton int8 weight only", "w8", build_w8, refuse_below((8, 0), "products with INT8 weights")),
    *(_kernel("Triton int4 weight only", name, build_w4(name), refuse_int4(name)) for name in INT4_PRECISIONS),
    *(
        _kernel("torch._weight_int4pack_mm", name, build_w4_by_torch(name), refuse_int4_by_torch(name), contiguous)
        for name in INT4_PRECISIONS
    ),
)
