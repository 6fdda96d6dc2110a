"""Our own Triton products of codes as kernels of the table: INT8, dynamic and static, and FP8 on NVIDIA GPUs.

Triton is imported when a kernel is built, so this file costs nothing where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized, Scheme, quantize
from explorer.kernels import triton
from explorer.kernels.cpu import CHANNEL, LINEAR, require_product
from explorer.kernels.kernel import Kernel
from explorer.kernels.layout import as_rows, contiguous
from explorer.kernels.site import ACTIVATIONS, Packed, Post, Site, activation_of
from explorer.measure.device import Device
from explorer.precision import weight_scheme_of

Capability = tuple[int, int]
FUSES = frozenset({"addend", "codes", *ACTIVATIONS})
BLOCK = 128
"""Elements along the inputs that share a scale in ``fp8_block``."""
_STATIC = Scheme("uint8", symmetric=False, dynamic=False)


def refuse_below(capability: Capability, what: str, deepest: int | None = None) -> Callable[[Site, Device], str]:
    """Return a refusal of sites without a constant weight, of older GPUs, of machines without Triton, and of sums of
    more than ``deepest`` products."""

    def refuse(site: Site, device: Device) -> str:
        if site.product is None:
            return f"{what} need a constant weight; this op multiplies two activations"
        if device.capability < capability:
            return f"our {what} need an sm_{capability[0]}{capability[1]} GPU; this is sm_{device.sm}"
        depth = site.product.weight.shape[1]
        if deepest is not None and depth > deepest:
            return f"our {what} need K <= {deepest}, for sums of INT32; here {depth}"
        return triton.missing()

    return refuse


def refuse_fp8_blocks(site: Site, device: Device) -> str:
    if reason := refuse_below((8, 9), "FP8 products")(site, device):
        return reason
    depth = require_product(site).weight.shape[1]
    return "" if depth % BLOCK == 0 else f"blocks of {BLOCK} do not divide the {depth} inputs of this op"


def refuse_activation(name: str) -> Callable[[Site, Device], str]:
    """Return a refusal of ops that compute another activation, of older GPUs, and of machines without Triton."""

    def refuse(site: Site, device: Device) -> str:
        if activation_of(site.op) != name:
            return f"this kernel computes {name} alone"
        if device.capability < (8, 0):
            return f"our activations need an sm_80 GPU; this is sm_{device.sm}"
        return triton.missing()

    return refuse


def build_int8(site: Site) -> Packed:
    """Build the INT8 product with scales, bias and what follows in its epilogue; FP32 output, exact sums."""
    from explorer.kernels.triton.int8_matmul import int8_matmul

    product = require_product(site)
    weight = quantize(product.weight, CHANNEL)
    codes, scale = weight.codes.contiguous(), weight.scale.reshape(-1).contiguous()

    def multiply(x: Quantized, epilogue: Any) -> Tensor:
        return int8_matmul(_rows(x), codes, x.scale.reshape(-1), scale, epilogue)

    return _packed_int8(multiply, codes, scale, product.bias)


def build_int8_static(site: Site) -> Packed:
    """Build the INT8 product of UINT8 activations under one scale and zero point, which it reads where they lie."""
    from explorer.kernels.triton.int8_matmul import Static, int8_matmul

    product = require_product(site)
    weight = quantize(product.weight, CHANNEL)
    codes, scale = weight.codes.contiguous(), weight.scale.reshape(-1).contiguous()
    sums = codes.sum(1, dtype=torch.int32)

    def multiply(x: Quantized, epilogue: Any) -> Tensor:
        assert x.zero_point is not None
        return int8_matmul(_rows(x), codes, x.scale, scale, epilogue, static=Static(x.zero_point, sums))

    return _packed_int8(multiply, codes, scale, product.bias)


def _rows(x: Quantized) -> Tensor:
    return x.codes.reshape(-1, x.codes.shape[-1])


def _packed_int8(multiply: Callable[..., Tensor], codes: Tensor, scale: Tensor, bias: Tensor | None) -> Packed:
    """The kernel whose product is ``multiply(x, epilogue)`` [M, N], with everything that its epilogue can do."""
    from explorer.kernels.triton.epilogue import Epilogue

    def call(post: Post, zero_point: Tensor | None, x: Quantized, addend: Any = None) -> Any:
        shape = (*x.codes.shape[:-1], codes.shape[0])
        if post.codes is None:
            return multiply(x, Epilogue(bias, post.activation, addend)).reshape(shape)
        marks = torch.full((), post.codes.scale, dtype=torch.float32, device=codes.device)
        out = multiply(x, Epilogue(bias, post.activation, addend, codes=post.codes, marks=marks))
        return Quantized(out.reshape(shape), marks, zero_point, _STATIC, torch.float32)

    def extend(post: Post) -> Callable[..., Any]:
        zero_point = None if post.codes is None else torch.full((), float(post.codes.zero_point), device=codes.device)
        return partial(call, post, zero_point)

    return Packed(extend(Post()), codes.nbytes, scale.nbytes, extend)


def build_fp8(precision: str) -> Callable[[Site], Packed]:
    """Return a builder of the FP8 product under a precision's scales, of rows or of blocks; BF16 output."""

    def build(site: Site) -> Packed:
        from explorer.kernels.triton.epilogue import Epilogue
        from explorer.kernels.triton.fp8_matmul import fp8_matmul

        product = require_product(site)
        weight = quantize(product.weight, weight_scheme_of(precision))
        by_blocks = weight.scheme.granularity == "square"
        codes, scale = weight.codes.contiguous(), weight.scale.contiguous()
        scale = scale if by_blocks else scale.reshape(-1)
        bias = None if product.bias is None else product.bias.to(torch.bfloat16)
        epilogue = Epilogue(bias, output=torch.bfloat16)

        def run(*inputs: Quantized) -> Tensor:
            x = inputs[0]
            of_rows = x.scale.reshape(-1, x.scale.shape[-1]) if by_blocks else x.scale.reshape(-1)
            out = fp8_matmul(_rows(x), codes, of_rows, scale, epilogue)
            return out.reshape(*x.codes.shape[:-1], codes.shape[0])

        return Packed(run, codes.nbytes, scale.nbytes)

    return build


