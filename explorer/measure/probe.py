"""Measures a device's rates: bytes it touches a second, and operations it does. (Effect: clock, memory traffic.)

A rate is the best of many runs, as it is to bound others from below. Bandwidth at a size is that of the best of a copy,
a change in place and a sum: which of them wins depends on how the machine writes. About a second on two CPU cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explorer.measure.device import Device
from explorer.measure.lock import exclusive
from explorer.measure.rates import Rates
from explorer.measure.timing import Call, Effort, clock, uncollected

SECONDS_EACH = 0.02
FEWEST_RUNS = 3
CPU_SIZES = (256 << 10, 2 << 20, 16 << 20, 96 << 20)
CUDA_SIZES = (4 << 20, 32 << 20, 256 << 20, 1 << 30)
CPU_SHAPE, CUDA_SHAPE = (512, 1024, 1024), (4096, 4096, 4096)
NOT_WORTH_SECONDS = 0.1
"""A product slower than this is not run again: the device has no arithmetic of that format worth the name."""


@torch.no_grad()
def probe(device: Device, effort: Effort | None = None) -> Rates:
    """Return the rates of ``device``; a format that it cannot multiply has none."""
    effort = effort or Effort()
    timed = clock(device)

    def best(call: Call, seconds: float = SECONDS_EACH) -> float:
        effort.stop_if_cancelled()
        call()
        times, end = [timed(call)], time.perf_counter() + seconds
        while times[0] < NOT_WORTH_SECONDS and (len(times) < FEWEST_RUNS or time.perf_counter() < end):
            times.append(timed(call))
        return min(times)

    sizes = CUDA_SIZES if device.type == "cuda" else CPU_SIZES
    with exclusive(device, effort.cancel), uncollected():
        bandwidth = {size: _bandwidth(size, device, best) for size in sizes}
        arithmetic = {name: _arithmetic(build, device, best) for name, build in PRODUCTS.items()}
    return Rates(bandwidth, {name: rate for name, rate in arithmetic.items() if rate > 0})


def _bandwidth(touched: int, device: Device, best: Callable[[Call], float]) -> float:
    """Bytes a second of the best way to touch so many bytes, each read or written once."""
    whole = torch.zeros(touched // 4, device=device.type)
    one, other = whole.chunk(2)
    half = whole[: len(one)]
    seconds = (best(lambda: one.copy_(other)), best(half.relu_), best(whole.sum))
    return touched / min(seconds)


def _arithmetic(
    build: Callable[[Device, int, int, int], Call], device: Device, best: Callable[[Call, float], float]
) -> float:
    """Operations a second of a large product, 0 where this device cannot do it."""
    m, k, n = CUDA_SHAPE if device.type == "cuda" else CPU_SHAPE
    try:
        return 2 * m * k * n / best(build(device, m, k, n), 3 * SECONDS_EACH)
    except (RuntimeError, NotImplementedError):
        return 0.0


def _float_product(dtype: torch.dtype, tf32: bool = False) -> Callable[[Device, int, int, int], Call]:
    def build(device: Device, m: int, k: int, n: int) -> Call:
        x, w = (torch.ones(shape, device=device.type, dtype=dtype) for shape in ((m, k), (n, k)))
        return (lambda: _in_tf32(x, w.t())) if tf32 else (lambda: x @ w.t())

    return build


def _in_tf32(x: Tensor, w: Tensor) -> Any:
    if x.device.type != "cuda":
        raise NotImplementedError("TF32 is CUDA's")
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = True
    try:
        return x @ w
    finally:
        matmul.allow_tf32 = before


def _int8_product(device: Device, m: int, k: int, n: int) -> Call:
    x, w = (torch.ones(shape, device=device.type, dtype=torch.int8) for shape in ((m, k), (n, k)))
    return lambda: torch._int_mm(x, w.t())


def _fp8_product(device: Device, m: int, k: int, n: int) -> Call:
    if device.type != "cuda" or device.capability < (8, 9):
        raise NotImplementedError("FP8 needs an sm_89 GPU")
    x, w = (torch.ones(shape, device="cuda").to(torch.float8_e4m3fn) for shape in ((m, k), (n, k)))
    one = torch.ones((), device="cuda")
    return lambda: torch._scaled_mm(x, w.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


PRODUCTS: dict[str, Callable[[Device, int, int, int], Call]] = {
    "fp32": _float_product(torch.float32),
    "tf32": _float_product(torch.float32, tf32=True),
    "bf16": _float_product(torch.bfloat16),
    "fp16": _float_product(torch.float16),
    "int8": _int8_product,
    "fp8": _fp8_product,
}
