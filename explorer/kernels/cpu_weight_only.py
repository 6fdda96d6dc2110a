"""Kernels of the CPU for weights in fewer bits than their activations: INT8 and INT4 with BF16, FP16 with FP32."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from explorer.kernels.cpu import LINEAR, require_product
from explorer.kernels.kernel import Kernel, cannot
from explorer.kernels.layout import CONTIGUOUS, PADDED, as_rows, contiguous
from explorer.kernels.simd import weight_only
from explorer.kernels.site import Packed, Post, Site
from explorer.kernels.stored import store_int4, store_int8
from explorer.measure.device import Device
from explorer.precision import weight_scheme_of

Refuse = Callable[[Site, Device], str]
Layout = Callable[[Site], str]

INT4_PRECISIONS = ("w4", "w4_mse", "w4_hqq", "w4_g128")
OWN = "AVX512-VNNI int8 weight", "AVX512-VNNI int4 weight"
TORCH_INT4_GROUPS = (32, 64, 128, 256)


def build_w8(site: Site) -> Packed:
    """Build ``torch._weight_int8pack_mm``: BF16 input, INT8 weight, one BF16 scale per output channel.

    The scale is rounded to BF16 before the weight is quantised with it, so that no error comes from the scale.
    """
    product = require_product(site)
    weight, scale = store_int8(product.weight)
    codes = weight.codes.contiguous()

    def multiply(x: Tensor) -> Tensor:
        return torch._weight_int8pack_mm(x, codes, scale)

    return _packed(multiply, codes.shape[0], _in_bf16(product.bias), codes.nbytes, scale.nbytes)


def build_w4(precision: str) -> Callable[[Site], Packed]:
    """Return a builder of ``torch._weight_int4pack_mm_for_cpu``: BF16 input and output, groups along the inputs.

    Its product is rounded to BF16 before the bias is added, which the emulation does once, after both.
    """

    def build(site: Site) -> Packed:
        product = require_product(site)
        stored = store_int4(product.weight, precision)
        codes = torch.ops.aten._convert_weight_to_int4pack_for_cpu(stored.codes.int(), 1)
        zero = torch.zeros_like(stored.scale) if stored.zero is None else stored.zero
        scales, group = torch.stack((stored.scale.t(), zero.t()), -1).contiguous(), stored.group

        def multiply(x: Tensor) -> Tensor:
            dense = x.contiguous()  # rows with gaps would be refused
            return torch.ops.aten._weight_int4pack_mm_for_cpu(dense, codes, group, scales)  # type: ignore[no-any-return]

        return _packed(multiply, stored.codes.shape[0], _in_bf16(product.bias), stored.weight_bytes, stored.scale_bytes)

    return build


def build_own_w8(site: Site) -> Packed:
    """Build our own product with an INT8 weight (:mod:`explorer.kernels.simd.weight_only` tells its arithmetic)."""
    product = require_product(site)
    weight, scale = store_int8(product.weight)
    packed = weight_only.pack_int8(weight.codes, scale, _in_bf16(product.bias))
    return _own(packed, weight.codes.nbytes, scale.nbytes)


def build_own_w4(precision: str) -> Callable[[Site], Packed]:
    """Return a builder of our own product with an INT4 weight in groups."""

    def build(site: Site) -> Packed:
        product = require_product(site)
        stored = store_int4(product.weight, precision)
        packed = weight_only.pack_int4(stored, _in_bf16(product.bias))
        return _own(packed, stored.weight_bytes, stored.scale_bytes)

    return build


def _own(packed: weight_only.PackedWeight, weight_bytes: int, scale_bytes: int) -> Packed:
    """Our own product, of rows in BF16, and of few in FP32, which it rounds itself."""

    def run(x: Tensor) -> Tensor:
        return weight_only.matmul(x, packed)

    return Packed(run, weight_bytes, scale_bytes, of_floats=lambda post: run if post == Post() else None)


def rounds_few_rows(site: Site) -> bool:
    """Whether our own product takes its rows in FP32."""
    return 0 < site.rows < weight_only.MANY_ROWS and require_product(site).weight.numel() >= weight_only.LONG_WEIGHT


def build_w16(site: Site) -> Packed:
    """Build ``quantized::linear_dynamic_fp16``: FP32 input and output, weight held in FP16 (too large: 65504)."""
    product = require_product(site)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that values were saturated; the precision's description says so too
        weight = torch.ops.quantized.linear_prepack_fp16(product.weight.float().contiguous(), product.bias)
    return Packed(lambda x: multiply_fp16_weight(x, weight), product.weight.numel() * 2)


def multiply_fp16_weight(x: Tensor, weight: Any) -> Tensor:
    """x [..., K] FP32 times a weight that ``quantized::linear_prepack_fp16`` packed with its bias."""
    return torch.ops.quantized.linear_dynamic_fp16(x, weight)  # type: ignore[no-any-return]


def _packed(
    multiply: Callable[[Tensor], Tensor], width: int, bias: Tensor | None, weight_bytes: int, scale_bytes: int
) -> Packed:
    """A product of rows, with the input's other dimensions put back."""

    def run(x: Tensor) -> Tensor:
        out = multiply(x.reshape(-1, x.shape[-1]))
        return (out if bias is None else out.add_(bias)).reshape(*x.shape[:-1], width)

    return Packed(run, weight_bytes, scale_bytes)