def build_activation(name: str) -> Callable[[Site], Packed]:
    """Return a builder of an activation alone, by the function that the products' epilogues use."""

    def build(site: Site) -> Packed:
        from explorer.kernels.triton.activations import activate_tensor

        return Packed(lambda x: activate_tensor(x, name))

    return build


def _kernel(name: str, precision: str, takes: str, gives: str, build: Any, refuse: Any, **more: Any) -> Kernel:
    return Kernel(f"Triton {name}", precision, "cuda", LINEAR, takes, gives, build, refuse, layout=as_rows, **more)


_REFUSE_INT8 = refuse_below((8, 0), "INT8 products", 2**31 // 127**2)
_REFUSE_STATIC = refuse_below((8, 0), "INT8 products of static activations", 2**31 // (255 * 127))
_REFUSE_FP8 = refuse_below((8, 9), "FP8 products")

KERNELS = (
    _kernel("int8 matmul", "int8", "int8:token", "fp32", build_int8, _REFUSE_INT8, fuses=FUSES),
    _kernel("int8 matmul", "int8_static", "uint8:static", "fp32", build_int8_static, _REFUSE_STATIC, fuses=FUSES),
    _kernel("fp8 matmul", "fp8", "fp8_e4m3:token", "bf16", build_fp8("fp8"), _REFUSE_FP8),
    _kernel("fp8 matmul e5m2 x e4m3", "fp8_e5m2", "fp8_e5m2:token", "bf16", build_fp8("fp8_e5m2"), _REFUSE_FP8),
    _kernel(
        "fp8 matmul by blocks", "fp8_block", "fp8_e4m3:block128", "bf16", build_fp8("fp8_block"), refuse_fp8_blocks
    ),
)
ACTIVATION_KERNELS = {
    name: Kernel(
        f"Triton {name}",
        "fp32",
        "cuda",
        frozenset({name.partition("_")[0]}),
        "fp32",
        "fp32",
        build_activation(name),
        refuse_activation(name),
        layout=contiguous,
    )
    for name in ACTIVATIONS
}
"""Activations right after a product that takes them in, by name."""
