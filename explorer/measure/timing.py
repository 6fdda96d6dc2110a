"""Timing: calls run in turn, in rounds of random order, until their ratio is known well enough. (Effect: clock.)"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from explorer.errors import Cancelled
from explorer.measure.caches import emptier
from explorer.measure.device import Device
from explorer.measure.lock import exclusive
from explorer.measure.ratios import Ratio, drift_of, ratio_of_medians

Call = Callable[[], Any]
FEWEST_ROUNDS, MOST_ROUNDS = 5, 5000
FIRST_LOOK, LOOKS_APART = 10, 1.25
"""The interval is looked at after this many rounds, and then as often as there are this many times as many: a rule that
stops at the first narrow interval would, if it looked after each round, stop at those that are narrow by accident."""
WARM_UP_SECONDS = 0.5
PERCENTILES = {"p50": (50.0, 1), "p90": (90.0, 100), "p99": (99.0, 1000)}
"""Percentile -> how many runs it takes: ten of them above it."""


@dataclass(frozen=True)
class Rounds:
    """Seconds that each call took in each round, by the call's name. ``cold``: caches were emptied before every call;
    ``warm_ups``: how often each call ran before the first round."""

    times_s: Mapping[str, tuple[float, ...]]
    warm_ups: int = 0
    cold: bool = False

    @property
    def n(self) -> int:
        return len(next(iter(self.times_s.values())))

    def median_ms(self, name: str) -> float:
        return float(np.median(self.times_s[name])) * 1e3

    def ratio(self, over: str, under: str) -> Ratio:
        """Return the median time of ``over`` over that of ``under``: how many times as fast ``under`` is."""
        return ratio_of_medians(self.times_s[over], self.times_s[under])

    def drift(self, name: str) -> Ratio:
        """Return the later half of the call's times over the earlier half."""
        return drift_of(self.times_s[name])

    def percentiles_ms(self, name: str) -> dict[str, float]:
        """Return p50, and p90 from 100 runs on, p99 from 1000: each only where ten runs lie above it."""
        times = self.times_s[name]
        asked = {key: at for key, (at, enough) in PERCENTILES.items() if len(times) >= enough}
        return {key: float(np.percentile(times, at)) * 1e3 for key, at in asked.items()}


@dataclass(frozen=True)
class Comparison:
    """Times of two calls, run in turn in random order, in seconds."""

    baseline_s: tuple[float, ...]
    candidate_s: tuple[float, ...]
    interval: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", ratio_of_medians(self.baseline_s, self.candidate_s).interval)

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


@dataclass(frozen=True)
class Effort:
    """How long a measurement may take and who hears of it.

    It stops when ``seconds`` are up, or earlier once the interval of the ratio is ``within`` this fraction either side.
    ``cold`` empties the caches before every call. ``progress`` is told how far it is; ``cancel`` is an Event.
    """

    seconds: float = 2.0
    within: float = 0.01
    cold: bool = False
    progress: Callable[[int, int, str], None] | None = None
    cancel: Any = None

    def stop_if_cancelled(self) -> None:
        """Raise :class:`Cancelled` where the flag is set."""
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("time a recipe")

    def report(self, share: float) -> None:
        """Tell the caller which share of the time is over."""
        if self.progress is not None:
            self.progress(int(100 * min(1.0, share)), 100, "timing")

    def tell(self, text: str) -> None:
        """Tell the caller what it waits for, of which there is no share."""
        if self.progress is not None:
            self.progress(0, 0, text)


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
    """Time ``baseline`` against ``candidate``, warm, in pairs of random order: :func:`time_rounds` of two calls."""
    effort = Effort(seconds, within, progress=progress, cancel=cancel)
    found = time_rounds({"baseline": baseline, "candidate": candidate}, device, effort, seed=seed).times_s
    return Comparison(found["baseline"], found["candidate"])


def time_rounds(
    calls: Mapping[str, Call], device: Device, effort: Effort, watch: tuple[str, str] | None = None, seed: int = 0
) -> Rounds:
    """Run every call once a round, in an order drawn anew each round, and return their times; five rounds at least.

    All calls first run unmeasured: once where that takes more than half a second, else twice. ``watch`` names the two
    calls whose ratio must be known well enough to stop early (default the first and the last). Python's garbage
    collection is off meanwhile, and no other timing of this user runs on the device.
    """
    timed = clock(device)
    empty = emptier(device) if effort.cold else None
    order = random.Random(seed)  # noqa: S311  an order of runs, no secret
    names = tuple(calls)
    over, under = watch or (names[0], names[-1])
    times: dict[str, list[float]] = {name: [] for name in names}
    with exclusive(device, effort.cancel, effort.tell), uncollected():
        warm_ups = _warm_up(calls, effort)
        start, look_at = time.perf_counter(), FIRST_LOOK
        for done in range(MOST_ROUNDS):
            share = (time.perf_counter() - start) / max(effort.seconds, 1e-9)
            if done >= FEWEST_ROUNDS and share >= 1:
                break
            if done >= look_at:
                if ratio_of_medians(times[over], times[under], draws=500).spread < effort.within:
                    break
                look_at = int(done * LOOKS_APART) + 1
            for name in order.sample(names, len(names)):
                effort.stop_if_cancelled()
                if empty is not None:
                    empty()
                times[name].append(timed(calls[name]))
            effort.report(share)
    return Rounds({name: tuple(values) for name, values in times.items()}, warm_ups, effort.cold)


def _warm_up(calls: Mapping[str, Call], effort: Effort) -> int:
    """Run every call once, and again where that was quick; return how often."""
    start = time.perf_counter()
    _run_all(calls, effort)
    if time.perf_counter() - start > WARM_UP_SECONDS:
        return 1
    _run_all(calls, effort)
    return 2


def _run_all(calls: Mapping[str, Call], effort: Effort) -> None:
    for call in calls.values():
        effort.stop_if_cancelled()
        call()


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python's garbage collector off, as it was before afterwards."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


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
