"""Carriers: the forms in which a tensor flows on an edge, and how it is converted to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized, Scheme, find_format, find_scale, quantize
from explorer.kernels import cuda_casts, fused, simd
from explorer.kernels.layout import ANY, CONTIGUOUS, DENSE
from explorer.kernels.simd import elementwise, rows
from explorer.kernels.site import StaticScale
from explorer.precision import BLOCK_PRECISIONS

NATIVE_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Carrier:
    """A form of a tensor on an edge: a native float (``scheme`` None), or codes with scales under ``scheme``.

    ``native_on`` are the device types on which the conversion runs as one kernel; elsewhere it is emulated.
    ``convert`` of a :attr:`static` carrier takes the tensor's :class:`StaticScale` as its second argument. ``layout``
    is how the loop that converts wants the tensor (:mod:`explorer.kernels.layout`); the result lies so too.
    """

    name: str
    format: str
    scheme: Scheme | None
    convert: Callable[..., Any]
    native_on: frozenset[str] = frozenset({"cpu", "cuda"})
    layout: str = ANY

    @property
    def static(self) -> bool:
        """Whether the scale is fixed beforehand, for each tensor its own."""
        return self.scheme is not None and not self.scheme.dynamic

    @property
    def written(self) -> str:
        """What ``Kernel.fuses`` has where an epilogue can write this form: ``"codes"``, ``"tokens"``, or nothing."""
        return "codes" if self.static else "tokens" if self.name == "int8:token" else ""

    @property
    def bits(self) -> int:
        """Bits per element, scales not counted."""
        return find_format(self.format).storage_bits


def _native(name: str) -> Carrier:
    dtype = NATIVE_DTYPES[name]
    return Carrier(name, name, None, lambda value: _each(value, lambda tensor: tensor.to(dtype)))


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply ``change`` to a tensor, or to each tensor of a tuple (the output of a split)."""
    return type(value)(map(change, value)) if isinstance(value, (tuple, list)) else change(value)


def quantize_tokens(scheme: Scheme, x: Tensor) -> Quantized:
    """Return ``x`` [..., K] in codes with one scale per row, through one kernel where there is one."""
    if scheme.format == "int8" and x.device.type == "cpu" and fused.available() and x.numel():
        codes, scale = (rows if simd.here() else fused).quantize_rows(x)
        return Quantized(codes, scale, None, scheme, x.dtype)
    return cuda_casts.quantize_tokens(x, scheme) if cuda_casts.serves(x) else quantize(x, scheme)


def quantize_groups(scheme: Scheme, x: Tensor) -> Quantized:
    """Return ``x`` [..., K] in codes with one scale per group along K, through one kernel where there is one."""
    return cuda_casts.quantize_groups(x, scheme) if cuda_casts.serves(x) else quantize(x, scheme)


def quantize_static(x: Tensor, fixed: StaticScale) -> Quantized:
    """Return ``x`` in UINT8 codes under a fixed scale: clamp(round_half_even(x * (1 / scale)) + zero_point, 0, 255)."""
    if cuda_casts.serves(x):
        return cuda_casts.quantize_static(x, STATIC, fixed)
    if x.device.type == "cpu" and x.dtype == torch.float32 and simd.here():
        return elementwise.quantize_static(x, fixed)
    scale, zero_point = (torch.full((), float(part), device=x.device) for part in (fixed.scale, fixed.zero_point))
    return quantize(x, STATIC, scale, zero_point)


def quantize_tensor(scheme: Scheme, x: Tensor) -> Quantized:
    """Return ``x`` in codes with one scale; INT8 in two passes, its largest and its codes, where loops are compiled."""
    if scheme.format != "int8" or x.device.type != "cpu" or x.dtype != torch.float32 or not simd.here():
        return quantize(x, scheme)
    scale, _ = find_scale(x, scheme)
    if not bool(scale.isfinite()):
        return quantize(x, scheme)
    shifted = elementwise.quantize_static(x, StaticScale(float(scale), SHIFT)).codes
    return Quantized(shifted.bitwise_xor_(SHIFT).view(torch.int8), scale, None, scheme, x.dtype)


SHIFT = 128
"""INT8 codes plus this are UINT8 codes; in bits, the sign's is flipped."""


def _quantized(format_: str, granularity: str, native_on: frozenset[str] = frozenset()) -> Carrier:
    scheme = Scheme(format_, granularity=granularity)  # type: ignore[arg-type]
    convert = partial(quantize_tokens if granularity == "token" else quantize_tensor, scheme)
    layout = CONTIGUOUS if granularity == "token" else DENSE
    return Carrier(f"{format_}:{granularity}", format_, scheme, convert, native_on, layout)


def _grouped(format_: str, group: int) -> Carrier:
    """Codes in groups along the last dimension."""
    scheme = Scheme(format_, "group", group=group)
    name, convert = f"{format_}:block{group}", partial(quantize_groups, scheme)
    return Carrier(name, format_, scheme, convert, frozenset({"cuda"}), CONTIGUOUS)


def _blocks(format_: str) -> tuple[Carrier, Carrier]:
    """A block format with its blocks along the last dimension, and along the channels of a convolution's input."""
    rows, channels = Scheme(format_), Scheme(format_, axis=1)
    return (
        Carrier(f"{format_}:block", format_, rows, lambda x: quantize(x, rows), frozenset(), CONTIGUOUS),
        Carrier(f"{format_}:channels", format_, channels, lambda x: quantize(x, channels), frozenset(), CONTIGUOUS),
    )


STATIC = Scheme("uint8", symmetric=False, dynamic=False)

_ALL = (
    *(_native(name) for name in NATIVE_DTYPES),
    _quantized("int8", "token", frozenset({"cpu", "cuda"})),
    _quantized("int8", "tensor", frozenset({"cpu"})),
    Carrier("uint8:static", "uint8", STATIC, quantize_static, frozenset({"cpu", "cuda"}), DENSE),
    _quantized("fp8_e4m3", "token", frozenset({"cuda"})),
    _quantized("fp8_e4m3", "tensor"),
    _grouped("fp8_e4m3", 128),
    _quantized("fp8_e5m2", "token", frozenset({"cuda"})),
    _quantized("fp8_e5m2", "tensor"),
    Carrier("tf32", "tf32", Scheme("tf32"), lambda x: quantize(x, Scheme("tf32"))),
    *(carrier for precision in BLOCK_PRECISIONS.values() for carrier in _blocks(precision.compute)),
)
CARRIERS: dict[str, Carrier] = {carrier.name: carrier for carrier in _ALL}


def as_float(value: Any) -> Any:
    """Return the values that a carrier's tensor stands for, in FP32."""
    return value.dequantize().float() if isinstance(value, Quantized) else value.float()
