"""A kernel: one way to run one kind of op in one precision on one kind of device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from explorer.kernels.layout import any_layout
from explorer.kernels.site import Packed, Site
from explorer.measure.device import Device

ADDEND = frozenset(("addend",))
ANY_KIND: frozenset[str] = frozenset()
PRODUCT_KINDS = frozenset(("linear", "conv1d", "conv2d", "conv3d"))
CONV_KINDS = frozenset(("conv1d", "conv2d", "conv3d"))
MATRIX_KINDS = PRODUCT_KINDS | {"conv", "conv_transpose2d", "matmul", "attention", "grouped_matmul"}


def never(site: Site, device: Device) -> str:
    """Refuse nothing."""
    return ""


def cannot(site: Site) -> bool:
    """Of a kernel that never casts its operand itself."""
    return False


@dataclass(frozen=True)
class Kernel:
    """One way to run an op.

    ``takes`` and ``gives`` are carriers: what every floating input is converted to, and what comes out. ``kinds`` is
    the set of op kinds it serves (:data:`ANY_KIND` for all but matrix kinds). ``refuse`` returns why it cannot run at
    a site, or nothing. ``build`` packs the weights once and returns the callable. ``fuses`` is what its epilogue takes
    in of what follows the op: ``"addend"``, names of activations, ``"codes"``, ``"tokens"`` (see ``Post``), and with
    these ``"heads"``, which says that codes are of [batches, tokens, heads * depth], the heads of a token joined;
    ``Packed.extend`` then delivers any of their combinations. An activation that it fuses is computed by the very
    function of the kernel that runs this activation alone (:data:`explorer.kernels.registry.ACTIVATION_KERNELS`).
    ``layout`` returns how what it computes on must lie in memory (:mod:`explorer.kernels.layout`): what lies otherwise
    is copied inside its call. A result lies as its input must, and where any layout will do, as torch's would.
    ``casts`` says whether at a site it can take its operand in FP32 and cast it itself in the same call, which for few
    rows is faster than to wait for a call that does so; ``Packed.of_floats`` is then that call.
    """

    name: str
    precision: str
    device: str
    kinds: frozenset[str]
    takes: str
    gives: str
    build: Callable[[Site], Packed]
    refuse: Callable[[Site, Device], str] = never
    emulated: bool = False
    fuses: frozenset[str] = frozenset()
    layout: Callable[[Site], str] = any_layout
    casts: Callable[[Site], bool] = cannot

    def serves(self, kind: str) -> bool:
        return kind in self.kinds if self.kinds else kind not in MATRIX_KINDS
