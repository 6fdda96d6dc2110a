"""Kernels: the real operations of a device, their emulations, and the table that chooses."""

from explorer.kernels.carriers import CARRIERS, NATIVE_DTYPES, Carrier, as_float
from explorer.kernels.kernel import Kernel
from explorer.kernels.registry import KERNELS, Option, Selection, choose, warm_up
from explorer.kernels.site import Packed, Product, Site, bind

__all__ = [
    "CARRIERS",
    "KERNELS",
    "NATIVE_DTYPES",
    "Carrier",
    "Kernel",
    "Option",
    "Packed",
    "Product",
    "Selection",
    "Site",
    "as_float",
    "bind",
    "choose",
    "warm_up",
]
