"""Rounding and quantising against a plain clone of the tensor, their memory, and calibration against torch's own."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import explorer as px
from benchmarks.record import tell
from explorer.formats import fake_quantize
from explorer.measure import compare, find_device
from explorer.ranges import calibrate

FILE = "formats.jsonl"
ELEMENTS = 16 << 20
SECONDS = 6.0
BATCHES, BATCH = 16, 1 << 20
TIMES = {"bf16": 8, "fp16": 8, "fp8_e4m3": 8, "int8": 8, "int8 per tensor": 8, "mxfp4": 30}
"""How many times a clone's time each may take: ``round_to`` a format, or a scheme with its scale found."""
MEMORY = 3.0
FASTER = 4.0


def main() -> None:
    """Run the whole, or with a name of :data:`TIMES` only the memory of that one, in this process (Linux)."""
    if len(sys.argv) > 1:
        print(_peak_of(sys.argv[1]))
        return
    device = find_device("cpu")
    x = _values(ELEMENTS)
    for name, bar in TIMES.items():
        found = compare(partial(_work(name), x), x.clone, device, SECONDS)
        tell(
            f"{name}, 16 Mi elements, over a clone", found.speedup, "x", f"<= {bar}", found.speedup <= bar, FILE,
            interval_95=[round(value, 3) for value in found.interval], n=found.n,
            gb_per_s=_bandwidth(x, found.baseline_ms), clone_gb_per_s=_bandwidth(x, found.candidate_ms),
        )  # fmt: skip
    for name in TIMES:
        peak = float(subprocess.check_output([sys.executable, "-m", "benchmarks.formats", name]))
        tell(f"{name}, peak memory over the input's", peak, "x", f"<= {MEMORY}", peak <= MEMORY, FILE)
    batches = list(_values(BATCHES * BATCH).split(BATCH))
    for name in ("percentile", "mse"):
        found = compare(partial(_observe, batches), partial(_calibrate, batches, name), device, 2 * SECONDS)
        tell(
            f"{name} calibration, faster than torch's HistogramObserver", found.speedup, "x", f">= {FASTER}",
            found.speedup >= FASTER, FILE, interval_95=[round(value, 3) for value in found.interval], n=found.n,
            batches=BATCHES, elements=BATCH, ns_per_element=round(found.candidate_ms * 1e6 / (BATCHES * BATCH), 3),
        )  # fmt: skip


def _bandwidth(x: Tensor, ms: float) -> float:
    """GB/s when x is read once and a tensor of its size written once."""
    return round(2 * x.nbytes / ms / 1e6, 2)


def _values(n: int) -> Tensor:
    """Normal values with a heavier tail than a normal's, as activations have."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, generator=generator) * torch.randn(n, generator=generator).exp_()


def _work(name: str) -> Callable[[Tensor], Tensor]:
    if name == "int8 per tensor":
        return partial(fake_quantize, scheme=px.Scheme("int8"))
    return partial(px.round_to, format=name)


def _peak_of(name: str) -> float:
    """The most memory that was in use while the tensor was rounded, input and output included, over the input's."""
    work, status = _work(name), Path("/proc/self/status")
    work(_values(1 << 21))

    def read(field: str) -> int:
        """Bytes of a field that Linux counts in KiB."""
        return 1024 * int(next(line for line in status.read_text().splitlines() if line.startswith(field)).split()[1])

    now = read("VmRSS:")
    x = torch.ones(ELEMENTS).mul_(1.2345)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: it is inherited from the process before
    kept = work(x)
    assert kept.shape == x.shape
    return round((read("VmHWM:") - now) / x.nbytes, 3)


def _calibrate(batches: list[Tensor], name: Any) -> None:
    calibrate(batches, px.Scheme("int8", dynamic=False, calibrator=name))


def _observe(batches: list[Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        observer = torch.ao.quantization.HistogramObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
        for batch in batches:
            observer(batch)
        observer.calculate_qparams()


if __name__ == "__main__":
    main()
