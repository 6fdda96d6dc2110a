"""Timing: an interleaved A/B comparison, and the lock that keeps two timings apart. (Effect: clock, lock file.)"""

from __future__ import annotations

import gc
import getpass
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from explorer.errors import Cancelled
from explorer.measure.device import Device
from explorer.measure.intervals import ratio_interval

Call = Callable[[], Any]
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Comparison:
    """Times of two calls, run in turn in random order, in seconds."""

    baseline_s: tuple[float, ...]
    candidate_s: tuple[float, ...]
    interval: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", ratio_interval(self.baseline_s, self.candidate_s))

    @property
    def baseline_ms(self) -> float:
        return float(np.median(self.baseline_s)) * 1e3

    @property
    def candidate_ms(self) -> float:
        return float(np.median(self.candidate_s)) * 1e3

    @property
    def speedup(self) -> float:
        """Median of the baseline over median of the candidate: above 1, the candidate is faster."""
        return self.baseline_ms / self.candidate_ms

    @property
    def n(self) -> int:
        return len(self.candidate_s)


@contextmanager
def exclusive(device: Device) -> Iterator[None]:
    """Hold the one lock under which times may be taken on ``device``, across threads and processes of this user."""
    path = Path(tempfile.gettempdir()) / f"precision-explorer-{getpass.getuser()}-{device.type}.lock"
    with _LOCK, FileLock(path):
        yield


def compare(
    baseline: Call,
    candidate: Call,
    device: Device,
    seconds: float = 2.0,
    within: float = 0.01,
    progress: Callable[[int, int, str], None] | None = None,
    cancel: Any = None,
    seed: int = 0,
) -> Comparison:
    """Time ``baseline`` against ``candidate``, warm, in pairs of random order; five pairs at least.

    Stops when ``seconds`` are up, or earlier once the interval of the speed-up is ``within`` this fraction either side.
    """
    timed = clock(device)
    order = random.Random(seed)  # noqa: S311  an order of runs, no secret
    with exclusive(device):
        for _ in range(2):
            timed(baseline), timed(candidate)
        base: list[float] = []
        cand: list[float] = []
        end = time.perf_counter() + seconds
        collecting = gc.isenabled()
        gc.disable()
        try:
            while len(base) < 5 or (time.perf_counter() < end and not _tight(base, cand, within)):
                if cancel is not None and cancel.is_set():
                    raise Cancelled("time a recipe")
                for first in order.sample((True, False), 2):
                    (base if first else cand).append(timed(baseline if first else candidate))
                if progress is not None:
                    left = max(0.0, end - time.perf_counter())
                    progress(int(100 * (1 - left / max(seconds, 1e-9))), 100, "timing")
        finally:
            if collecting:
                gc.enable()
    return Comparison(tuple(base), tuple(cand))


def clock(device: Device) -> Callable[[Call], float]:
    """Return a function that gives the seconds one call takes, its work on the device finished."""

    def on_cpu(call: Call) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    def on_cuda(call: Call) -> float:
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        before.record()
        call()
        after.record()
        after.synchronize()
        return float(before.elapsed_time(after)) / 1e3

    return on_cuda if device.type == "cuda" else on_cpu


def _tight(base: list[float], cand: list[float], within: float) -> bool:
    if len(base) < 10 or len(base) % 5:
        return False
    low, high = ratio_interval(base, cand, draws=500)
    return (high - low) / (high + low) < within