def _in_bf16(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach().to(torch.bfloat16)


def _refuse_no_weight(site: Site, what: str) -> str:
    return "" if site.product is not None else f"{what} needs a constant weight; this op multiplies two activations"


def refuse_w8(site: Site, device: Device) -> str:
    if reason := _refuse_no_weight(site, "weight-only INT8"):
        return reason
    depth = require_product(site).weight.shape[1]
    # torch 2.11 to 2.13: silently wrong at one row and a crash of the process at five rows.
    return "" if depth % 16 == 0 else f"torch._weight_int8pack_mm needs K % 16 == 0; this op has K = {depth}"


def refuse_w4(precision: str) -> Callable[[Site, Device], str]:
    """Return a refusal of weights that torch's INT4 kernel cannot hold, and of a torch without it."""
    group = weight_scheme_of(precision).group or 0

    def refuse(site: Site, device: Device) -> str:
        if reason := _refuse_no_weight(site, "weight-only INT4"):
            return reason
        if not has_int4_kernel():
            return "this torch has no _weight_int4pack_mm_for_cpu"
        width, depth = require_product(site).weight.shape
        if depth % group:
            return f"groups of {group} do not divide the {depth} inputs of this op"
        if width % 16:
            return f"torch._weight_int4pack_mm_for_cpu needs N % 16 == 0; this op has N = {width}"
        return "" if group in TORCH_INT4_GROUPS else f"torch's INT4 kernel has no groups of {group}"

    return refuse


def refuse_own(precision: str) -> Callable[[Site, Device], str]:
    """Return a refusal of sites that our own kernels do not serve: groups that do not divide the inputs."""
    group = weight_scheme_of(precision).group or 32

    def refuse(site: Site, device: Device) -> str:
        if reason := _refuse_no_weight(site, "a weight-only product") or weight_only.refuse_device(device):
            return reason
        depth = require_product(site).weight.shape[1]
        return f"groups of {group} do not divide the {depth} inputs of this op" if _is_int4(precision, depth) else ""

    def _is_int4(precision: str, depth: int) -> bool:
        return precision != "w8" and bool(depth % group)

    return refuse


def refuse_w16(site: Site, device: Device) -> str:
    return _refuse_no_weight(site, "an FP16 weight") or why_no_fp16_weights()


@cache
def has_int4_kernel() -> bool:
    """Whether this torch has its INT4 weight-only kernel for the CPU."""
    return all(
        hasattr(torch.ops.aten, name) for name in ("_weight_int4pack_mm_for_cpu", "_convert_weight_to_int4pack_for_cpu")
    )


@cache
def why_no_fp16_weights() -> str:
    """Return why torch's product with FP16 weights cannot run here, or nothing: found out by running it once.

    The operator is deprecated and served by some engines only, so its presence alone says nothing.
    """
    try:
        weight = torch.ops.quantized.linear_prepack_fp16(torch.ones(16, 16), None)
        out = multiply_fp16_weight(torch.ones(2, 16), weight)
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return f"quantized::linear_dynamic_fp16 cannot run on this torch's engine: {first[:120]}"
    return "" if torch.equal(out, torch.full((2, 16), 16.0)) else "quantized::linear_dynamic_fp16 gives wrong sums here"


def own_w8_layout(site: Site) -> str:
    return PADDED if weight_only.missing_inputs(require_product(site).weight.shape[1]) else CONTIGUOUS


def _kernel(name: str, precision: str, build: Callable[[Site], Packed], refuse: Refuse, layout: Layout) -> Kernel:
    casts = rounds_few_rows if name in OWN else cannot
    return Kernel(name, precision, "cpu", LINEAR, "bf16", "bf16", build, refuse, layout=layout, casts=casts)


KERNELS = (
    _kernel(OWN[0], "w8", build_own_w8, refuse_own("w8"), own_w8_layout),
    _kernel("torch._weight_int8pack_mm", "w8", build_w8, refuse_w8, as_rows),
    *(
        kernel
        for name in INT4_PRECISIONS
        for kernel in (
            _kernel(OWN[1], name, build_own_w4(name), refuse_own(name), contiguous),
            _kernel("torch._weight_int4pack_mm_for_cpu", name, build_w4(name), refuse_w4(name), contiguous),
        )
    ),
    Kernel(
        "quantized::linear_dynamic_fp16", "w16", "cpu", LINEAR, "fp32", "fp32", build_w16, refuse_w16, layout=contiguous
    ),
)
