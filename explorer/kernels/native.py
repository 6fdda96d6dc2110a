"""Kernels that are the op's own ATen call in a native float format, on the CPU and on CUDA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from explorer.kernels.carriers import NATIVE_DTYPES
from explorer.kernels.kernel import ANY_KIND, CONV_KINDS, MATRIX_KINDS, Kernel
from explorer.kernels.site import Packed, Site, bind
from explorer.measure.device import Device

PLAIN_KINDS = MATRIX_KINDS - CONV_KINDS
SLOW_FP16 = "torch fp16, slow: no FP16 arithmetic here"


def build_native(format_: str) -> Callable[[Site], Packed]:
    """Return a builder of the op's ATen call with its floating constants in ``format_``."""
    dtype = NATIVE_DTYPES[format_]

    def build(site: Site) -> Packed:
        elements = sum(t.numel() for t in site.constants.values() if t.is_floating_point())
        return Packed(bind(site, dtype), weight_bytes=elements * dtype.itemsize)

    return build


def build_channels_last(format_: str) -> Callable[[Site], Packed]:
    """Return a builder of a convolution whose weight is stored channels-last, as the CPU's narrow formats want it.

    Its output is channels-last, whatever the input is: in a chain only the first input is put in another order.
    """
    dtype = NATIVE_DTYPES[format_]

    def build(site: Site) -> Packed:
        packed = build_native(format_)(site)
        if site.product is None or site.product.weight.dim() != 4:
            return packed
        name = next(n for n, t in site.constants.items() if t.dim() == 4)
        weight = site.constants[name].to(dtype, memory_format=torch.channels_last)
        constants = {**site.constants, name: weight}
        return Packed(bind(replace(site, constants=constants), dtype), packed.weight_bytes)

    return build


def refuse_plain_fp16(site: Site, device: Device) -> str:
    """Products in FP16 run on every CPU; this name is for those that have the arithmetic."""
    return "" if "AVX512-FP16" in device.features else "this CPU has no FP16 arithmetic"


def refuse_slow_fp16(site: Site, device: Device) -> str:
    """The other half: one call under two names would be its own rival."""
    return "this CPU has FP16 arithmetic" if "AVX512-FP16" in device.features else ""


def refuse_old_cuda(site: Site, device: Device) -> str:
    """BF16 needs compute capability 8.0."""
    return "" if device.capability >= (8, 0) else f"BF16 needs an sm_80 GPU; this is sm_{device.sm}"


KERNELS = (
    Kernel("torch fp32", "fp32", "any", ANY_KIND, "fp32", "fp32", build_native("fp32")),
    Kernel("torch fp32", "fp32", "any", MATRIX_KINDS, "fp32", "fp32", build_native("fp32")),
    Kernel("torch bf16", "bf16", "cpu", ANY_KIND, "bf16", "bf16", build_native("bf16")),
    Kernel("torch bf16", "bf16", "cpu", PLAIN_KINDS, "bf16", "bf16", build_native("bf16")),
    Kernel("torch bf16 channels_last", "bf16", "cpu", CONV_KINDS, "bf16", "bf16", build_channels_last("bf16")),
    Kernel("torch bf16", "bf16", "cuda", ANY_KIND, "bf16", "bf16", build_native("bf16"), refuse_old_cuda),
    Kernel("torch bf16", "bf16", "cuda", MATRIX_KINDS, "bf16", "bf16", build_native("bf16"), refuse_old_cuda),
    Kernel("torch fp16", "fp16", "any", ANY_KIND, "fp16", "fp16", build_native("fp16")),
    Kernel("torch fp16", "fp16", "cuda", MATRIX_KINDS, "fp16", "fp16", build_native("fp16")),
    Kernel("torch fp16", "fp16", "cpu", PLAIN_KINDS, "fp16", "fp16", build_native("fp16"), refuse_plain_fp16),
    Kernel(SLOW_FP16, "fp16", "cpu", PLAIN_KINDS, "fp16", "fp16", build_native("fp16"), refuse_slow_fp16),
    Kernel(
        "torch fp16 channels_last",
        "fp16",
        "cpu",
        CONV_KINDS,
        "fp16",
        "fp16",
        build_channels_last("fp16"),
        refuse_plain_fp16,
    ),
    Kernel(SLOW_FP16, "fp16", "cpu", CONV_KINDS, "fp16", "fp16", build_channels_last("fp16"), refuse_slow_fp16),
)
