"""Emulation: what a low-precision product computes, in FP32 or exact integers. The twin of every real kernel.

Operands hold exactly the values of their format; products are added in FP32 (integers: exactly); the result is rounded
once to the output's format. Nothing here is fast, and none of it is ever shown as a real kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from explorer.formats import BlockSpec, Quantized, Scheme, find_format, quantize, round_to
from explorer.kernels.carriers import NATIVE_DTYPES, as_float
from explorer.kernels.cpu import CHANNEL, require_product, scale_product
from explorer.kernels.kernel import CONV_KINDS, MATRIX_KINDS, PRODUCT_KINDS, Kernel
from explorer.kernels.reference_int8 import build_static
from explorer.kernels.site import Packed, Product, Site, bind
from explorer.kernels.stored import store_int4, store_int8
from explorer.measure.device import Device
from explorer.precision import BLOCK_PRECISIONS, Precision, weight_scheme_of

LINEAR = frozenset({"linear"})
TWO_ACTIVATIONS = frozenset({"matmul", "attention"})
FP8_CHANNEL = weight_scheme_of("fp8")
FP8_TENSOR, FP8_SQUARES = weight_scheme_of("fp8_tensor"), weight_scheme_of("fp8_block")


def rounded_weights(format_: str, saturate: bool = False) -> Callable[[Product], tuple[Tensor, int, int]]:
    """Return a function giving a weight rounded to a plain float format, its bytes and the bytes of its scales."""

    def weigh(product: Product) -> tuple[Tensor, int, int]:
        weight = round_to(product.weight, format_, saturate=saturate)
        return weight, weight.numel() * (4 if format_ == "tf32" else 2), 0

    return weigh


def scaled_weights(scheme: Scheme) -> Callable[[Product], tuple[Tensor, int, int]]:
    """Return a function giving a weight as ``scheme`` holds it; [out, ...] is flattened to rows."""

    def weigh(product: Product) -> tuple[Tensor, int, int]:
        rows = product.weight.reshape(product.weight.shape[0], -1)
        record = quantize(rows, scheme)
        return (
            record.dequantize().reshape(product.weight.shape),
            record.nbytes - record.scale_bytes,
            record.scale_bytes,
        )

    return weigh


def int4_weights(precision: str) -> Callable[[Product], tuple[Tensor, int, int]]:
    """Return a function giving a weight as a precision of 4-bit groups stores it; [out, ...] is flattened to rows."""

    def weigh(product: Product) -> tuple[Tensor, int, int]:
        stored = store_int4(product.weight.reshape(product.weight.shape[0], -1), precision)
        return stored.values().reshape(product.weight.shape), stored.weight_bytes, stored.scale_bytes

    return weigh


def block_weights(scheme: Scheme) -> Callable[[Product], tuple[Tensor, int, int]]:
    """Return a function giving a weight [out, in, ...] in blocks of its inputs, each place of a filter for itself."""
    along_inputs = replace(scheme, axis=1)

    def weigh(product: Product) -> tuple[Tensor, int, int]:
        record = quantize(product.weight, along_inputs)
        return record.dequantize(), record.nbytes - record.scale_bytes, record.scale_bytes

    return weigh


def w8_weights(product: Product) -> tuple[Tensor, int, int]:
    """Give a weight as the weight-only INT8 kernel holds it: codes and BF16 scales."""
    record, scale = store_int8(product.weight)
    return record.dequantize(), record.codes.nbytes, scale.nbytes


def build_product(weigh: Callable[[Product], tuple[Tensor, int, int]], output: str) -> Callable[[Site], Packed]:
    """Return a builder of a linear or convolution on emulated operands, added in FP32, rounded to ``output``."""

    def build(site: Site) -> Packed:
        product = require_product(site)
        weight, weight_bytes, scale_bytes = weigh(product)
        dtype = NATIVE_DTYPES[output]
        call = _product_call(
            site, product, weight, product.bias if product.bias is None else _held(product.bias, dtype)
        )

        def run(*inputs: Any) -> Tensor:
            return call(as_float(inputs[0])).to(dtype)

        return Packed(run, weight_bytes, scale_bytes)

    return build


def _held(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the FP32 values that ``tensor`` has once it is stored in ``dtype``."""
    return tensor.to(dtype).float() if tensor.is_floating_point() else tensor


