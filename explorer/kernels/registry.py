"""The table of kernels, and the choice of one for an op: a kernel, or the reasons why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from explorer.kernels import (
    cpu,
    cpu_weight_only,
    cuda,
    cuda_triton,
    cuda_weight_only,
    fused,
    native,
    on_codes,
    reference,
)
from explorer.kernels.kernel import Kernel
from explorer.kernels.site import Site
from explorer.measure.device import Device

KERNELS: tuple[Kernel, ...] = (
    *cpu.KERNELS,
    *cpu_weight_only.KERNELS,
    *cuda_triton.KERNELS,
    *cuda_weight_only.KERNELS,
    *cuda.KERNELS,
    *native.KERNELS,
    *on_codes.KERNELS,
    *reference.KERNELS,
)

ACTIVATION_KERNELS: Mapping[tuple[str, str], Kernel] = {
    (kernel.device, name): kernel for name, kernel in cuda_triton.ACTIVATION_KERNELS.items()
}
"""Activations right after a product that can take them in, by device type and name: what its epilogue uses."""


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
    """The kernel chosen for an op (None: impossible) and what the kernels before it refused."""

    precision: str
    kernel: Kernel | None
    refusals: tuple[str, ...]

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


def choose(site: Site, precision: str, device: Device, table: tuple[Kernel, ...] = KERNELS) -> Selection:
    """Return the first kernel of ``table`` that runs ``site`` in ``precision`` on ``device``, real ones first.

    Nothing falls back in silence: an emulated kernel comes with the reason why no real one could be used, and where
    nothing can run, ``kernel`` is None and the reasons say why.
    """
    serving = [k for k in table if k.precision == precision and k.serves(site.op.kind)]
    real = [k for k in serving if not k.emulated and k.device in (device.type, "any")]
    refusals: list[str] = [] if real else [_no_kernel(site, precision, device)]
    for kernel in (*real, *(k for k in serving if k.emulated)):
        reason = kernel.refuse(site, device)
        if not reason:
            return Selection(precision, kernel, tuple(dict.fromkeys(refusals)))
        refusals.append(reason)
    return Selection(precision, None, tuple(dict.fromkeys(refusals)))


def warm_up(device: Device) -> None:
    """Compile what is compiled at first use, so that no click waits for it."""
    if device.type == "cpu" and fused.available():
        fused.warm_up()


def _no_kernel(site: Site, precision: str, device: Device) -> str:
    if device.type == "cuda" and (why := cuda.why_none(site, precision, device)):
        return why
    where = "this CPU" if device.type == "cpu" else "this GPU"
    return f"the explorer has no {precision} kernel for {site.op.kind} on {where}"
