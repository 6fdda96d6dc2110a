"""Our own CPU kernels for AVX512-VNNI, emitted through Numba's LLVM and run on torch's threads. (Effect: JIT, threads.)

Importing this package imports no Numba: the kernels are compiled at their first call, and read from Numba's cache in
later processes.
"""

from __future__ import annotations

import platform
from functools import cache
from importlib.util import find_spec

from explorer.measure.device import Device, find_device


def missing(device: Device) -> str:
    """Return what ``device`` lacks for these kernels, in words, or nothing."""
    if device.type != "cpu" or platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux":
        return "our own SIMD kernels are for x86-64 under Linux"
    if not {"AVX512", "AVX512-VNNI"} <= set(device.features):
        return "our own SIMD kernels need AVX512-VNNI, which this CPU lacks"
    return "" if _numba_installed() else "our own SIMD kernels need Numba, which is not installed"


@cache
def here() -> bool:
    """Whether this machine's CPU runs the kernels."""
    return not missing(find_device("cpu"))


def warm_up() -> None:
    """Compile the kernels, or read them from Numba's cache (seconds and tenths of a second)."""
    from explorer.kernels.simd import attention_loops, loops, norm_loops  # noqa: F401  compiled as they are imported


@cache
def _numba_installed() -> bool:
    return find_spec("numba") is not None
