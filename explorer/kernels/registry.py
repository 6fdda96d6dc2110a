"""The table of kernels, and the choice of one for an op: a kernel, or the reasons why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from explorer.kernels import (
    best_fp32,
    cpu,
    cpu_attention,
    cpu_int8,
    cpu_norms,
    cpu_weight_only,
    cuda,
    cuda_triton,
    cuda_weight_only,
    fused,
    native,
    on_codes,
    onednn,
    reference,
    simd,
)
from explorer.kernels.kernel import Kernel
from explorer.kernels.site import Site
from explorer.kernels.winners import Winners, default_winners, key_of
from explorer.measure.device import Device

KERNELS: tuple[Kernel, ...] = (
    *cpu_int8.KERNELS,
    *cpu.KERNELS,
    *cpu_weight_only.KERNELS,
    *onednn.KERNELS,
    *cuda_triton.KERNELS,
    *cuda_weight_only.KERNELS,
    *cuda.KERNELS,
    *native.KERNELS,
    *on_codes.KERNELS,
    *reference.KERNELS,
)

ACTIVATION_KERNELS: Mapping[tuple[str, str], Kernel] = {
    (kernel.device, name): kernel
    for table in (cpu_int8.ACTIVATION_KERNELS, cuda_triton.ACTIVATION_KERNELS)
    for name, kernel in table.items()
}
"""Activations right after a product that can take them in, by device type and name: what its epilogue uses."""

CODE_WRITERS: Mapping[tuple[str, str], Kernel] = {
    (kernel.device, kind): kernel
    for table in (cpu_norms.NORM_KERNELS, cpu_attention.ATTENTION_KERNELS)
    for kind, kernel in table.items()
}
"""FP32 kernels that write codes where all that reads them wants these, by device type and kind."""

BEST_FP32 = "best fp32"
"""Stands for a precision where the fastest FP32 kernel is wanted, be its sums in another order than torch's."""


@dataclass(frozen=True)
class Option:
    """Whether an op can run in a precision here, on which kernel, and if not on a real one, why.

    ``reason`` is empty for a real kernel, says why it is emulated for an emulated one, and why not for none.
    """

    precision: str
    possible: bool
    emulated: bool
    kernel: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """The kernel chosen for an op (None: impossible) and what the kernels before it refused.

    A kernel of another precision than the one asked for cannot be selected, nor a lack of a real one go without words.
    """

    precision: str
    kernel: Kernel | None
    refusals: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.kernel is None or self.kernel.precision == self.precision, "a fallback to another precision"
        assert (self.kernel is not None and not self.kernel.emulated) or any(self.refusals), "no reason is given"

    @property
    def reason(self) -> str:
        if self.kernel is not None and not self.kernel.emulated:
            return ""
        return "; ".join(self.refusals)

    @property
    def option(self) -> Option:
        kernel = self.kernel
        return Option(
            self.precision,
            kernel is not None,
            kernel is not None and kernel.emulated,
            kernel.name if kernel else "",
            self.reason,
        )


def choose(
    site: Site,
    precision: str,
    device: Device,
    table: tuple[Kernel, ...] = KERNELS,
    winners: Winners | None = None,
) -> Selection:
    """Return the kernel that runs ``site`` in ``precision`` on ``device``: a real one where any can, else an emulation.

    Of several real ones the one that was measured to be fastest (:mod:`explorer.kernels.contest`), else the first of
    ``table``. Nothing falls back in silence: an emulated kernel comes with the reason why no real one could be used,
    and where nothing can run, ``kernel`` is None and the reasons say why. :data:`BEST_FP32` may stand for a precision.
    """
    real, refusals = rivals_of(site, precision, device, table)
    told = "fp32" if precision == BEST_FP32 else precision
    if real:
        kernel = real[0]
        if len(real) > 1:
            won = (default_winners() if winners is None else winners).find(key_of(site, precision, device))
            kernel = next((k for k in real if won is not None and k.name == won.kernel), kernel)
        return Selection(told, kernel, refusals)
    for kernel in table:
        if kernel.precision == told and kernel.emulated and kernel.serves(site.op.kind):
            reason = kernel.refuse(site, device)
            if not reason:
                return Selection(told, kernel, refusals)
            refusals = tuple(dict.fromkeys((*refusals, reason)))
    return Selection(told, None, refusals)


def rivals_of(
    site: Site, precision: str, device: Device, table: tuple[Kernel, ...] = KERNELS
) -> tuple[tuple[Kernel, ...], tuple[str, ...]]:
    """Return the real kernels that can run ``site`` in ``precision``, in the table's order, and the others' refusals.

    For :data:`BEST_FP32` those of FP32, :data:`explorer.kernels.best_fp32.KERNELS`, our activations and code writers.
    """
    if precision == BEST_FP32:
        precision, table = "fp32", (*table, *best_fp32.KERNELS, *ACTIVATION_KERNELS.values(), *CODE_WRITERS.values())
    real = [
        kernel
        for kernel in table
        if kernel.precision == precision
        and not kernel.emulated
        and kernel.device in (device.type, "any")
        and kernel.serves(site.op.kind)
    ]
    reasons = [kernel.refuse(site, device) for kernel in real]
    refusals = tuple(dict.fromkeys(filter(None, reasons))) if real else (_no_kernel(site, precision, device),)
    return tuple(kernel for kernel, reason in zip(real, reasons, strict=True) if not reason), refusals


def warm_up(device: Device) -> None:
    """Compile what is compiled at first use, so that no click waits for it."""
    if device.type == "cpu" and fused.available():
        fused.warm_up()
        if not simd.missing(device):
            simd.warm_up()


def _no_kernel(site: Site, precision: str, device: Device) -> str:
    if device.type == "cuda" and (why := cuda.why_none(site, precision, device)):
        return why
    where = "this CPU" if device.type == "cpu" else "this GPU"
    return f"the explorer has no {precision} kernel for {site.op.kind} on {where}"