def _product_call(site: Site, product: Product, weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    if site.op.kind not in CONV_KINDS:
        return lambda x: torch.nn.functional.linear(x, weight, bias)
    convolve = site.op.target
    return lambda x: convolve(x, weight, bias, *product.settings)


def build_activations(output: str) -> Callable[[Site], Packed]:
    """Return a builder of an op on activations alone (matmul, attention): FP32 arithmetic on what the carriers hold."""
    dtype = NATIVE_DTYPES[output]

    def build(site: Site) -> Packed:
        held = {name: _held(tensor, dtype) for name, tensor in site.constants.items()}
        call = bind(replace(site, constants=held), torch.float32)

        def run(*inputs: Any) -> Tensor:
            floats = [as_float(v) if isinstance(v, Quantized) or _is_float(v) else v for v in inputs]
            return call(*floats).to(dtype)  # type: ignore[no-any-return]

        return Packed(run)

    return build


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def exact_dtype(weight: Tensor) -> torch.dtype:
    """Return a float type in which sums of INT8 products over ``weight[0]`` are exact: FP32 holds integers to 2**24."""
    return torch.float32 if weight[0].numel() * 127**2 < 2**24 else torch.float64


def build_int8_linear(site: Site) -> Packed:
    """Build the exact twin of the INT8 products: integer sums, then the epilogue."""
    product = require_product(site)
    weight = quantize(product.weight, CHANNEL)
    dtype = exact_dtype(product.weight)
    columns = weight.codes.to(dtype).t()
    column_scale, bias = weight.scale.reshape(-1), product.bias

    def run(*inputs: Quantized) -> Tensor:
        x = inputs[0]
        sums = x.codes.reshape(-1, x.codes.shape[-1]).to(dtype) @ columns
        out = scale_product(sums, x.scale.reshape(-1), column_scale, bias)
        return out.reshape(*x.codes.shape[:-1], -1)

    return Packed(run, weight.codes.nbytes, weight.scale.nbytes)


def build_int8_conv(site: Site) -> Packed:
    """Build an INT8 convolution, input per tensor and weight per output channel: integer sums, then scales."""
    product = require_product(site)
    weight = quantize(product.weight, CHANNEL)
    dtype = exact_dtype(product.weight)
    codes = weight.codes.to(dtype)
    per_channel = (-1, *[1] * (product.weight.dim() - 2))
    column_scale = weight.scale.reshape(per_channel)
    bias = None if product.bias is None else product.bias.reshape(per_channel)
    convolve = site.op.target

    def run(*inputs: Quantized) -> Tensor:
        x = inputs[0]
        sums = convolve(x.codes.to(dtype), codes, None, *product.settings).float()
        out: Tensor = sums * x.scale * column_scale
        return out if bias is None else out + bias

    return Packed(run, weight.codes.nbytes, weight.scale.nbytes)


def refuse_no_weight(site: Site, device: Device) -> str:
    return "" if site.product is not None else "this op multiplies two activations; there is no weight to store so"


def refuse_groups(precision: str) -> Callable[[Site, Device], str]:
    """Return a refusal of weights whose inputs the groups of a precision do not divide."""
    group = weight_scheme_of(precision).group or 1

    def refuse(site: Site, device: Device) -> str:
        if reason := refuse_no_weight(site, device):
            return reason
        depth = require_product(site).weight[0].numel()
        return "" if depth % group == 0 else f"groups of {group} do not divide the {depth} inputs of this op"

    return refuse


def refuse_split_inputs(site: Site, device: Device) -> str:
    """Refuse weights whose inputs blocks of 128 do not divide."""
    if reason := refuse_no_weight(site, device):
        return reason
    depth, block = require_product(site).weight.shape[1], FP8_SQUARES.group or 1
    return "" if depth % block == 0 else f"blocks of {block} do not divide the {depth} inputs of this op"


def refuse_split_blocks(block: int) -> Callable[[Site, Device], str]:
    """Return a refusal of grouped convolutions in which a block of channels would reach into the next group."""

    def refuse(site: Site, device: Device) -> str:
        if reason := refuse_no_weight(site, device):
            return reason
        product = require_product(site)
        shape, inputs = site.shapes[product.x], product.weight.shape[1]
        if len(shape) != product.weight.dim():
            return "blocks along the channels need an input with a batch dimension"
        whole = inputs == shape[1] or inputs % block == 0
        return "" if whole else f"blocks of {block} channels do not fit the groups of {inputs} that this op has"

    return refuse


def _products(precision: str, takes: str, gives: str, weigh: Any, kinds: frozenset[str], refuse: Any) -> Kernel:
    name = f"emulated {precision}"
    return Kernel(name, precision, "any", kinds, takes, gives, build_product(weigh, gives), refuse, emulated=True)


def _activations(precision: str, takes: str, gives: str) -> Kernel:
    name, build = f"emulated {precision}", build_activations(gives)
    return Kernel(name, precision, "any", TWO_ACTIVATIONS, takes, gives, build, emulated=True)


def _blocks(precision: Precision) -> tuple[Kernel, ...]:
    """The kernels of a precision whose operands are in blocks: along the inputs, along a convolution's channels."""
    name, format_ = precision.name, precision.compute
    spec, scheme = find_format(format_), precision.weight
    assert isinstance(spec, BlockSpec) and scheme is not None
    weigh, refuse = block_weights(scheme), refuse_split_blocks(spec.block)
    return (
        _products(name, f"{format_}:block", precision.output, weigh, LINEAR, refuse_no_weight),
        _products(name, f"{format_}:channels", precision.output, weigh, CONV_KINDS, refuse),
        _activations(name, f"{format_}:block", precision.output),
    )


def _int4_groups(name: str) -> Kernel:
    return _products(name, "bf16", "bf16", int4_weights(name), PRODUCT_KINDS, refuse_groups(name))


KERNELS = (
    _products("fp16", "fp16", "fp16", rounded_weights("fp16"), PRODUCT_KINDS, refuse_no_weight),
    _activations("fp16", "fp16", "fp16"),
    Kernel(
        "emulated fp16",
        "fp16",
        "any",
        MATRIX_KINDS - TWO_ACTIVATIONS - CONV_KINDS,
        "fp16",
        "fp16",
        build_activations("fp16"),
        emulated=True,
    ),
    _products("tf32", "tf32", "fp32", rounded_weights("tf32"), PRODUCT_KINDS, refuse_no_weight),
    _activations("tf32", "tf32", "fp32"),
    _products("fp8", "fp8_e4m3:token", "bf16", scaled_weights(FP8_CHANNEL), LINEAR, refuse_no_weight),
    _products("fp8", "fp8_e4m3:tensor", "bf16", scaled_weights(FP8_CHANNEL), CONV_KINDS, refuse_no_weight),
    _activations("fp8", "fp8_e4m3:token", "bf16"),
    _products("fp8_e5m2", "fp8_e5m2:token", "bf16", scaled_weights(FP8_CHANNEL), LINEAR, refuse_no_weight),
    _products("fp8_e5m2", "fp8_e5m2:tensor", "bf16", scaled_weights(FP8_CHANNEL), CONV_KINDS, refuse_no_weight),
    _activations("fp8_e5m2", "fp8_e5m2:token", "bf16"),
    _products("fp8_tensor", "fp8_e4m3:tensor", "bf16", scaled_weights(FP8_TENSOR), PRODUCT_KINDS, refuse_no_weight),
    _activations("fp8_tensor", "fp8_e4m3:tensor", "bf16"),
    _products("fp8_block", "fp8_e4m3:block128", "bf16", scaled_weights(FP8_SQUARES), LINEAR, refuse_split_inputs),
    Kernel("emulated int8", "int8", "any", LINEAR, "int8:token", "fp32", build_int8_linear, refuse_no_weight, True),
    Kernel("emulated int8", "int8", "any", CONV_KINDS, "int8:tensor", "fp32", build_int8_conv, refuse_no_weight, True),
    Kernel(
        "emulated int8_static",
        "int8_static",
        "any",
        PRODUCT_KINDS,
        "uint8:static",
        "fp32",
        build_static,
        refuse_no_weight,
        emulated=True,
    ),
    _products("w8", "bf16", "bf16", w8_weights, PRODUCT_KINDS, refuse_no_weight),
    *(_int4_groups(name) for name in ("w4", "w4_mse", "w4_hqq", "w4_g128")),
    _products("w16", "fp32", "fp32", rounded_weights("fp16", saturate=True), LINEAR, refuse_no_weight),
    *(kernel for precision in BLOCK_PRECISIONS.values() for kernel in _blocks(precision)),
)
