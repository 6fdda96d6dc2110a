"""Kernels: the real operations of a device, their emulations, and the table that chooses."""

from explorer.kernels.carriers import CARRIERS, NATIVE_DTYPES, Carrier, as_float
from explorer.kernels.contest import settle
from explorer.kernels.kernel import Kernel
from explorer.kernels.registry import (
    ACTIVATION_KERNELS,
    BEST_FP32,
    CODE_WRITERS,
    KERNELS,
    Option,
    Selection,
    choose,
    warm_up,
)
from explorer.kernels.site import ACTIVATIONS, Packed, Post, Product, Site, StaticScale, activation_of, bind

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_KERNELS",
    "BEST_FP32",
    "CARRIERS",
    "CODE_WRITERS",
    "KERNELS",
    "NATIVE_DTYPES",
    "Carrier",
    "Kernel",
    "Option",
    "Packed",
    "Post",
    "Product",
    "Selection",
    "Site",
    "StaticScale",
    "activation_of",
    "as_float",
    "bind",
    "choose",
    "settle",
    "warm_up",
]
