"""Energy and peak memory of a call on an NVIDIA GPU, where it counts them. (Effect: runs the call, asks the driver.)

Energy is read from the counter of NVML, which needs the package ``nvidia-ml-py`` (imported as ``pynvml``) and a GPU of
the Volta generation or later. Without them there is no energy, and nothing else changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from explorer.measure.device import Device
from explorer.measure.lock import exclusive

SECONDS = 0.6
"""The counter moves some ten times a second, so that a shorter run would mostly measure when it moved."""


def energy_mj(call: Callable[[], Any], device: Device, cancel: Any = None) -> float | None:
    """Return the millijoules of one call: the whole board's, over at least half a second of calls one after another.

    None where no counter can be read.
    """
    read = _find_counter(device)
    if read is None:
        return None
    with exclusive(device, cancel):
        torch.cuda.synchronize()
        before, start, runs = read(), time.perf_counter(), 0
        while time.perf_counter() - start < SECONDS:
            if cancel is not None and cancel.is_set():
                return None
            call()
            torch.cuda.synchronize()
            runs += 1
        return (read() - before) / runs


def peak_bytes(call: Callable[[], Any], device: Device) -> int | None:
    """Return the most bytes that tensors took on the GPU during a call, weights included; None on a CPU."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated())


def _find_counter(device: Device) -> Callable[[], float] | None:
    """Return what reads the total millijoules of the current GPU, None without NVML or such a counter."""
    if device.type != "cuda":
        return None
    try:
        pynvml = import_module("pynvml")
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        identity = f"GPU-{torch.cuda.get_device_properties().uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(identity)

        def read() -> float:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))

        read()
    except (pynvml.NVMLError, AttributeError):
        return None
    return read
