"""Kernels that are the op's own ATen call in a native float format, on the CPU and on CUDA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from explorer.kernels.carriers import NATIVE_DTYPES
from explorer.kernels.kernel import ANY_KIND, CONV_KINDS, MATRIX_KINDS, Kernel, never
from explorer.kernels.layout import as_torch_wants, channels_last
from explorer.kernels.site import Packed, Site, bind
from explorer.measure.device import Device

PLAIN_KINDS = MATRIX_KINDS - CONV_KINDS
SLOW_FP16 = "torch fp16, slow: no FP16 arithmetic here"


def build_native(format_: str) -> Callable[[Site], Packed]:
    """Return a builder of the op's ATen call with its floating constants in ``format_``."""
    dtype = NATIVE_DTYPES[format_]

    def build(site: Site) -> Packed:
        elements = sum(t.numel() for t in site.constants.values() if t.is_floating_point())
        call = bind(site, dtype)
        run = (lambda *inputs: call(*inputs).to(dtype)) if _names_its_dtype(site) else call
        return Packed(run, weight_bytes=elements * dtype.itemsize)

    return build


def _names_its_dtype(site: Site) -> bool:
    """Whether the model's code asks for a dtype of the result, as ``softmax(x, -1, dtype=torch.float32)`` does."""
    return any(isinstance(each, torch.dtype) for each in (*site.op.args, *site.op.kwargs.values()))


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


def _kernel(
    format_: str,
    device: str,
    kinds: frozenset[str],
    refuse: Callable[[Site, Device], str] = never,
    name: str = "",
) -> Kernel:
    """torch's own call in a format; on the CPU, convolutions of narrow formats have their weight channels-last."""
    last = device == "cpu" and kinds is CONV_KINDS
    build, layout = (build_channels_last, channels_last) if last else (build_native, as_torch_wants)
    called = name or f"torch {format_}{' channels_last' if last else ''}"
    return Kernel(called, format_, device, kinds, format_, format_, build(format_), refuse, layout=layout)


KERNELS = (
    _kernel("fp32", "any", ANY_KIND),
    _kernel("fp32", "any", MATRIX_KINDS),
    _kernel("bf16", "cpu", ANY_KIND),
    _kernel("bf16", "cpu", PLAIN_KINDS),
    _kernel("bf16", "cpu", CONV_KINDS),
    _kernel("bf16", "cuda", ANY_KIND, refuse_old_cuda),
    _kernel("bf16", "cuda", MATRIX_KINDS, refuse_old_cuda),
    _kernel("fp16", "any", ANY_KIND),
    _kernel("fp16", "cuda", MATRIX_KINDS),
    _kernel("fp16", "cpu", PLAIN_KINDS, refuse_plain_fp16),
    _kernel("fp16", "cpu", PLAIN_KINDS, refuse_slow_fp16, SLOW_FP16),
    _kernel("fp16", "cpu", CONV_KINDS, refuse_plain_fp16),
    _kernel("fp16", "cpu", CONV_KINDS, refuse_slow_fp16, SLOW_FP16),
)
