"""Our GPU kernels checked and timed on this GPU: `python -m benchmarks.gpu_kernels time RESULTS SECONDS`, see gpu.sh.

Every launch that may be chosen is checked on the tensors that are timed. Times are medians with caches emptied before
each call. A wrong result ends the run with an error; a bar that is not met is a figure like any other.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton
from triton.runtime.errors import OutOfResources
from triton.testing import do_bench

from benchmarks.gpu_cases import Case, Sizes, cases
from explorer.measure import find_device

COPY_BYTES = 1 << 30
SIDE = 8192


def main() -> int:
    """Compile a share of the launches (``compile 0 8``), or check and time them all (``time RESULTS SECONDS``)."""
    if sys.argv[1] == "compile":
        compile_share(int(sys.argv[2]), int(sys.argv[3]))
        return 0
    return check_and_time(Path(sys.argv[2]), float(sys.argv[3]))


def compile_share(share: int, shares: int) -> None:
    """Run every ``shares``-th launch of each case once, which leaves it in Triton's cache on disk."""
    for case in cases(Sizes()):
        for config in case.launches[share::shares]:
            with suppress(OutOfResources):  # the tuner passes it over too
                case.run(config)
    torch.cuda.synchronize()


def check_and_time(results: Path, seconds: float) -> int:
    """Check and time every case; append a JSON line for each to ``results``; return how many were wrong.

    What is left after ``seconds`` is not begun, and told.
    """
    end = time.monotonic() + seconds
    limits = measure_limits()
    facts = {"device": find_device("cuda").facts(), "triton": triton.__version__, "numpy": np.__version__, **limits}
    print(json.dumps(facts), flush=True)
    results.parent.mkdir(parents=True, exist_ok=True)
    wrong = 0
    left = []
    for case in cases(Sizes()):
        if time.monotonic() > end:
            left.append(case.name)
            continue
        line = examined(case, limits)
        wrong += "wrong" in line
        print(json.dumps(line), flush=True)
        with results.open("a") as file:
            file.write(json.dumps({**line, **facts, "when": time.strftime("%Y-%m-%dT%H:%M:%S%z")}) + "\n")
    if torch.cuda.get_device_capability() < (8, 9):
        print("NOT RUN: FP8 products, which need an sm_89 GPU", flush=True)
    if left:
        print(f"NOT RUN, as {seconds:g} s were over: {len(left)} cases, from {left[0]!r} on", flush=True)
    print(f"{wrong} cases were wrong" if wrong else "every launch of every case was right", flush=True)
    return wrong


def measure_limits() -> dict[str, float]:
    """What this GPU does at most: bytes read and written by a copy, and operations of a BF16 product, a second."""
    source, target = (torch.empty(COPY_BYTES, dtype=torch.uint8, device="cuda").random_() for _ in range(2))
    copy_us = float(np.median(times_us(lambda: target.copy_(source))))
    a, b = (torch.randn(SIDE, SIDE, device="cuda").bfloat16() for _ in range(2))
    product_us = float(np.median(times_us(lambda: a @ b)))
    return {
        "copy_gb_per_s": round(2 * COPY_BYTES / copy_us / 1e3, 1),
        "bf16_tflops": round(2 * SIDE**3 / product_us / 1e6, 1),
    }


def examined(case: Case, limits: dict[str, float]) -> dict[str, Any]:
    """The line of a case: its times, or what is wrong with it. A GPU that stopped answering ends the run."""
    try:
        return check(case) or timed(case, limits)
    except Exception as error:
        torch.cuda.synchronize()  # raises where no later case could run either
        words = (str(error).splitlines() or [""])[0]
        return {"part": case.part, "name": case.name, "wrong": f"{type(error).__name__}: {words}"}


def check(case: Case) -> dict[str, Any]:
    """Nothing where every launch is right, else a line that says which is wrong and how."""
    for config in case.launches:
        try:
            case.check(case.run(config))
        except OutOfResources:
            continue
        except AssertionError as error:
            return {"part": case.part, "name": case.name, "wrong": str(error), "launch": str(config)}
    return {}


def timed(case: Case, limits: dict[str, float]) -> dict[str, Any]:
    """The times of a case and of its rivals, with the rates that they imply."""
    case.check(case.run(None))
    us = times_us(lambda: case.run(None))
    median = float(np.median(us))
    line: dict[str, Any] = {"part": case.part, "name": case.name, "us": round(median, 2), "n": len(us)}
    line |= {"low_us": round(float(np.quantile(us, 0.05)), 2), "high_us": round(float(np.quantile(us, 0.95)), 2)}
    line["gb_per_s"] = round(case.moved / median / 1e3, 1)
    line["of_copy"] = round(line["gb_per_s"] / limits["copy_gb_per_s"], 3)
    if case.operations:
        line["tflops"] = round(case.operations / median / 1e6, 1)
    rivals = {name: time_of(rival) for name, rival in case.rivals.items()}
    line["rivals_us"] = {name: found if isinstance(found, str) else round(found, 2) for name, found in rivals.items()}
    return line | judged(case, line, median, rivals)


def judged(case: Case, line: dict[str, Any], median: float, rivals: dict[str, float | str]) -> dict[str, Any]:
    """The bar in words, and whether it is met; nothing where there is no bar, or its rival cannot run."""
    if case.bar is None:
        return {}
    against, wanted = case.bar
    if against == "copy":
        return {"bar": f">= {wanted:.0%} of a copy's bandwidth", "met": line["of_copy"] >= wanted}
    rival = rivals[against]
    if isinstance(rival, str):
        return {}
    return {"bar": f">= {wanted} x {against}", "speedup": round(rival / median, 3), "met": rival / median >= wanted}


def time_of(rival: Callable[[], Any]) -> float | str:
    """Median microseconds, or why it does not run here."""
    try:
        return float(np.median(times_us(rival)))
    except RuntimeError as error:
        return str(error).splitlines()[0]


def times_us(run: Callable[[], Any]) -> list[float]:
    """Microseconds of each of some calls on the GPU, its caches emptied before each."""
    return [1e3 * ms for ms in do_bench(run, warmup=10, rep=40, return_mode="all")]


if __name__ == "__main__":
    sys.exit(min(main(), 1))
